// Package store is the embedded function store: small functions whose WebAssembly modules are part of the binary, so that a machine
// without a network has something to deploy.
//
// It promises that every listed function has a module, that a module's bytes equal what `make guests` builds from the sources in
// testdata/guests/store, and that what it returns is the caller's own: nothing here is shared or changes. It knows nothing of
// requests, engines or backends; package inproc decides what to do with a function found here.
package store

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// modules holds one file per module, named NAME.wasm.
//
//go:embed wasm/*.wasm
var modules embed.FS

// Function is one function of the store, ready to be deployed.
type Function struct {
	Name        string   // what `store/NAME` and the store document call it
	Title       string   // a few words for a person
	Description string   // one or two sentences for a person
	Module      string   // the module's name; functions can share one and differ in Process
	Process     []string // arguments of the program, its own name first, for a deployment that names none
	Environment map[string]string
	Labels      map[string]string
	Annotations map[string]string // defaults, which a deployment's own annotations override
	ClassicLog  bool              // the container this stands in for logged the classic watchdog's two lines for every call
	Wasm        []byte            // the module, a WASI preview 1 command
	Digest      string            // sha256:HEX of Wasm
}

// Functions returns every function of the store in the order in which it is listed.
func Functions() []Function {
	listed := catalogue()
	for i := range listed {
		listed[i] = withModule(listed[i])
	}
	return listed
}

// Lookup returns the function of that name.
func Lookup(name string) (Function, bool) {
	listed := catalogue()
	i := slices.IndexFunc(listed, func(f Function) bool { return f.Name == name })
	if i < 0 {
		return Function{}, false
	}
	return withModule(listed[i]), true
}

// withModule completes a row of the catalogue. A row without a module is a fault of the build, which the package's tests find.
func withModule(f Function) Function {
	wasm, err := modules.ReadFile("wasm/" + f.Module + ".wasm")
	if err != nil {
		panic(fmt.Sprintf("store: function %s: %v", f.Name, err))
	}
	sum := sha256.Sum256(wasm)
	f.Wasm, f.Digest = wasm, "sha256:"+hex.EncodeToString(sum[:])
	return f
}

// merged returns base with the entries of over added and its values preferred; nil when both are empty.
func merged(base, over map[string]string) map[string]string {
	if len(base) == 0 {
		return maps.Clone(over)
	}
	sum := maps.Clone(base)
	maps.Copy(sum, over)
	return sum
}
