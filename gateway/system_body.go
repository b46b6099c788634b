package gateway

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

const (
	maxJSONBody  = 1 << 20   // bytes
	maxJSONDepth = 32        // objects and arrays inside each other; the API needs 3
	maxDrain     = 256 << 10 // bytes read for nothing rather than close the connection
)

// bodyOf gives the request's body, whether the server streams it or not.
func bodyOf(ctx *fasthttp.RequestCtx) io.Reader {
	if r := ctx.RequestBodyStream(); r != nil {
		return r
	}
	return bytes.NewReader(ctx.Request.Body())
}

// finishBody reads what an answer left of the body, so that the connection can
// carry the next request, or says that the connection ends: what is unread
// would be taken for a request.
func finishBody(ctx *fasthttp.RequestCtx) {
	r := ctx.RequestBodyStream()
	if r == nil {
		return
	}
	if ctx.Request.Header.ContentLength() <= maxDrain {
		if n, err := io.CopyN(io.Discard, r, maxDrain+1); n <= maxDrain && err == io.EOF {
			return
		}
	}
	ctx.SetConnectionClose()
	http1.Linger(ctx.Conn())
}

// limitedBody reads a body up to a number of bytes; one more is ErrTooLarge.
type limitedBody struct {
	r    io.Reader
	left int64
	max  int64
	err  error // what ended reading, other than the body's end
}

func newLimitedBody(ctx *fasthttp.RequestCtx, most int64) (*limitedBody, error) {
	b := &limitedBody{r: bodyOf(ctx), left: most, max: most}
	if int64(ctx.Request.Header.ContentLength()) > most {
		return nil, b.tooLarge()
	}
	return b, nil
}

func (b *limitedBody) tooLarge() error {
	return backends.Errorf(backends.ErrTooLarge, "body: more than the %d bytes allowed", b.max)
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		n, err = n-1, b.tooLarge()
	} else if err != nil && err != io.EOF {
		err = backends.Errorf(backends.ErrInvalid, "body: cannot be read to its end: %v", err)
	}
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// decodeBody reads the body as one JSON object into a pointer to a struct.
// ErrTooLarge and ErrInvalid say what is wrong with it. Fields unknown to the
// struct are ignored: clients of many ages send them.
func decodeBody(ctx *fasthttp.RequestCtx, into any) error {
	r, err := newLimitedBody(ctx, maxJSONBody)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return backends.Errorf(backends.ErrInvalid, "body: not UTF-8")
	}
	if err := checkObject(body); err != nil {
		return backends.Errorf(backends.ErrInvalid, "body: %w", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return explainJSON(err)
	}
	return nil
}

// checkObject refuses what encoding/json would let pass or recurse into: a
// key given twice, whose meaning would depend on the reader, and bodies
// nested beyond all sense.
func checkObject(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var open []jsonLevel
	for first := true; ; first = false {
		token, err := dec.Token()
		switch {
		case err == io.EOF && first:
			return errors.New("empty, but a JSON object is needed")
		case err == io.EOF && len(open) > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case len(open) == 0 && (!first || token != json.Delim('{')):
			return errors.New("not one JSON object")
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 {
			if err := open[len(open)-1].note(token, len(open) == 1); err != nil {
				return err
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, jsonLevel{keys: map[string]bool{}})
		case json.Delim('['):
			open = append(open, jsonLevel{})
		}
		if len(open) > maxJSONDepth {
			return fmt.Errorf("nested deeper than %d", maxJSONDepth)
		}
	}
}

// jsonLevel is an object or array that has begun.
type jsonLevel struct {
	keys  map[string]bool // nil for an array
	value bool            // a key came, its value is next
}

// note takes the next token of the level. fold is for the outermost object,
// where encoding/json ignores the case of keys.
func (l *jsonLevel) note(token json.Token, fold bool) error {
	if l.keys == nil {
		return nil
	}
	if l.value = !l.value; !l.value {
		return nil
	}
	key, _ := token.(string)
	if fold {
		key = strings.ToLower(key)
	}
	if l.keys[key] {
		return fmt.Errorf("key %.80q is given twice", key)
	}
	l.keys[key] = true
	return nil
}

// explainJSON names the field that has a wrong type. It never repeats a text
// value, which may be a secret.
func explainJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return &backends.FieldError{Field: cmp.Or(wrong.Field, "body"), Value: wrong.Value, Allowed: allowedType(wrong.Type)}
	}
	var corrupt base64.CorruptInputError
	if errors.As(err, &corrupt) {
		return backends.Errorf(backends.ErrInvalid, "rawValue: not base64")
	}
	return backends.Errorf(backends.ErrInvalid, "body: %w", err)
}

func allowedType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "base64 text"
		}
		if t.Elem().Kind() == reflect.String {
			return "a list of texts"
		}
		return "a list of objects"
	default:
		return "an object"
	}
}
