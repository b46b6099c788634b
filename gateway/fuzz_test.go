package gateway

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// apiRequest makes a request as the server would hand it over.
func apiRequest(method, target string, body []byte, credentials bool) *fasthttp.RequestCtx {
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, nil)
	ctx.Request.Header.SetMethod(method)
	ctx.Request.Header.SetRequestURI(target)
	ctx.Request.Header.SetHost("localhost")
	ctx.Request.SetBody(body)
	if credentials {
		ctx.Request.Header.Set("Authorization", "Basic YWRtaW46c2VjcmV0")
	}
	return &ctx
}

// seedBodies gives the bodies of the golden files.
func seedBodies(f *testing.F) [][]byte {
	f.Helper()
	files, err := filepath.Glob("../testdata/golden/api/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	var bodies [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if bytes.HasPrefix(line, []byte("{")) {
				bodies = append(bodies, bytes.TrimSpace(line))
			}
		}
	}
	return bodies
}

// FuzzBodies sends any body to every path that takes one. Nothing panics, no
// answer blames us, the backend hears of valid names only, and a function that
// was accepted reads back as it was given.
func FuzzBodies(f *testing.F) {
	paths := []string{
		"POST /system/functions", "PUT /system/functions", "DELETE /system/functions", "POST /system/scale-function/f",
		"POST /system/secrets", "PUT /system/secrets", "DELETE /system/secrets",
		"POST /system/namespace/", "PUT /system/namespace/dev", "DELETE /system/namespace/dev", "POST /system/alert",
	}
	for i, body := range seedBodies(f) {
		f.Add(uint8(i), body)
		f.Add(uint8(0), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		cfg := testConfig()
		strict := &strictBackend{memoryBackend: newMemoryBackend()}
		cfg.Backend = strict
		s := newSystem(cfg, func(backends.Key) float64 { return 0 })
		method, path, _ := strings.Cut(paths[int(which)%len(paths)], " ")
		ctx := apiRequest(method, path, body, true)
		s.serve(ctx)
		status := ctx.Response.StatusCode()
		switch status {
		case 200, 201, 202, 400, 404, 409, 413:
		default:
			t.Fatalf("%s %s %q: got %d %s", method, path, body, status, ctx.Response.Body())
		}
		if len(strict.bad) > 0 {
			t.Fatalf("the backend heard of %q", strict.bad)
		}
		if status == 202 && path == "/system/functions" && method == "POST" {
			readsBack(t, s, body)
		}
	})
}

// readsBack compares what was deployed with what is answered about it.
func readsBack(t *testing.T, s *system, body []byte) {
	t.Helper()
	var given backends.FunctionDeployment
	if err := json.Unmarshal(body, &given); err != nil {
		t.Fatalf("%q was accepted: %v", body, err)
	}
	target := "/system/function/" + given.Service
	if given.Namespace != "" {
		target += "?namespace=" + given.Namespace
	}
	ctx := apiRequest("GET", target, nil, true)
	s.serve(ctx)
	var got backends.FunctionStatus
	if err := json.Unmarshal(ctx.Response.Body(), &got); err != nil || ctx.Response.StatusCode() != 200 {
		t.Fatalf("%s: got %d %s", target, ctx.Response.StatusCode(), ctx.Response.Body())
	}
	if got.Image != given.Image || got.EnvProcess != given.EnvProcess || len(got.EnvVars) != len(given.EnvVars) || got.Labels[backends.FunctionLabel] != given.Service {
		t.Errorf("%q reads back as %s", body, ctx.Response.Body())
	}
	for k, v := range given.Annotations {
		if got.Annotations[k] != v {
			t.Errorf("annotation %q: %q reads back as %q", k, v, got.Annotations[k])
		}
	}
}

// FuzzPaths asks for any path without credentials and with them. Without, all
// but the open paths are closed; with, nothing is blamed on us and nothing but
// a valid name reaches the backend.
func FuzzPaths(f *testing.F) {
	for _, r := range newSystem(testConfig(), nil).resources {
		for _, target := range spellings(r.path + "cat") {
			f.Add("GET", target)
		}
		f.Add("PUT", r.path)
	}
	open := map[string]bool{"/": true, "/ui": true, "/healthz": true, "/system/store": true}
	f.Fuzz(func(t *testing.T, method, target string) {
		cfg := testConfig()
		strict := &strictBackend{memoryBackend: newMemoryBackend()}
		cfg.Backend = strict
		s := newSystem(cfg, func(backends.Key) float64 { return 0 })
		for _, credentials := range []bool{false, true} {
			ctx := apiRequest(method, target, nil, credentials)
			path := ctx.URI().PathOriginal()
			s.serve(ctx)
			status := ctx.Response.StatusCode()
			if !credentials && status < 400 && !open[string(path)] {
				t.Fatalf("%s %q is open: %d", method, target, status)
			}
			if status >= 500 && status != http.StatusNotImplemented {
				t.Fatalf("%s %q: got %d %s", method, target, status, ctx.Response.Body())
			}
			if len(strict.bad) > 0 {
				t.Fatalf("the backend heard of %q", strict.bad)
			}
			if status == http.StatusUnauthorized && credentials {
				t.Fatalf("%s %q: right credentials are refused", method, target)
			}
		}
	})
}

// FuzzLogLine turns any line of a function into one line of valid JSON that
// says the same.
func FuzzLogLine(f *testing.F) {
	f.Add("hello", "instance-0")
	f.Add("\x1b[31m\r\n\u2028\xff\x00", "\n")
	f.Fuzz(func(t *testing.T, text, instance string) {
		s := &logStream{log: testConfig().Logger}
		s.take(logItem{line: backends.LogLine{Key: catKey, Instance: instance, Time: created, Text: text}}, true)
		line := bytes.TrimSuffix(s.pending, []byte("\n"))
		if s.err != nil || bytes.ContainsAny(line, "\r\n\x00\x1b") {
			t.Fatalf("%q became %q (%v)", text, line, s.err)
		}
		var got backends.LogMessage
		if err := json.Unmarshal(line, &got); err != nil || got.Text != strings.ToValidUTF8(text, "\ufffd") && !strings.Contains(got.Text, "\ufffd") {
			t.Fatalf("%q reads back as %q (%v)", text, got.Text, err)
		}
	})
}
