package gateway

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
	"hearth/gateway/http1"
)

// knownKeys grows with every key; the record does not repeat the list.
var knownKeys = regexp.MustCompile(`known keys are [-a-z0-9., ]*`)

var digits = regexp.MustCompile(`[0-9a-f]{8}-[-0-9a-f]+|[0-9]+`)

var update = flag.Bool("update", false, "write the golden files anew")

// serveSystem runs the API on a port of its own and gives its address.
func serveSystem(t testing.TB, cfg Config) string {
	t.Helper()
	s := newSystem(cfg, func(key backends.Key) float64 { return float64(len(key.Name)) })
	server := &fasthttp.Server{
		Handler: s.serve, StreamRequestBody: true, NoDefaultServerHeader: true, NoDefaultDate: true,
		Logger: quiet{},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	guarded := http1.Listen(ln, http1.ListenerOptions{})
	go func() { done <- server.Serve(guarded) }()
	t.Cleanup(func() {
		server.CloseOnShutdown = true
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		guarded.Stop()
	})
	return ln.Addr().String()
}

// quiet drops what fasthttp says about connections that tests cut.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// goldenConfig is the gateway that the golden files were recorded from.
func goldenConfig() (Config, *memoryBackend) {
	m := newMemoryBackend()
	for i, text := range []string{"Forking fprocess.", "Wrote 11 Bytes - Duration: 0.001 seconds", `a "quoted" line`} {
		m.lines = append(m.lines, backends.LogLine{
			Key:      backends.Key{Namespace: backends.DefaultNamespace, Name: "cat"},
			Instance: fmt.Sprintf("cat-%d", i%2), Time: created.Add(time.Duration(i) * time.Second), Text: text,
		})
	}
	m.store = []backends.StoreFunction{{
		Title: "Echo", Name: "echo", Description: "Answers with the request's body",
		Images: map[string]string{"x86_64": "echo", "arm64": "echo"}, RepoURL: "https://example.com/echo",
	}}
	cfg := testConfig()
	cfg.Backend, cfg.MaxModule = m, 1<<10
	cfg.Version = backends.VersionInfo{Release: "1.2.3", SHA: "0123abc"}
	return cfg, m
}

// goldenFunctions are the images of the conformance suite, as far as its tests
// can tell.
func goldenFunctions(g *Gateway) {
	setFunction(g, "cat", echo)
	setFunction(g, "env-test", handlerFunc(func(_ context.Context, req *backends.Request, resp backends.Response) error {
		_, err := fmt.Fprintf(resp, "Http_Method=%s\nHttp_Path=%s\nHttp_Query=%s\nHttp_Host=%s\ncustom_env=custom_value\n", req.Method, req.Path, req.Query, req.Host)
		return err
	}))
	setFunction(g, "redirector-test", handlerFunc(func(_ context.Context, _ *backends.Request, resp backends.Response) error {
		resp.SetHeader([]byte("Location"), []byte("https://example.com/"))
		resp.SetStatus(http.StatusFound)
		return nil
	}))
	setFunction(g, "fails", handlerFunc(func(context.Context, *backends.Request, backends.Response) error {
		return backends.Errorf(backends.ErrFunction, "function fails exited with code 1")
	}))
}

// TestEveryAnswerIsTheOneOnRecord plays the requests of testdata/golden/api
// against a real listener. A file is a conversation: "> " begins a line of a
// request's head, "< " of an answer's; what follows a head, up to an empty line,
// is its body.
func TestEveryAnswerIsTheOneOnRecord(t *testing.T) {
	files, err := filepath.Glob("../testdata/golden/api/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, _ := goldenConfig()
			g, url := serve(t, cfg)
			goldenFunctions(g)
			got := replay(t, strings.TrimPrefix(url, "http://"), string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s: the answers differ from the record (-update writes it anew)\n%s", file, firstDifference(string(want), got))
			}
		})
	}
}

// replay sends every request of a conversation and gives the conversation
// with the answers that came.
func replay(t *testing.T, addr, conversation string) string {
	t.Helper()
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(conversation, "\n"), "\n")
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], ">") {
			if strings.HasPrefix(lines[i], "#") { // between conversations
				fmt.Fprintln(&out, lines[i])
			}
			i++
			continue
		}
		var head, body []string
		for ; i < len(lines) && strings.HasPrefix(lines[i], ">"); i++ {
			head = append(head, strings.TrimPrefix(strings.TrimPrefix(lines[i], ">"), " "))
		}
		for ; i < len(lines) && lines[i] != "" && lines[i][0] != '<' && lines[i][0] != '>'; i++ {
			body = append(body, lines[i])
		}
		for ; i < len(lines) && !strings.HasPrefix(lines[i], ">") && !strings.HasPrefix(lines[i], "#"); i++ {
		}
		for _, l := range head {
			fmt.Fprintln(&out, strings.TrimSpace("> "+l))
		}
		for _, l := range body {
			fmt.Fprintln(&out, l)
		}
		out.WriteString(exchange(t, addr, head, strings.TrimSpace(strings.Join(body, "\n"))))
		out.WriteString("\n")
	}
	return out.String()
}

// exchange sends one request as written, with credentials unless it has an
// Authorization line ("Authorization: -" for none), and prints the answer
// without the headers that change from run to run.
func exchange(t *testing.T, addr string, head []string, body string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var req bytes.Buffer
	fmt.Fprintf(&req, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", head[0], len(body))
	if !slices.ContainsFunc(head[1:], func(l string) bool { return strings.HasPrefix(l, "Authorization:") }) {
		head = append(head[:len(head):len(head)], "Authorization: Basic YWRtaW46c2VjcmV0")
	}
	for _, l := range head[1:] {
		if l != "Authorization: -" {
			fmt.Fprintf(&req, "%s\r\n", l)
		}
	}
	fmt.Fprintf(&req, "\r\n%s", body)
	if _, err := conn.Write(req.Bytes()); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(head[0], " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", head[0], err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", head[0], err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "< %d\n", resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		switch name {
		case "Content-Length", "Date":
		case "X-Call-Id", "X-Start-Time", "Server-Timing": // another one each time
			fmt.Fprintf(&out, "< %s: %s\n", name, digits.ReplaceAllString(resp.Header.Get(name), "0"))
		default:
			fmt.Fprintf(&out, "< %s: %s\n", name, strings.Join(resp.Header[name], " | "))
		}
	}
	answer = bytes.ReplaceAll(answer, []byte(`"arch":"`+arch(runtime.GOARCH)+`"`), []byte(`"arch":"ARCH"`))
	answer = knownKeys.ReplaceAll(answer, []byte("known keys are ..."))
	if len(answer) > 0 {
		fmt.Fprintf(&out, "%s\n", strings.TrimSuffix(string(answer), "\n"))
	}
	return out.String()
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, a, b)
		}
	}
	return "no difference"
}
