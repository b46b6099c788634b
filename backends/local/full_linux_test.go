package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"hearth/backends"
)

// TestAFullDiskRefusesChangesAndServesOn fills a real file system of 8 MiB.
func TestAFullDiskRefusesChangesAndServesOn(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Skipf("a file system cannot be mounted here (%v): the injected faults stand in for it", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	l := openWith(t, filepath.Join(dir, "state"), osFiles{})
	fill(t, l)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 7<<20), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, acknowledged := t.Context(), 0
	secret := func(i int) backends.Secret {
		return backends.Secret{Namespace: "blue", Name: fmt.Sprintf("s%d", i), Value: bytes.Repeat([]byte{byte(i)}, 64<<10)}
	}
	var full error
	for full == nil {
		if full = l.Powers().Secrets.Create(ctx, secret(acknowledged)); full == nil {
			acknowledged++
		}
	}
	if !errors.Is(full, backends.ErrUnavailable) || !errors.Is(full, syscall.ENOSPC) || acknowledged == 0 {
		t.Fatalf("after %d secrets: %v, want an error of kind unavailable about the space", acknowledged, full)
	}
	want := state(t, l)
	big := helloFunction("new")
	for i := range 4 {
		big.Env[fmt.Sprint("big", i)] = string(bytes.Repeat([]byte("x"), 60<<10))
	}
	if err := l.Update(ctx, big); !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("an update gave %v, want an error of kind unavailable", err)
	}
	for name, got := range map[string]string{"in memory": state(t, l), "on disk": state(t, openWith(t, l.store.dir, osFiles{}))} {
		if got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"create": l.Powers().Secrets.Create(ctx, secret(acknowledged)), "update": l.Update(ctx, big)} {
		if err != nil {
			t.Errorf("%s after space was freed: %v", what, err)
		}
	}
}
