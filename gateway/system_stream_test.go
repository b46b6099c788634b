package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"hearth/backends"
)

var catKey = backends.Key{Namespace: backends.DefaultNamespace, Name: "cat"}

// endedLogs closes ended when a sequence of logs has been left.
type endedLogs struct {
	*memoryBackend
	ended chan struct{}
}

func (b endedLogs) Powers() backends.Powers {
	p := b.memoryBackend.Powers()
	p.Logs = b
	return p
}

func (b endedLogs) Logs(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		defer close(b.ended)
		b.memoryBackend.Logs(ctx, q)(yield)
	}
}

// openLogs asks for the logs of a function as faas-cli does.
func openLogs(t *testing.T, m *memoryBackend, query string) (answer *http.Response, ended chan struct{}, leave func()) {
	t.Helper()
	if err := m.Deploy(t.Context(), backends.Function{Key: catKey, Image: "cat"}); err != nil {
		t.Fatal(err)
	}
	b := endedLogs{m, make(chan struct{})}
	addr := serveSystem(t, Config{Backend: b, MaxModule: 1 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/system/logs?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return resp, b.ended, func() { cancel(); resp.Body.Close() }
}

func await(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(20 * time.Second):
		t.Fatal("waited in vain for " + what)
	}
}

func TestAFollowerGetsEachLineWhenItIsWrittenAndLeavesNothingBehind(t *testing.T) {
	m := newMemoryBackend()
	m.more = make(chan backends.LogLine)
	resp, ended, leave := openLogs(t, m, "name=cat&follow=true")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("got %s %s before any line", resp.Status, resp.Header.Get("Content-Type"))
	}
	lines := bufio.NewReader(resp.Body)
	for _, text := range []string{"one", strings.Repeat("long ", 10_000), "CR\r LF\n ESC\x1b[31m \u2028 end", ""} {
		m.more <- backends.LogLine{Key: catKey, Time: created, Text: text}
		line, err := lines.ReadBytes('\n') // comes although no further line follows
		if err != nil {
			t.Fatal(err)
		}
		var got backends.LogMessage
		if err := json.Unmarshal(line, &got); err != nil || got.Text != text {
			t.Errorf("got %.100q (%v), want the line %.100q", line, err, text)
		}
		if bytes.ContainsAny(line[:len(line)-1], "\r\n\x1b") {
			t.Errorf("%.100q holds control characters", line)
		}
	}
	leave()
	await(t, "the backend's sequence to end after its reader left", ended)
}

func TestALogThatFailsIsCutAndNotEnded(t *testing.T) {
	m := newMemoryBackend()
	m.more = make(chan backends.LogLine)
	resp, ended, _ := openLogs(t, m, "name=cat&follow=true")
	close(m.more)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the stream of a failed log ended as if it were whole")
	}
	await(t, "the sequence to end", ended)
}

func TestALogThatFailsBeforeItsFirstLineIsAnError(t *testing.T) {
	for err, want := range map[error]int{
		backends.Errorf(backends.ErrNotFound, "no such replica"): http.StatusNotFound,
		backends.Errorf(backends.ErrUnavailable, "away"):         http.StatusServiceUnavailable,
		io.ErrUnexpectedEOF: http.StatusInternalServerError,
	} {
		m := newMemoryBackend()
		m.logError = err
		resp, _, _ := openLogs(t, m, "name=cat")
		if resp.StatusCode != want {
			t.Errorf("%v: got %s, want %d", err, resp.Status, want)
		}
	}
}

func TestAStoppingServerEndsTheLogsThatAreFollowed(t *testing.T) {
	m := newMemoryBackend()
	var ended chan struct{}
	t.Run("server", func(t *testing.T) { // the server is shut down when this ends
		_, ended, _ = openLogs(t, m, "name=cat&follow=true")
	})
	await(t, "the sequence to end", ended)
}

func TestAnUploadIsStoredUpToTheLimit(t *testing.T) {
	const most = 1 << 10
	for name, test := range map[string]struct {
		body io.Reader
		want int
	}{
		"the limit with a length":        {bytes.NewReader(moduleOf(most)), http.StatusCreated},
		"the limit in chunks":            {io.MultiReader(bytes.NewReader(moduleOf(most))), http.StatusCreated},
		"one byte more with a length":    {bytes.NewReader(moduleOf(most + 1)), http.StatusRequestEntityTooLarge},
		"one byte more in chunks":        {io.MultiReader(bytes.NewReader(moduleOf(most + 1))), http.StatusRequestEntityTooLarge},
		"a thousand times more":          {bytes.NewReader(moduleOf(1000 * most)), http.StatusRequestEntityTooLarge},
		"a thousand times more, chunked": {io.MultiReader(bytes.NewReader(moduleOf(1000 * most))), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemoryBackend()
			addr := serveSystem(t, Config{Backend: m, MaxModule: most})
			req, _ := http.NewRequest(http.MethodPut, "http://"+addr+"/system/modules", test.body)
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != test.want {
				t.Fatalf("got %s %s, want %d", resp.Status, answer, test.want)
			}
			var module backends.Module
			if stored := len(m.modules) == 1; stored != (test.want == http.StatusCreated) {
				t.Errorf("stored: %v", stored)
			} else if err := json.Unmarshal(answer, &module); stored && (err != nil || module.Size != most || module.Image != "module@"+module.Digest) {
				t.Errorf("got %s (%v)", answer, err)
			}
		})
	}
}

// moduleOf gives a module of a size as far as the memory backend looks.
func moduleOf(size int) []byte {
	return append([]byte("\x00asm"), make([]byte, size-4)...)
}

func TestAPowerThatTheBackendLacksIsNotImplemented(t *testing.T) {
	m := newMemoryBackend()
	m.bare = true
	addr := serveSystem(t, Config{Backend: m})
	for _, route := range []string{"GET /system/logs?name=cat", "PUT /system/modules", "GET /system/store", "GET /system/secrets", "GET /system/namespace/dev"} {
		method, path, _ := strings.Cut(route, " ")
		req, _ := http.NewRequest(method, "http://"+addr+path, nil)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotImplemented || !strings.HasPrefix(string(answer), "the backend hearth-memory has no ") {
			t.Errorf("%s: got %s %q", route, resp.Status, answer)
		}
	}
}
