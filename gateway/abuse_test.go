package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hearth/backends"
)

// TestABodyThatCannotBeMeantIsRefused is check 42.
func TestABodyThatCannotBeMeantIsRefused(t *testing.T) {
	cfg := testConfig()
	m := newMemoryBackend()
	cfg.Backend = m
	_, base := serve(t, cfg)
	if err := m.Deploy(t.Context(), backends.Function{Key: catKey, Image: "cat"}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, m)
	deep := func(open, shut string, n int) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	deploy := func(field, value string) string { return `{"service":"f","image":"x","` + field + `":` + value + `}` }
	for name, test := range map[string]struct {
		route, body string
		want        int
	}{
		"nothing":                     {"POST /system/functions", "", 400},
		"null":                        {"POST /system/functions", "null", 400},
		"a list":                      {"POST /system/functions", "[]", 400},
		"a text":                      {"PUT /system/secrets", `"x"`, 400},
		"two objects":                 {"POST /system/functions", "{}{}", 400},
		"a cut object":                {"POST /system/functions", `{"service":"f"`, 400},
		"a comma too many":            {"POST /system/functions", `{"service":"f",}`, 400},
		"a comment":                   {"POST /system/functions", `{"service":"f"/*x*/}`, 400},
		"not UTF-8":                   {"POST /system/functions", "{\"service\":\"f\xff\"}", 400},
		"a byte order mark":           {"POST /system/functions", "\ufeff{}", 400},
		"objects 100000 deep":         {"POST /system/functions", deep(`{"a":`, "}", 100_000), 400},
		"lists 100000 deep":           {"POST /system/functions", `{"secrets":` + deep("[", "]", 100_000) + "}", 400},
		"lists 400000 deep, unclosed": {"POST /system/alert", `{"x":` + strings.Repeat("[", 400_000), 400},
		"2 MiB":                       {"POST /system/functions", `{"image":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"100 MiB":                     {"POST /system/functions", strings.Repeat(" ", 100<<20), 413},
		"100 MiB as a secret":         {"POST /system/secrets", strings.Repeat(" ", 100<<20), 413},
		"100 MiB as a module":         {"PUT /system/modules", strings.Repeat(" ", 100<<20), 413},
		"a key twice":                 {"POST /system/functions", `{"service":"f","image":"x","image":"y"}`, 400},
		"a key twice in other case":   {"POST /system/functions", `{"service":"f","image":"x","IMAGE":"y"}`, 400},
		"a key twice, once escaped":   {"POST /system/functions", `{"service":"f","image":"x","im\u0061ge":"y"}`, 400},
		"a label twice":               {"POST /system/functions", deploy("labels", `{"a":"1","a":"2"}`), 400},
		"a secret's value twice":      {"POST /system/secrets", `{"name":"s","value":"a","value":"b"}`, 400},
		"a number as the name":        {"POST /system/functions", `{"service":1,"image":"x"}`, 400},
		"a list as the name":          {"POST /system/functions", `{"service":["f"],"image":"x"}`, 400},
		"labels as a list":            {"POST /system/functions", deploy("labels", `["a"]`), 400},
		"a label that is a number":    {"POST /system/functions", deploy("labels", `{"a":1}`), 400},
		"a label that is an object":   {"POST /system/functions", deploy("labels", `{"a":{}}`), 400},
		"secrets as an object":        {"POST /system/functions", deploy("secrets", `{}`), 400},
		"limits as a text":            {"POST /system/functions", deploy("limits", `"1Gi"`), 400},
		"a limit as a number":         {"POST /system/functions", deploy("limits", `{"memory":1}`), 400},
		"a limit of NaN":              {"POST /system/functions", deploy("limits", `{"memory":"NaN"}`), 400},
		"a limit of 1e400":            {"POST /system/functions", deploy("limits", `{"cpu":"1e400"}`), 400},
		"a limit beyond 64 bits":      {"POST /system/functions", deploy("limits", `{"memory":"99999999999999Ei"}`), 400},
		"a negative limit":            {"POST /system/functions", deploy("requests", `{"cpu":"-1"}`), 400},
		"a bool as text":              {"POST /system/functions", deploy("readOnlyRootFilesystem", `"true"`), 400},
		"a label that ends a metric":  {"POST /system/functions", deploy("labels", `{"a\"} 1\nx":"b"}`), 400},
		"a variable with a null byte": {"POST /system/functions", deploy("envVars", `{"A":"x\u0000y"}`), 400},
		"a variable with =":           {"POST /system/functions", deploy("envVars", `{"A=B":"x"}`), 400},
		"a line end in the image":     {"POST /system/functions", `{"service":"f","image":"x\ny"}`, 400},
		"10 KiB of image":             {"POST /system/functions", `{"service":"f","image":"` + strings.Repeat("x", 10<<10) + `"}`, 400},
		"an unknown key of ours":      {"POST /system/functions", deploy("labels", `{"com.hearth.x":"y"}`), 400},
		"a thousand secrets":          {"POST /system/functions", deploy("secrets", `["a`+strings.Repeat(`","a`, 999)+`"]`), 400},
		"minimum above maximum":       {"POST /system/functions", deploy("labels", `{"com.openfaas.scale.min":"5","com.openfaas.scale.max":"2"}`), 400},
		"a minimum of 2^63":           {"POST /system/functions", deploy("labels", `{"com.openfaas.scale.min":"9223372036854775808"}`), 400},
		"a target of NaN":             {"POST /system/functions", deploy("labels", `{"com.openfaas.scale.target":"NaN"}`), 400},
		"a target of infinity":        {"POST /system/functions", deploy("labels", `{"com.openfaas.scale.target":"Inf"}`), 400},
		"a duration without end":      {"POST /system/functions", deploy("labels", `{"com.openfaas.scale.zero-duration":"9999999h"}`), 400},
		"-1 replicas":                 {"POST /system/scale-function/cat", `{"replicas":-1}`, 400},
		"2^63 replicas":               {"POST /system/scale-function/cat", `{"replicas":9223372036854775808}`, 400},
		"2^63-1 replicas":             {"POST /system/scale-function/cat", `{"replicas":9223372036854775807}`, 400},
		"1e3 replicas":                {"POST /system/scale-function/cat", `{"replicas":1e3}`, 400},
		"half a replica":              {"POST /system/scale-function/cat", `{"replicas":0.5}`, 400},
		"NaN replicas":                {"POST /system/scale-function/cat", `{"replicas":NaN}`, 400},
		"null replicas":               {"POST /system/scale-function/cat", `{"replicas":null}`, 400},
		"replicas as text":            {"POST /system/scale-function/cat", `{"replicas":"1"}`, 400},
		"no base64":                   {"POST /system/secrets", `{"name":"s","rawValue":"!"}`, 400},
		"an empty secret":             {"POST /system/secrets", `{"name":"s"}`, 400},
		"alerts as a text":            {"POST /system/alert", `{"alerts":"x"}`, 400},
		"1001 alerts":                 {"POST /system/alert", `{"alerts":[{}` + strings.Repeat(",{}", 1000) + `]}`, 400},
		"an alert without labels":     {"POST /system/alert", `{"alerts":[{"status":"firing","labels":null}]}`, 200},
		"a namespace without mark":    {"POST /system/namespace/", `{"name":"dev"}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			method, path, _ := strings.Cut(test.route, " ")
			resp, text := do(t, method, base+path, strings.NewReader(test.body), "Authorization", "Basic YWRtaW46c2VjcmV0")
			if resp.StatusCode != test.want || len(text) > 4096 {
				t.Errorf("got %s %.300s", resp.Status, text)
			}
		})
	}
	if after := snapshot(t, m); after != before {
		t.Errorf("the state changed\nfrom %s\nto   %s", before, after)
	}
}

// TestAThousandDeploymentsAtOnceLoseNothing is the rest of check 42.
func TestAThousandDeploymentsAtOnceLoseNothing(t *testing.T) {
	cfg := testConfig()
	m := newMemoryBackend()
	cfg.Backend = m
	_, base := serve(t, cfg)
	transport := &http.Transport{MaxConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	var group sync.WaitGroup
	for i := range 1000 {
		group.Go(func() {
			req, _ := http.NewRequest("POST", base+"/system/functions", strings.NewReader(fmt.Sprintf(`{"service":"f%d","image":"x"}`, i)))
			req.SetBasicAuth("admin", "secret")
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 202 {
				t.Errorf("deployment %d: got %s", i, resp.Status)
			}
		})
	}
	group.Wait()
	if len(m.functions) != 1000 {
		t.Errorf("%d functions are there", len(m.functions))
	}
}

// TestWhatAClientSendsCannotForgeALogLine is check 41: every event is one
// line, valid and short, whatever is in it.
func TestWhatAClientSendsCannotForgeALogLine(t *testing.T) {
	hostile := []string{"\r\n2026 INFO forged", `"} {"level":"INFO"`, "\x1b[2J\x1b]0;x\x07", "\u2028\u202e", strings.Repeat("A", 1<<20), "%0d%0aforged", "\x00\x7f"}
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			var out lockedBuffer
			options := &slog.HandlerOptions{Level: slog.LevelDebug}
			var handler slog.Handler = slog.NewJSONHandler(&out, options)
			if format == "text" {
				handler = slog.NewTextHandler(&out, options)
			}
			cfg := testConfig()
			cfg.Logger, cfg.CallLog = slog.New(handler), true
			m := newMemoryBackend()
			m.broken = errors.New("disk \"x\"\r\nforged \x1b[31m")
			cfg.Backend = m
			g, base := serve(t, cfg)
			setFunction(g, "echo", echo)
			for _, h := range hostile {
				body, _ := json.Marshal(map[string]any{"service": "f", "image": h, "envProcess": h, "annotations": map[string]string{"a": h}})
				for _, request := range []string{
					"POST /system/functions HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + string(body),
					"GET /system/functions?x=" + flat(h) + " HTTP/1.1\r\nHost: x\r\nUser-Agent: " + flat(h) + "\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\n\r\n",
					"GET /function/echo/" + flat(h) + " HTTP/1.1\r\nHost: " + flat(h) + "\r\nX-Call-Id: " + flat(h) + "\r\n\r\n",
					"GET /function/" + flat(h) + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + flat(h) + "\r\n\r\n",
					flat(h) + " / HTTP/1.1\r\nHost: x\r\n\r\n",
				} {
					sendAway(t, strings.TrimPrefix(base, "http://"), request)
				}
			}
			lines := bufio.NewScanner(bytes.NewReader(out.Bytes()))
			lines.Buffer(nil, 64<<20)
			n := 0
			for ; lines.Scan(); n++ {
				line := lines.Bytes()
				if len(line) > 8<<10 || bytes.HasPrefix(line, []byte("2026 INFO forged")) || bytes.ContainsAny(line, "\r\x1b\x00\x07") {
					t.Errorf("a line of %d bytes: %.200q", len(line), line)
				}
				if format == "json" && !json.Valid(line) {
					t.Errorf("not JSON: %.200q", line)
				}
			}
			if n == 0 {
				t.Error("nothing was logged")
			}
		})
	}
}

// flat takes from a text what would end its line or word already on the wire.
func flat(s string) string {
	return strings.NewReplacer("\r", "\\r", "\n", "\\n", " ", "+").Replace(s)
}

// sendAway sends a request and reads whatever comes until the connection ends
// or the answer is there.
func sendAway(t *testing.T, addr, request string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, request) // may be cut
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

// lockedBuffer is a buffer for many writers.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
