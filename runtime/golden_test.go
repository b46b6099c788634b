package runtime_test

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"hearth/backends"
	"hearth/runtime"
)

// TestStoreFunctionsAnswerAsTheirGoldenCasesSay runs the cases of the function store, which were recorded on stock wazero with wazero's
// own WASI. Left out are cases whose environment, input or output the format keeps otherwise than as files, and functions that print
// their environment or the clock: here the environment always holds the request's variables.
func TestStoreFunctionsAnswerAsTheirGoldenCasesSay(t *testing.T) {
	paths, err := filepath.Glob("../testdata/guests/store/*/cases/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	e, ran := newEngine(t, runtime.Config{}), 0
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if g, ok := readGolden(archive); ok {
			ran++
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { g.check(t, e) })
		}
	}
	if ran < 50 {
		t.Errorf("%d cases ran, want at least 50", ran)
	}
}

type golden struct {
	function       string
	process        []string
	stdin          []byte
	stdout, stderr []byte
	header         []byte
	secrets        map[string][]byte
	env            map[string]string
	exit           string
}

func readGolden(archive *txtar.Archive) (golden, bool) {
	g := golden{secrets: map[string][]byte{}, env: map[string]string{}}
	for line := range strings.Lines(string(archive.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "function":
			g.function = value
			if value == "env" || value == "nodeinfo" || value == "printer" {
				return g, false
			}
		case "process":
			g.process = strings.Split(value, " ")
		case "exit":
			g.exit = value
		default:
			return g, false
		}
	}
	for _, f := range archive.Files {
		name, trim := strings.CutSuffix(f.Name, " (no newline)")
		data := f.Data
		if trim {
			data = bytes.TrimSuffix(data, []byte("\n"))
		}
		switch {
		case name == "stdin":
			g.stdin = data
		case name == "stdout":
			g.stdout = data
		case name == "stderr":
			g.stderr = data
		case name == "header":
			g.header = data
		case strings.HasPrefix(name, "secret "):
			g.secrets[strings.TrimPrefix(name, "secret ")] = data
		}
	}
	return g, true
}

func (g golden) check(t *testing.T, e *runtime.Engine) {
	f := stored(t, g.function)
	if g.process == nil {
		g.process = f.Process
	}
	var stderr bytes.Buffer
	spec := runtime.Spec{Args: g.process, Secrets: g.secrets, CGI: f.Annotations[backends.KeyOutput] == "cgi" && g.exit == "",
		Log: func(line []byte) { stderr.Write(line); stderr.WriteByte('\n') }}
	m := load(t, e, f.Wasm, spec)
	defer m.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := &recorder{status: http.StatusOK}
	err := m.Invoke(ctx, &backends.Request{Header: nil, Body: g.stdin}, r)
	if (err != nil) != (g.exit != "") || err != nil && !strings.HasSuffix(err.Error(), "exit status "+g.exit) {
		t.Errorf("error %v, want exit status %q", err, g.exit)
	}
	if !bytes.Equal(r.body.Bytes(), g.stdout) {
		t.Errorf("stdout\n got %q\nwant %q", r.body.Bytes(), g.stdout)
	}
	if got := bytes.TrimSuffix(stderr.Bytes(), []byte("\n")); !bytes.Equal(got, bytes.TrimSuffix(g.stderr, []byte("\n"))) {
		t.Errorf("stderr\n got %q\nwant %q", got, g.stderr)
	}
	for line := range strings.Lines(string(g.header)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch {
		case name == "Status":
			if !strings.HasPrefix(value, strconv.Itoa(r.status)) {
				t.Errorf("status %d, want %s", r.status, value)
			}
		case string(r.header.Get(name)) != value:
			t.Errorf("header %s: got %q, want %q", name, r.header.Get(name), value)
		}
	}
}
