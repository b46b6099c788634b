package runtime_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hearth/backends"
	"hearth/runtime"
)

// caller is a function that calls the address in its request and answers with what it got.
const caller = `export default async (r) => {
	try {
		const a = await fetch(r.text(), {method: r.method, headers: {"X-One": "uno"}, body: r.method === "POST" ? "\xffbody\0" : undefined});
		return [a.status, a.ok, a.headers.get("x-two"), a.text().length < 100 ? a.text() : a.bytes().length].join(" ");
	} catch (e) { return String(e) }
}`

// outside is a server that says what it was asked.
func outside(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Two", "due")
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(make([]byte, 9<<20))
		case "/redirect":
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(200 * time.Millisecond):
			}
		default:
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, "%s %s %s %q %d", r.Method, r.Host, r.Header.Get("X-One"), body, len(r.Header))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func hosts(t *testing.T, list string) []backends.HostRule {
	t.Helper()
	rules, ok := backends.ParseHosts(list)
	if !ok {
		t.Fatalf("%q is no list of hosts", list)
	}
	return rules
}

func ask(t *testing.T, m *runtime.Module, method, address string) string {
	t.Helper()
	resp, err := invoke(t, m, requestOf(method, "/", "", address, nil))
	if err != nil {
		t.Fatal(err)
	}
	return resp.body.String()
}

func TestAScriptCallsTheHostsItMay(t *testing.T) {
	s := outside(t)
	host := strings.TrimPrefix(s.URL, "http://")
	m := load(t, newEngine(t, runtime.Config{}), []byte(caller), runtime.Spec{AllowHTTP: hosts(t, host)})
	for address, want := range map[string]string{
		s.URL + "/a":                       "202 true due GET " + host + ` uno "" 1`,
		s.URL + "/redirect?to=/b":          "202 true due GET " + host + ` uno "" 2`, // and Referer
		s.URL + "/large":                   "TypeError: fetch: the answer is larger than 8388608 bytes",
		s.URL + "/redirect?to=/redirect":   "",
		s.URL + "/redirect?to=file:///etc": "scheme",
	} {
		if got := ask(t, m, "GET", address); !strings.Contains(got, want) {
			t.Errorf("%s gave %s, want %s", address, got, want)
		}
	}
	if got, want := ask(t, m, "POST", s.URL), `"ÿbody\x00"`; !strings.Contains(got, want) {
		t.Errorf("POST gave %s, want %s", got, want)
	}
}

func TestNoConnectionIsMadeToAHostThatIsNotListed(t *testing.T) {
	e := newEngine(t, runtime.Config{})
	var dialled atomic.Int64
	lookups := 0
	e.SetNetwork(func(host string) []string {
		switch host {
		case "internal.test":
			return []string{"10.0.0.1"}
		case "mixed.test":
			return []string{"93.184.216.34", "169.254.169.254"}
		case "mapped.test":
			return []string{"::ffff:127.0.0.1"}
		case "rebound.test":
			if lookups++; lookups == 1 {
				return []string{"127.0.0.2"}
			}
			return []string{"127.0.0.1"}
		}
		return []string{"127.0.0.1", "::1", "fe80::1", "fd00::1", "224.0.0.1", "100.64.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"}[len(host)%8:][:1]
	}, func(string) { dialled.Add(1) })
	m := load(t, e, []byte(caller), runtime.Spec{AllowHTTP: hosts(t, "*.test, api.example.com")})
	for _, address := range []string{
		"http://127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://[::1]/",
		"http://0.0.0.0/", "http://[::]/", "http://169.254.169.254/latest/meta-data", "http://localhost/", "http://metadata.google.internal/",
		"http://api.example.com@127.0.0.1/", "http://user:pass@api.example.com/", "http://127.0.0.1#api.example.com/", "http://api.example.com:22/",
		"http://api.example.com.evil.org/", "http://test/", "http://evilapi.example.com/", "file:///etc/passwd", "gopher://api.example.com/", "ftp://api.example.com/",
		"//api.example.com/", "", "http://", "http:///", "http://api.example.com/\r\nHost: evil", "http://[fe80::1%25eth0]/",
		"http://internal.test/", "http://mixed.test/", "http://mapped.test/", "http://rebound.test/", "http://rebound.test/",
		"http://a.test/", "http://aa.test/", "http://aaa.test/", "http://aaaa.test/", "http://aaaaa.test/", "http://b.a.test/", "http://bb.a.test/", "http://bbb.a.test/",
	} {
		if got := ask(t, m, "GET", address); !strings.HasPrefix(got, "TypeError: fetch") {
			t.Errorf("%q gave %s", address, got)
		}
	}
	if n := dialled.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
	silent := load(t, e, []byte(caller), runtime.Spec{})
	if got := ask(t, silent, "GET", "http://api.example.com/"); !strings.Contains(got, backends.KeyAllowHTTP) || dialled.Load() != 0 {
		t.Errorf("without the key: %s, %d connections", got, dialled.Load())
	}
}

func TestARedirectGoesOnlyWhereTheFunctionMay(t *testing.T) {
	s, inner := outside(t), outside(t)
	u, _ := url.Parse(s.URL)
	var dialled sync.Map
	e := newEngine(t, runtime.Config{})
	e.SetNetwork(func(string) []string { return []string{"127.0.0.1"} }, func(a string) { dialled.Store(a, true) })
	m := load(t, e, []byte(caller), runtime.Spec{AllowHTTP: hosts(t, "out.test:"+u.Port()+", 127.0.0.0/8")})
	from := "http://out.test:" + u.Port() + "/redirect?to="
	if got := ask(t, m, "GET", from+"/fine"); !strings.HasPrefix(got, "202 ") {
		t.Errorf("a redirect to the same host: %s", got)
	}
	for _, to := range []string{inner.URL, "http://169.254.169.254/", "file:///etc/passwd"} {
		if got := ask(t, m, "GET", from+to); !strings.HasPrefix(got, "TypeError: fetch") {
			t.Errorf("a redirect to %s: %s", to, got)
		}
	}
	if _, ok := dialled.Load(strings.TrimPrefix(inner.URL, "http://")); ok {
		t.Error("the other server was dialled")
	}
}

func TestTwoHundredGuestsWaitForAnswersOnTwoSlots(t *testing.T) {
	const guests = 200
	var waiting atomic.Int64
	all := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if waiting.Add(1) == guests {
			close(all)
		}
		<-all
	}))
	defer s.Close()
	m := load(t, newEngine(t, runtime.Config{Slots: 2}), []byte(caller), runtime.Spec{AllowHTTP: hosts(t, strings.TrimPrefix(s.URL, "http://"))})
	var wg sync.WaitGroup
	for range guests {
		wg.Go(func() {
			if resp, err := invoke(t, m, requestOf("GET", "/", "", s.URL, nil)); err != nil || !strings.HasPrefix(resp.body.String(), "200") {
				t.Errorf("%v %s", err, resp.body.String())
			}
		})
	}
	wg.Wait()
}

func TestACallOutEndsWithItsCallAndIsRefusedAtInitialisation(t *testing.T) {
	s := outside(t)
	spec := runtime.Spec{AllowHTTP: hosts(t, strings.TrimPrefix(s.URL, "http://"))}
	e := newEngine(t, runtime.Config{})
	ctx, cancel := contextOf(t, 50*time.Millisecond)
	defer cancel()
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hung.Close()
	m := load(t, e, []byte(caller), runtime.Spec{AllowHTTP: hosts(t, strings.TrimPrefix(hung.URL, "http://"))})
	if err := m.Invoke(ctx, requestOf("GET", "/", "", hung.URL, nil), &recorder{}); !errors.Is(err, backends.ErrDeadline) {
		t.Errorf("got %v", err)
	}
	early := load(t, e, []byte(`let said = "nothing"; fetch("`+s.URL+`").then((r) => { said = r.status }, (e) => { said = String(e) });
		export default async () => { await null; return said }`), spec)
	if got := ask(t, early, "GET", ""); !strings.Contains(got, "initialised") {
		t.Errorf("at its initialisation: %s", got)
	}
}

func TestWhatAFunctionSendsIsBoundedAndItsOwn(t *testing.T) {
	s := outside(t)
	m := load(t, newEngine(t, runtime.Config{}), []byte(`export default async (r) => {
		try { await (eval(r.text())); return "sent" } catch (e) { return String(e) }
	}`), runtime.Spec{AllowHTTP: hosts(t, strings.TrimPrefix(s.URL, "http://"))})
	for init, want := range map[string]string{
		`{}`:                                 "sent",
		`{headers: {Host: "evil"}}`:          "not the function's to send",
		`{headers: {"Content-Length": "1"}}`: "not the function's to send",
		`{headers: {"Transfer-Encoding": "chunked"}}`:  "not the function's to send",
		`{headers: {a: "b\r\nHost: evil"}}`:            "line break",
		`{headers: {"a b": "c"}}`:                      "is none",
		`{method: "CONNECT"}`:                          "not allowed",
		`{method: "GET / HTTP/1.1"}`:                   "not allowed",
		`{method: "PUT", body: new Uint8Array(9<<20)}`: "too large",
		`{headers: {a: "x".repeat(70000)}}`:            "too large",
	} {
		if got := ask(t, m, "POST", `fetch("`+s.URL+`", `+init+`)`); !strings.Contains(got, want) {
			t.Errorf("%s gave %s, want %s", init, got, want)
		}
	}
	if got := ask(t, m, "POST", `(async () => { for (let i = 0; i < 101; i++) await fetch("`+s.URL+`") })()`); !strings.Contains(got, "more than 100 requests") {
		t.Errorf("101 requests: %s", got)
	}
}
