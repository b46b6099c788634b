package inproc

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/inproc/store"
)

// FuzzLogLine makes sure that whatever a function writes is one line on the
// disk and comes back as the text it was.
func FuzzLogLine(f *testing.F) {
	for _, seed := range []string{"", "hello", "a\nb", "\xff\x00 \r", strings.Repeat("é", maxLogLine), "2026-11-24T02:00:00.000000000Z i x"} {
		f.Add([]byte(seed))
	}
	at := time.Date(2026, 11, 24, 2, 0, 0, 7, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		raw := appendLine(nil, at, "fn-1", text)
		if n := bytes.Count(raw, []byte{'\n'}); n != 1 || raw[len(raw)-1] != '\n' || len(raw) > 2*maxLogLine {
			t.Fatalf("%d line ends in %d bytes", n, len(raw))
		}
		line, ok := parseLine(logKey, raw[:len(raw)-1])
		if !ok || line.Instance != "fn-1" || !line.Time.Equal(at) {
			t.Fatalf("came back as %+v", line)
		}
		want := strings.ReplaceAll(string(text), "\n", " ")
		if kept, _, cut := strings.Cut(line.Text, " ["); len(text) > maxLogLine {
			if !cut && !strings.HasPrefix(want, kept) {
				t.Fatalf("cut to %.80q", line.Text)
			}
		} else if line.Text != want {
			t.Fatalf("came back as %.80q", line.Text)
		}
	})
}

// FuzzImage makes sure that no image name does anything but name a module, a
// container, or be refused, and that a path stays below the module directory.
func FuzzImage(f *testing.F) {
	for _, seed := range []string{"store/hello", "functions/alpine:latest", "module@sha256:" + strings.Repeat("a", 64), "file:../x", "./a/../../x.wasm",
		"/etc/passwd", "file:", "file:/", "team/x:1", "a@sha256:x", ":", "store/", "file:a\x00b"} {
		f.Add(seed)
	}
	h := &Host{cfg: Config{ModuleDir: f.TempDir(), MaxModule: 1 << 20, Aliases: map[string]store.Alias{"team/x": {Function: "cat"}}}}
	f.Fuzz(func(t *testing.T, name string) {
		i, err := h.parseImage(name)
		if err != nil {
			if !errors.Is(err, backends.ErrInvalid) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if i.path == "" {
			return
		}
		if wasm, err := h.readPath(name, i.path); err == nil || !errors.Is(err, backends.ErrInvalid) {
			t.Fatalf("read %d bytes from an empty directory, %v", len(wasm), err)
		}
	})
}
