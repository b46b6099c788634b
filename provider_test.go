package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hearth/backends"
	"hearth/gateway/client"
)

// TestAProviderBehindTheGateway runs two servers: one is the provider of the
// other. What goes through the second happens in the first, a call takes the way
// through both, and while the provider is away its functions stay known.
func TestAProviderBehindTheGateway(t *testing.T) {
	binary, err := exec.LookPath("hearth")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := startServer(binary, t.TempDir(), os.Environ())
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.kill()
	ours, err := startServer(binary, t.TempDir(), os.Environ(), "--backend", "provider", "--provider-url", theirs.url,
		"--provider-credentials", filepath.Join(theirs.data, "credentials"))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.kill()
	c, err := client.New(ours.url, "admin", ours.password())
	if err != nil {
		t.Fatal(err)
	}
	deployed := backends.FunctionDeployment{Service: "echo", Image: "store/echo", Labels: map[string]string{backends.LabelScaleMax: "3"}}
	if _, err := c.Deploy(t.Context(), deployed); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context(), "")
	if err != nil || len(list) != 1 || list[0].Name != "echo" || list[0].AvailableReplicas != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	if info, err := c.Info(t.Context()); err != nil || info.Provider.Provider != "hearth-local" {
		t.Errorf("info %+v, %v", info, err)
	}
	call := func(body string) (int, string, http.Header) {
		t.Helper()
		resp, err := http.Post(ours.url+"/function/echo/some/path?q=1", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text), resp.Header
	}
	for _, body := range []string{"", "hello", strings.Repeat("x", 3<<20)} {
		if status, answer, header := call(body); status != http.StatusOK || answer != body || header.Get("X-Call-Id") == "" {
			t.Errorf("a body of %d bytes: status %d, %d bytes: %.300s", len(body), status, len(answer), answer)
		}
	}
	theirs.kill()
	await(t, "the provider to be missed", func() bool {
		return strings.Contains(ours.stderr.String(), "the provider is away")
	})
	if status, answer, _ := call("x"); status != http.StatusBadGateway && status != http.StatusServiceUnavailable {
		t.Errorf("a call without the provider: %d %s", status, answer)
	}
	if _, err := c.List(t.Context(), ""); !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("list without the provider: %v", err)
	}
	if err := ours.stop(); err != nil {
		t.Error(err)
	}
}
