package gateway

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// maxCredentials bounds user and password together, in bytes. It keeps the
// comparison on the stack; main refuses longer ones when it reads them.
const maxCredentials = 1024

// auth asks for HTTP basic authentication. Checking right credentials
// allocates nothing, and the time a check takes depends on the length of what
// the client sent, never on how much of it is right.
type auth struct {
	salt           [16]byte // of this process: equal digests mean equal text
	user, password [sha256.Size]byte
	failures       failures
	open           bool
}

// newAuth asks for those credentials; nil lets everybody in.
func newAuth(want *Credentials) *auth {
	a := &auth{open: want == nil}
	rand.Read(a.salt[:])
	if want != nil {
		a.user, a.password = a.digest([]byte(want.User)), a.digest([]byte(want.Password))
	}
	return a
}

// admit reports whether the request may go on. If not, ctx holds the answer:
// 401, or 429 for a client that guesses.
func (a *auth) admit(ctx *fasthttp.RequestCtx, client clientKey) bool {
	if a.open {
		return true
	}
	header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	if len(header) == 0 {
		a.refuse(ctx)
		return false
	}
	now := time.Now()
	if wait := a.failures.blocked(client, now); wait > 0 {
		refuseGuessing(ctx, wait)
		return false
	}
	guess, ok := a.match(header)
	if ok {
		return true
	}
	if wait := a.failures.add(client, guess, now); wait > 0 {
		refuseGuessing(ctx, wait)
		return false
	}
	a.refuse(ctx)
	return false
}

// match compares an Authorization header with the credentials. It also gives
// a digest of what was presented, by which a repeated guess is recognised.
func (a *auth) match(header []byte) (guess [sha256.Size]byte, ok bool) {
	const scheme = "basic "
	if len(header) < len(scheme) || !bytes.EqualFold(header[:len(scheme)], []byte(scheme)) {
		return guess, false
	}
	encoded := bytes.TrimSpace(header[len(scheme):])
	var decoded [maxCredentials + 8]byte
	if base64.StdEncoding.DecodedLen(len(encoded)) > len(decoded) {
		return guess, false
	}
	n, err := base64.StdEncoding.Decode(decoded[:], encoded)
	if err != nil {
		return guess, false
	}
	user, password, found := bytes.Cut(decoded[:n], []byte(":"))
	u, p := a.digest(user), a.digest(password)
	same := subtle.ConstantTimeCompare(u[:], a.user[:]) & subtle.ConstantTimeCompare(p[:], a.password[:])
	for i := range guess {
		guess[i] = u[i] ^ p[len(p)-1-i]
	}
	return guess, found && same == 1
}

// digest hashes text with the process's salt, so that comparing digests takes
// the same time wherever two texts differ, and however long they are.
func (a *auth) digest(text []byte) [sha256.Size]byte {
	var buf [len(a.salt) + maxCredentials + 8]byte
	n := copy(buf[:], a.salt[:])
	n += copy(buf[n:], text)
	return sha256.Sum256(buf[:n])
}

// refuse answers 401 in OpenFaaS' words, which clients compare.
func (a *auth) refuse(ctx *fasthttp.RequestCtx) {
	answerText(ctx, fasthttp.StatusUnauthorized, "invalid credentials")
	ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, `Basic realm="Restricted"`)
}

// refuseGuessing answers 429 with the whole seconds to wait.
func refuseGuessing(ctx *fasthttp.RequestCtx, wait time.Duration) {
	seconds := strconv.Itoa(int((wait + time.Second - 1) / time.Second))
	answerText(ctx, fasthttp.StatusTooManyRequests, "too many wrong credentials from this address: try again in "+seconds+" s\n")
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, seconds)
}
