package gateway

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func guessOf(n int) [sha256.Size]byte { return sha256.Sum256([]byte(strconv.Itoa(n))) }

func clientAt(addr string) clientKey { return clientKey{netip.MustParseAddr(addr)} }

func TestGuessingWaitsLongerWithEveryTryAndIsForgivenInTheEnd(t *testing.T) {
	var f failures
	now := time.Now()
	guesser, other := clientAt("10.0.0.1"), clientAt("10.0.0.2")
	for i := range failuresPerMinute {
		if wait := f.add(guesser, guessOf(i), now); wait != 0 || f.blocked(guesser, now) != 0 {
			t.Fatalf("failure %d has to wait %v", i, wait)
		}
	}
	// From now on it tries again as soon as it is heard, for an hour.
	last, heard, end := time.Duration(0), 0, now.Add(time.Hour)
	for now.Before(end) {
		heard++
		wait := f.add(guesser, guessOf(100+heard), now)
		if wait == 0 {
			continue
		}
		if wait <= last && wait != maxFailureWait {
			t.Errorf("failure %d beyond the limit waits %v after %v", heard, wait, last)
		}
		if last = wait; f.blocked(guesser, now) != wait || f.blocked(guesser, now.Add(wait-1)) == 0 {
			t.Errorf("a guesser is heard before its %v are over", wait)
		}
		if now = now.Add(wait); f.blocked(guesser, now) != 0 {
			t.Errorf("a guesser is not heard after its %v", wait)
		}
	}
	if most := 61 * failuresPerMinute; heard > most || last != maxFailureWait {
		t.Errorf("%d guesses in an hour, at most %d are allowed; the last wait is %v", heard, most, last)
	}
	if f.blocked(other, now) != 0 {
		t.Error("another client waits too")
	}
	if now = now.Add(3 * time.Minute); f.blocked(guesser, now) != 0 || len(f.byClient) != 0 || f.some.Load() {
		t.Error("a guesser that has stopped is not forgotten")
	}
}

func TestOneStalePasswordRepeatedLocksNobodyOut(t *testing.T) {
	var f failures
	now, client := time.Now(), clientAt("10.0.0.1")
	told := false
	for range 1000 {
		told = f.add(client, guessOf(1), now) > 0 || told
		if wait := f.blocked(client, now); wait > 0 {
			t.Fatalf("others behind the address have to wait %v", wait)
		}
	}
	if !told {
		t.Error("the repeating client is never told to wait")
	}
}

func TestAttackersFromEverywhereTakeBoundedMemory(t *testing.T) {
	var f failures
	now := time.Now()
	for i := range 3 * maxFailureClients {
		f.add(clientKey{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, guessOf(i), now)
	}
	if len(f.byClient) > maxFailureClients {
		t.Errorf("%d clients are remembered", len(f.byClient))
	}
}

// TestAGuesserGets429WhileOthersWork plays it over the network, where the
// clients are told apart by what a trusted proxy says.
func TestAGuesserGets429WhileOthersWork(t *testing.T) {
	cfg := testConfig()
	cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	_, url := serve(t, cfg)
	ask := func(from, password string) *http.Response {
		credentials := base64.StdEncoding.EncodeToString([]byte("admin:" + password))
		resp, _ := do(t, "GET", url+"/system/info", nil, "X-Forwarded-For", from, "Authorization", "Basic "+credentials)
		return resp
	}
	refused := 0
	for i := range 2 * failuresPerMinute {
		resp := ask("203.0.113.7", fmt.Sprint("guess", i))
		switch {
		case i < failuresPerMinute && resp.StatusCode != 401:
			t.Errorf("guess %d: got %s", i, resp.Status)
		case resp.StatusCode == 429:
			if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 60 {
				t.Errorf("guess %d: Retry-After %q", i, resp.Header.Get("Retry-After"))
			}
			refused++
		}
		if resp := ask("203.0.113.8", "secret"); resp.StatusCode != 200 {
			t.Errorf("another client got %s", resp.Status)
		}
	}
	if refused < failuresPerMinute-1 {
		t.Errorf("only %d guesses were refused unheard", refused)
	}
	if resp := ask("203.0.113.7", "secret"); resp.StatusCode != 429 {
		t.Errorf("the guesser's next guess, a right one, got %s", resp.Status)
	}
	if resp := ask("spoofed, 203.0.113.7", "secret"); resp.StatusCode != 429 {
		t.Errorf("the guesser with a list of addresses got %s", resp.Status)
	}
}

func TestAClientIsTheLastAddressThatNoTrustedProxyHas(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, test := range map[string]struct{ peer, forwarded, want string }{
		"a peer without a proxy":              {"192.0.2.1", "", "192.0.2.1"},
		"a peer that says it is another":      {"192.0.2.1", "198.51.100.9", "192.0.2.1"},
		"behind a proxy":                      {"10.1.1.1", "198.51.100.9", "198.51.100.9"},
		"behind two":                          {"10.1.1.1", "198.51.100.9, 10.2.2.2", "198.51.100.9"},
		"behind one that was lied to":         {"10.1.1.1", "1.1.1.1, 198.51.100.9", "198.51.100.9"},
		"a proxy with nothing to say":         {"10.1.1.1", "", "10.1.1.1"},
		"a proxy that writes nonsense":        {"10.1.1.1", "198.51.100.9, unknown", "10.1.1.1"},
		"with a port, as OpenFaaS has it":     {"10.1.1.1", "198.51.100.9:4711", "198.51.100.9"},
		"an IPv6 customer":                    {"2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::"},
		"the same customer's next address":    {"2001:db8:1:2:ffff::1", "", "2001:db8:1:2::"},
		"IPv6 behind a proxy, with a port":    {"fd00::1", "[2001:db8::7]:80", "2001:db8::"},
		"IPv4 in IPv6 is IPv4":                {"::ffff:192.0.2.1", "", "192.0.2.1"},
		"IPv4 in IPv6 behind a proxy is IPv4": {"10.1.1.1", "::ffff:192.0.2.1", "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var ctx fasthttp.RequestCtx
			ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.ParseIP(test.peer), Port: 1}, nil)
			if test.forwarded != "" {
				ctx.Request.Header.Set("X-Forwarded-For", test.forwarded)
			}
			if got := clientOf(&ctx, trusted); got.addr.String() != test.want {
				t.Errorf("got %s, want %s", got.addr, test.want)
			}
		})
	}
}

func TestCredentialsOfEveryOddForm(t *testing.T) {
	a := newAuth(&Credentials{User: "admin", Password: "p:ss wörd"})
	encode := base64.StdEncoding.EncodeToString
	for header, want := range map[string]bool{
		"Basic " + encode([]byte("admin:p:ss wörd")):          true,
		"BASIC   " + encode([]byte("admin:p:ss wörd")) + "  ": true,
		"Basic " + encode([]byte("admin:p:ss wörd\x00")):      false,
		"Basic " + encode([]byte("admin:p:ss wör")):           false,
		"Basic " + encode([]byte("admin")):                    false,
		"Basic " + encode([]byte("admin:")):                   false,
		"Basic " + encode([]byte(":")):                        false,
		"Basic " + encode([]byte("Admin:p:ss wörd")):          false,
		"Basic":                               false,
		"Basic ":                              false,
		"Basic ====":                          false,
		"Basic " + strings.Repeat("A", 1<<20): false,
		"Basic " + encode([]byte("admin:"+strings.Repeat("x", 1020))):    false,
		"Basic " + encode([]byte("admin:p:ss wörd")) + ",Basic x":        false,
		"basic\t" + encode([]byte("admin:p:ss wörd")):                    false,
		encode([]byte("admin:p:ss wörd")):                                false,
		"Digest username=admin":                                          false,
		"Basic " + base64.URLEncoding.EncodeToString([]byte("a?>:\xff")): false,
	} {
		if _, ok := a.match([]byte(header)); ok != want {
			t.Errorf("%.60q: got %v", header, ok)
		}
	}
	header := []byte("Basic " + encode([]byte("admin:p:ss wörd")))
	if n := testing.AllocsPerRun(100, func() { a.match(header) }); n != 0 {
		t.Errorf("a check allocates %v times", n)
	}
}
