package gateway

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Bounds of guessing. A client may fail failuresPerMinute times at once and as
// many per minute from then on; beyond that each failure doubles the wait.
const (
	failuresPerMinute = 10
	maxFailureWait    = time.Minute
	maxFailureClients = 4096
)

// clientKey is what failures are counted by: an IPv4 address, or the /64
// network that one IPv6 customer commands.
type clientKey struct{ addr netip.Addr }

// failures counts wrong credentials per client in bounded memory.
//
// A client over the limit is told 429 when it fails again. Once it has tried
// that many different credentials it is guessing, and until its wait is over
// it is refused unheard, right credentials or not: else guessing would go on
// at full speed. A client that repeats one stale password guesses nothing, so
// it does not lock out others behind the same address.
type failures struct {
	mu       sync.Mutex
	byClient map[clientKey]*failureRecord
	// some lets the common case, no failures at all, skip the mutex.
	some atomic.Bool
}

type failureRecord struct {
	count    float64 // failures, leaking failuresPerMinute
	distinct float64 // the same without immediate repetitions
	at       time.Time
	last     [sha256.Size]byte
	strikes  int       // failures beyond the limit since count was last 0
	until    time.Time // a guesser is not heard before
}

// blocked gives how long this client must not be heard, 0 if it may.
func (f *failures) blocked(client clientKey, now time.Time) time.Duration {
	if !f.some.Load() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.byClient[client]
	if r == nil {
		return 0
	}
	r.leak(now)
	if r.count == 0 && !now.Before(r.until) {
		delete(f.byClient, client)
		f.some.Store(len(f.byClient) > 0)
		return 0
	}
	return max(0, r.until.Sub(now))
}

// add counts a failure and gives how long the client has to wait for its next
// try, 0 while it is within the limit.
func (f *failures) add(client clientKey, guess [sha256.Size]byte, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.byClient[client]
	if r == nil {
		if f.byClient == nil {
			f.byClient = map[clientKey]*failureRecord{}
		}
		f.makeRoom()
		r = &failureRecord{at: now}
		f.byClient[client] = r
		f.some.Store(true)
	}
	r.leak(now)
	r.count++
	if guess != r.last || r.distinct == 0 {
		r.distinct++
	}
	r.last = guess
	if r.count <= failuresPerMinute {
		return 0
	}
	// Without a ceiling a long attack would take as long to forgive.
	r.count = min(r.count, 2*failuresPerMinute)
	r.distinct = min(r.distinct, 2*failuresPerMinute)
	wait := min(time.Second<<min(r.strikes, 10), maxFailureWait)
	r.strikes++
	if r.distinct > failuresPerMinute {
		r.until = now.Add(wait)
	}
	return wait
}

// makeRoom forgets a client when the table is full: of a few taken by chance,
// the one that failed longest ago.
func (f *failures) makeRoom() {
	if len(f.byClient) < maxFailureClients {
		return
	}
	const looks = 16
	var oldest clientKey
	var at time.Time
	n := 0
	for client, r := range f.byClient {
		if n == 0 || r.at.Before(at) {
			oldest, at = client, r.at
		}
		if n++; n == looks {
			break
		}
	}
	delete(f.byClient, oldest)
}

func (r *failureRecord) leak(now time.Time) {
	gone := now.Sub(r.at).Minutes() * failuresPerMinute
	r.at = now
	r.count, r.distinct = max(0, r.count-gone), max(0, r.distinct-gone)
	if r.count == 0 {
		r.strikes = 0
	}
}

// clientOf gives the client of a request: the peer, or behind trusted proxies
// the last address of X-Forwarded-For that is none of them.
func clientOf(ctx *fasthttp.RequestCtx, trusted []netip.Prefix) clientKey {
	addr := addrOf(ctx.RemoteAddr())
	if len(trusted) > 0 && within(addr, trusted) {
		hops := strings.Split(string(ctx.Request.Header.Peek(fasthttp.HeaderXForwardedFor)), ",")
		for i := len(hops) - 1; i >= 0 && within(addr, trusted); i-- {
			hop, err := parseHop(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			addr = hop
		}
	}
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			addr = network.Addr()
		}
	}
	return clientKey{addr}
}

func addrOf(peer net.Addr) netip.Addr {
	if tcp, ok := peer.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{} // a unix socket: all its clients are one
}

// parseHop reads an address with or without a port: OpenFaaS writes one.
func parseHop(text string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap(), nil
	}
	addr, err := netip.ParseAddr(text)
	return addr.Unmap(), err
}

func within(addr netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}
