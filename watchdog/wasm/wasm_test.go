package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hearth/backends"
	"hearth/watchdog"
)

// answer takes what a function answers.
type answer struct {
	bytes.Buffer
	status int
}

func (a *answer) SetStatus(code int)      { a.status = code }
func (a *answer) SetHeader(_, _ []byte)   {}
func (a *answer) AddHeader(_, _ []byte)   {}
func (a *answer) header() backends.Header { return noHeader{} }

type noHeader struct{}

func (noHeader) Get(string) []byte            { return nil }
func (noHeader) Visit(func(_, _ []byte) bool) {}

func TestAModuleIsTheFunctionOfAWatchdog(t *testing.T) {
	var log bytes.Buffer
	handler, unload, err := Load(t.Context(), watchdog.Config{
		Module: "../../backends/inproc/store/wasm/box.wasm", Process: []string{"env"}, Environ: []string{"OPENFAAS_NAME=box", "OWN=kept"}, Log: &log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unload(); err != nil {
			t.Error(err)
		}
	}()
	for range 3 {
		var a answer
		request := &backends.Request{Method: []byte("POST"), Path: []byte("/"), Header: a.header()}
		if err := handler.Invoke(context.Background(), request, &a); err != nil {
			t.Fatal(err)
		}
		if text := a.String(); !strings.Contains(text, "OWN=kept\n") || !strings.Contains(text, "Http_Method=POST\n") {
			t.Errorf("got %q", text)
		}
	}
}

func TestWhatIsNoModuleIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wasm")
	if err := os.WriteFile(path, []byte("#!/bin/sh"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{path, "/nowhere.wasm"} {
		if _, _, err := Load(t.Context(), watchdog.Config{Module: module}); !errors.Is(err, backends.ErrInvalid) || !strings.Contains(err.Error(), "wasm_module") {
			t.Errorf("%s: got %v", module, err)
		}
	}
}

func TestSecretsAreTheFilesWithNamesOfSecrets(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"api-key": "1", "..data": "x", "Upper": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "api-key"), filepath.Join(dir, "linked")); err != nil {
		t.Fatal(err)
	}
	got, err := readSecrets(dir)
	if err != nil || len(got) != 2 || string(got["api-key"]) != "1" || string(got["linked"]) != "1" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := readSecrets(filepath.Join(dir, "none")); err != nil || len(got) != 0 {
		t.Errorf("got %q, %v", got, err)
	}
}
