package watchdog

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// BenchmarkProcess compares a request that starts a process with starting the
// same process and nothing else.
func BenchmarkProcess(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				cmd := exec.Command("/bin/cat")
				var out bytes.Buffer
				cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("hello"), &out, io.Discard
				if err := cmd.Run(); err != nil || out.String() != "hello" {
					b.Error(err)
				}
			}
		})
	})
	for _, mode := range []string{"serializing", "streaming", "classic"} {
		b.Run(mode, func(b *testing.B) {
			r := start(b, nil, "mode="+mode, "fprocess=/bin/cat")
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := r.Post("http://f/", "", strings.NewReader("hello"))
					if err != nil {
						b.Error(err)
						return
					}
					if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || string(text) != "hello" {
						b.Errorf("got %s %q", resp.Status, text)
					}
					resp.Body.Close()
				}
			})
		})
	}
}

// BenchmarkProxy is a request through a watchdog to a process that serves.
func BenchmarkProxy(b *testing.B) {
	r := startProxy(b)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := r.Post("http://f/echo", "", strings.NewReader("hello"))
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}
