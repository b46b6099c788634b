package watchdog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// freeAddr gives an address that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// startProxy runs a watchdog in mode http around this binary.
func startProxy(t testing.TB, environ ...string) *running {
	t.Helper()
	addr := freeAddr(t)
	return start(t, nil, append([]string{"mode=http", "fprocess=" + os.Args[0], "upstream_url=http://" + addr, "TEST_FUNCTION=" + addr}, environ...)...)
}

func TestAProxiedRequestAndItsAnswerKeepTheContract(t *testing.T) {
	r := startProxy(t, "exec_timeout=2s")
	for name, c := range map[string]forkCase{
		"method, path and query as they are": {method: "PATCH", target: "/a%2Fb//c?x=%20&&", body: "hi", status: 200, want: "PATCH /a%2Fb//c?x=%20&&\nHost: f\nLength: 2\n*", header: "X-Duration-Seconds: *"},
		"a body in chunks":                   {target: "/", body: "chunked", status: 200, want: "POST /\nHost: f\nLength: -1\n*"},
		"no body":                            {method: "GET", target: "/", status: 200, want: "GET /\nHost: f\nLength: 0\n*"},
		"headers":                            {target: "/", headers: []string{"X-Two: a", "X-Two: b", "X-Call-Id: id"}, status: 200, want: "*X-Two: a\r\nX-Two: b\r\n*"},
		"what Connection names ends here":    {target: "/", headers: []string{"Connection: X-Secret", "X-Secret: 1", "Proxy: evil"}, status: 200, want: "POST /\nHost: f\nLength: 0\n*"},
		"a status":                           {target: "/status?418", status: 418, want: "", header: "X-Mine: yes"},
		"an empty answer":                    {target: "/status?204", status: 204, want: "", header: "-Keep-Alive"},
		"a redirect is not followed":         {method: "GET", target: "/status?302", status: 302, want: "", header: "Location: /elsewhere"},
		"HEAD":                               {method: "HEAD", target: "/big?100000", status: 200, want: "", header: "Content-Length: 100000"},
		"a timeout of the client's":          {target: "/slow?30s", headers: []string{"X-Timeout: 100ms"}, status: 504, want: "", header: "X-Openfaas-Internal: of-watchdog"},
		"a timeout longer than ours":         {target: "/slow?30s", headers: []string{"X-Timeout: 1h"}, status: 504, want: ""},
		"an event stream has no timeout":     {method: "GET", target: "/slow?2500ms", headers: []string{"Accept: text/event-stream"}, status: 200, want: "slow", header: "-X-Duration-Seconds"},
		"an answer before the body's end":    {target: "/early", body: strings.Repeat("x", 8<<20), status: 403, want: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body io.Reader = strings.NewReader(c.body)
			if c.body == "chunked" {
				body = io.MultiReader(body)
			}
			method := c.method
			if method == "" {
				method = "POST"
			}
			resp, text := r.do(t, method, c.target, body, c.headers...)
			if resp.StatusCode != c.status || !like(text, c.want) {
				t.Errorf("got %s %.300q, want %d %.300q", resp.Status, text, c.status, c.want)
			}
			checkHeader(t, resp, c.header)
			if strings.Contains(text, "X-Secret") || strings.Contains(text, "evil") {
				t.Errorf("the function saw %s", text)
			}
			if c.target == "/status?418" && len(resp.Header["Set-Cookie"]) != 2 {
				t.Errorf("cookies: %v", resp.Header["Set-Cookie"])
			}
		})
	}
}

func TestBodiesOfAnySizePassUnchangedBothWays(t *testing.T) {
	r := startProxy(t)
	for _, n := range []int{0, 1, 1000, 16 << 10, 16<<10 + 1, 100_000, 20 << 20} {
		want := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
		for how, body := range map[string]io.Reader{"with its length": bytes.NewReader(want), "in chunks": io.MultiReader(bytes.NewReader(want))} {
			_, got := r.do(t, "POST", "/echo", body)
			if got != string(want) {
				t.Errorf("%d bytes %s came back as %d", n, how, len(got))
			}
		}
		if resp, got := r.do(t, "GET", fmt.Sprintf("/big?%d", n), nil); len(got) != n || resp.ContentLength != int64(n) {
			t.Errorf("%d bytes came as %d, announced as %d", n, len(got), resp.ContentLength)
		}
	}
}

func TestManyRequestsAtOnceGetEachItsOwnAnswer(t *testing.T) {
	r := startProxy(t)
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			for j := range 30 {
				want := strings.Repeat(fmt.Sprintf("%d/%d ", i, j), 1+100*j)
				if _, got := r.do(t, "POST", "/echo", strings.NewReader(want)); got != want {
					t.Errorf("request %d of %d got another's answer", j, i)
				}
			}
		})
	}
	group.Wait()
}

func TestEventsComeWhenTheyAreSent(t *testing.T) {
	t.Parallel()
	r := startProxy(t, "exec_timeout=100ms")
	req, _ := http.NewRequest("GET", "http://f/events", nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := r.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var times []time.Time
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			times = append(times, time.Now())
		}
	}
	if len(times) != 5 || times[4].Sub(times[0]) < 150*time.Millisecond {
		t.Errorf("%d events came within %v", len(times), times[len(times)-1].Sub(times[0]))
	}
}

func TestAnAnswerThatIsCutIsCutForTheClientToo(t *testing.T) {
	r := startProxy(t)
	for _, how := range []string{"length", "chunks"} {
		for range 20 {
			resp, err := r.Get("http://f/cut?" + how)
			if err != nil {
				continue // before its header: an error as well
			}
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("with %s: the cut answer looks whole", how)
			}
			resp.Body.Close()
		}
	}
	if _, text := r.do(t, "POST", "/echo", strings.NewReader("still here")); text != "still here" {
		t.Errorf("afterwards: %q", text)
	}
}

func TestAClientThatLeavesEndsTheFunctionsRequest(t *testing.T) {
	t.Parallel()
	r := startProxy(t)
	ctx, leave := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer leave()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://f/slow?20s", nil)
	if _, err := r.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	eventually(t, "the function to hear of it", func() bool { return strings.Contains(r.log.String(), "the caller went away") })
}

// eventually waits for what another process brings about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 15*time.Second {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestAFunctionThatDiesIsStartedAgainAndTheWatchdogLives(t *testing.T) {
	t.Parallel()
	r := startProxy(t)
	for range 3 {
		if resp, text := r.do(t, "POST", "/die", nil); resp.StatusCode != 500 || text != "" || resp.Header.Get("X-Openfaas-Internal") != "of-watchdog" {
			t.Errorf("the request that it died of: %s %q", resp.Status, text)
		}
		eventually(t, "the next one", func() bool {
			resp, err := r.Post("http://f/echo", "", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return resp.StatusCode == 200
		})
	}
	if log := r.log.String(); !strings.Contains(log, "exit status 3") || strings.Count(log, "stdout: function is up") != 4 {
		t.Errorf("the log says\n%s", log)
	}
}

func TestAnUpgradedConnectionCarriesAnythingBothWays(t *testing.T) {
	r := startProxy(t)
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET /upgrade HTTP/1.1\r\nHost: f\r\nConnection: keep-alive, Upgrade\r\nUpgrade: test\r\n\r\n")
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "test" || resp.Header.Get("X-Mine") != "yes" {
		t.Fatalf("got %+v, %v", resp, err)
	}
	if line, err := br.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	for _, part := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\xff\r\n\r\n", strings.Repeat("z", 100_000)} {
		io.WriteString(conn, part)
		got := make([]byte, len(part))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != part {
			t.Fatalf("%.20q came back as %.20q, %v", part, got, err)
		}
	}
	if resp, _ := r.do(t, "GET", "/_/health", nil); resp.StatusCode != 200 {
		t.Errorf("health: %s", resp.Status)
	}
}

func TestNodeServesBehindTheWatchdog(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed here")
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	script := filepath.Join(t.TempDir(), "index.js")
	writeFile(t, script, `require("http").createServer((req, res) => {
  let body = ""; req.on("data", (d) => body += d); req.on("end", () => res.end(req.method + " " + req.url + " " + body));
}).listen(`+port+`, "127.0.0.1");`)
	r := start(t, nil, "mode=http", "fprocess=node "+script, "upstream_url=http://"+addr)
	for i := range 50 {
		if _, text := r.do(t, "POST", "/x", strings.NewReader(fmt.Sprint(i))); text != fmt.Sprint("POST /x ", i) {
			t.Fatalf("got %q", text)
		}
	}
}
