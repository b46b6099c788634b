package local

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hearth/backends"
	"hearth/backends/backendtest"
)

func TestANewerLayoutIsRefusedAndATornOneIsNot(t *testing.T) {
	for text, refused := range map[string]bool{"1": false, "1\n": false, "": false, "x": false, "0": false, "-1": false, "2\n": true, "99": true} {
		dir := somethingStored(t)
		file := filepath.Join(dir, layoutFile)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := Open(Config{Dir: dir})
		if (err != nil) != refused {
			t.Errorf("layout %q gave %v", text, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), "newer Hearth") {
				t.Errorf("layout %q gave %v, which does not say what to do", text, err)
			}
			continue
		}
		if len(l.functions) != 1 {
			t.Errorf("layout %q: the functions are %v", text, l.functions)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != text && string(now) != "1\n" {
			t.Errorf("layout %q became %q, %v", text, now, err)
		}
	}
}

func TestOnlyTheOwnerCanReadTheState(t *testing.T) {
	dir := somethingStored(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 && path != dir { // dir was made by the test
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	fresh := filepath.Join(t.TempDir(), "a", "b")
	openWith(t, fresh, osFiles{})
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the state's directory is made with %v, %v", info.Mode(), err)
	}
}

func TestWhatIsBrokenIsReportedWithoutAnySecret(t *testing.T) {
	dir := somethingStored(t)
	secret := filepath.Join(dir, kindSecret, secretName(secretKey{"blue", "token"}))
	text, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	broken := map[string]string{
		secret: string(text[:len(text)-4]),
		filepath.Join(dir, kindSecret, "copy.json"):                string(text),
		filepath.Join(dir, kindNamespace, "blue.json"):             "",
		filepath.Join(dir, kindNamespace, "red.json"):              `{"name":"../red"}`,
		filepath.Join(dir, kindNamespace, "green.json"):            `{"name":"blue"}`,
		filepath.Join(dir, kindFunction, "a.blue.json"):            `{"function":{"service":"a","image":"x","namespace":"blue"},"replicas":-1,"generation":1}`,
		filepath.Join(dir, kindFunction, "b.blue.json"):            `{"function":{"service":"b","image":"x","namespace":"../blue"},"generation":1}`,
		filepath.Join(dir, kindFunction, strings.Repeat("n", 255)): "x",
		outside: `{"function":{"service":"link","image":"x"},"replicas":1,"generation":1}`,
	}
	for path, text := range broken {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(dir, kindFunction, "link.openfaas-fn.json")); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l, err := Open(Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadDir(filepath.Join(dir, quarantineDir)); err != nil || len(kept) != len(broken) {
		t.Errorf("quarantine holds %d files, %v; want %d", len(kept), err, len(broken))
	}
	for path := range broken {
		if !strings.Contains(log.String(), filepath.Base(path)[:min(10, len(filepath.Base(path)))]) && path != outside {
			t.Errorf("the log does not name %s", path)
		}
	}
	for _, form := range []string{"s3cret-0ld", "czNjcmV0"} { // the value, and as Base64
		if strings.Contains(log.String(), form) {
			t.Errorf("the log has the secret's value as %q:\n%s", form, log.String())
		}
	}
	// The function stays, and so does its namespace, without labels.
	if _, err := l.Get(t.Context(), helloFunction("").Key); err != nil {
		t.Error(err)
	}
	if n, err := l.Powers().Namespaces.Get(t.Context(), "blue"); err != nil || n.Labels != nil {
		t.Errorf("the namespace is %v, %v", n, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link led to is gone: %v", err)
	}
}

func TestAFunctionThatWouldNotBeAcceptedNowIsKept(t *testing.T) {
	dir := somethingStored(t)
	text := `{"function":{"service":"later","image":"x","annotations":{"com.hearth.from-the-future":"1"}},"replicas":2,"created":"2026-07-01T12:00:00Z","generation":7}`
	if err := os.WriteFile(filepath.Join(dir, kindFunction, "later.openfaas-fn.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := openWith(t, dir, osFiles{})
	s, err := l.Get(t.Context(), backends.Key{Namespace: backends.DefaultNamespace, Name: "later"})
	if err != nil || s.Replicas != 2 || s.Available != 2 || s.Generation != 7 || s.Annotations["com.hearth.from-the-future"] != "1" {
		t.Errorf("it is %+v, %v", s, err)
	}
}

func TestADirectoryThatCannotBeUsedIsAnErrorThatNamesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := Open(Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("Open(%q) gave %v", dir, err)
		}
	}
}

func TestAClosedBackendReadsButDoesNotChange(t *testing.T) {
	l := openWith(t, somethingStored(t), osFiles{})
	ended := make(chan error, 1)
	table := backendtest.NewRecorder()
	go func() { ended <- l.Watch(context.Background(), table) }()
	if !table.Wait(time.Minute, func(m map[backends.Key]backends.Entry) bool { return len(m) == 1 }) {
		t.Fatal("the watch has not begun")
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, backends.ErrUnavailable) {
		t.Errorf("the watch ended with %v; want an error of kind unavailable", err)
	}
	for name, change := range changes {
		if err := change(t.Context(), l); !errors.Is(err, backends.ErrUnavailable) {
			t.Errorf("%s gave %v; want an error of kind unavailable", name, err)
		}
	}
	if _, err := l.Get(t.Context(), helloFunction("").Key); err != nil {
		t.Error(err)
	}
}

func TestASecretAboveTheLimitIsTooLarge(t *testing.T) {
	l := openWith(t, somethingStored(t), osFiles{})
	for size, want := range map[int]error{maxSecret: nil, maxSecret + 1: backends.ErrTooLarge} {
		err := l.Powers().Secrets.Update(t.Context(), backends.Secret{Namespace: "blue", Name: "token", Value: make([]byte, size)})
		if !errors.Is(err, want) {
			t.Errorf("%d bytes gave %v; want %v", size, err, want)
		}
	}
}
