// Package wasm makes a WebAssembly module the function of a watchdog, for the
// programs that have the runtime in them.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hearth/backends"
	"hearth/runtime"
	"hearth/watchdog"
)

// Names in the environment that a platform gives a function's container.
const (
	nameVariable      = "OPENFAAS_NAME"
	namespaceVariable = "OPENFAAS_NAMESPACE"
	secretsDir        = "/var/openfaas/secrets"
	maxModule         = 64 << 20 // bytes
	maxSecret         = 1 << 20  // bytes
)

// Load loads the module of a configuration. Its command line is that of the
// watchdog's processes, its environment the watchdog's, its secrets the files
// where containers find them. The function that it gives ends the runtime.
func Load(ctx context.Context, cfg watchdog.Config) (backends.Handler, func() error, error) {
	info, err := os.Stat(cfg.Module)
	if err != nil || info.Size() > maxModule {
		return nil, nil, &backends.FieldError{Field: "wasm_module", Value: cfg.Module, Allowed: fmt.Sprintf("the path of a module of at most %d bytes", maxModule)}
	}
	module, err := os.ReadFile(cfg.Module)
	if err != nil {
		return nil, nil, err
	}
	if err := runtime.Check(module); err != nil {
		return nil, nil, fmt.Errorf("wasm_module: %w", err)
	}
	spec := runtime.Spec{
		Key: backends.Key{Namespace: backends.DefaultNamespace, Name: "function"}, Args: cfg.Process,
		Env: map[string]string{}, Answer: cfg.MaxAnswer,
		Log: func(line []byte) { fmt.Fprintf(cfg.Log, "%s\n", line) },
	}
	for _, pair := range cfg.Environ {
		name, value, _ := strings.Cut(pair, "=")
		spec.Env[name] = value
	}
	if key, err := backends.NewKey(spec.Env[namespaceVariable], spec.Env[nameVariable]); err == nil {
		spec.Key = key
	}
	if spec.Secrets, err = readSecrets(secretsDir); err != nil {
		return nil, nil, err
	}
	engine, err := runtime.New(ctx, runtime.Config{})
	if err != nil {
		return nil, nil, err
	}
	loaded, err := engine.Load(ctx, module, spec)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("wasm_module: %w", err), engine.Close())
	}
	return loaded, func() error { return errors.Join(loaded.Close(), engine.Close()) }, nil
}

// readSecrets reads the files of a directory; one that is not there has none.
func readSecrets(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	secrets := map[string][]byte{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // mounts of Kubernetes are links
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxSecret || backends.ValidateSecretName(e.Name()) != nil {
			continue
		}
		if secrets[e.Name()], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}
