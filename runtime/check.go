package runtime

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"hearth/backends"
	"hearth/runtime/rewrite"
)

// Check tells whether a module can be a function: its structure, its size in every dimension, the features and imports it uses and
// the way it is called. It takes time linear in the module's size and does not compile. ErrInvalid says what is wrong and what to do.
func Check(wasm []byte) error {
	if isScript(wasm) {
		return nil // evaluating it, which Compile does, says more
	}
	if len(wasm) > 0 && utf8.Valid(wasm) && bytes.IndexByte(wasm, 0) < 0 {
		return invalid("it is a text, but not a JavaScript module with export default (of at most %d MiB)", maxScript>>20)
	}
	if isEngine(wasm) {
		return invalid("it is the JavaScript engine, which Hearth has: deploy the source of your function")
	}
	_, err := inspect(wasm)
	return err
}

// inspect parses a module and makes sure that it can be run.
func inspect(wasm []byte) (*rewrite.Module, error) {
	m, err := rewrite.Parse(wasm, rewrite.DefaultLimits())
	if err != nil {
		return nil, backends.Errorf(backends.ErrInvalid, "%w", err)
	}
	facts := m.Facts()
	if isEngine(wasm) {
		return m, nil
	}
	if err := checkImports(&facts); err != nil {
		return nil, err
	}
	return m, checkEntry(&facts)
}

// checkImports refuses a module that needs something the host does not have.
func checkImports(f *rewrite.Facts) error {
	known := map[string]string{}
	for _, h := range hostFunctions() {
		known[wasiModule+"."+h.name] = signature(h.params, h.results)
	}
	for _, h := range httpFunctions() {
		known[httpModule+"."+h.name] = signature(h.params, h.results)
	}
	var missing []string
	for i := range f.Imports {
		im := &f.Imports[i]
		module, name := string(im.Module), string(im.Name)
		if module == "wasi_unstable" {
			return invalid("it is built for WASI preview 0 (imports wasi_unstable): rebuild it with a toolchain for WASI preview 1 (wasip1)")
		}
		want, ok := known[module+"."+name]
		switch {
		case im.Kind != rewrite.KindFunction || !ok:
			missing = append(missing, fmt.Sprintf("%.60s.%.60s", module, name))
		case im.Type.String() != want:
			return invalid("it imports %s.%s as %s, which here is %s", module, name, im.Type.String(), want)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	advice := "functions get WASI preview 1 (" + wasiModule + ") and the functions of docs/abi, nothing else"
	if slices.ContainsFunc(missing, func(s string) bool { return strings.HasPrefix(s, "gojs.") || strings.HasPrefix(s, "go.") }) {
		advice = "it is built for browsers: build it with GOOS=wasip1 GOARCH=wasm"
	} else if slices.ContainsFunc(missing, func(s string) bool { return strings.HasPrefix(s, "wbg.") || strings.HasPrefix(s, "__wbindgen") }) {
		advice = "it is built for JavaScript hosts: build it with --target wasm32-wasip1 and without wasm-bindgen"
	}
	const shown = 5
	more := ""
	if len(missing) > shown {
		more = fmt.Sprintf(" and %d more", len(missing)-shown)
		missing = missing[:shown]
	}
	return invalid("it imports %s%s, which do not exist here: %s", strings.Join(missing, ", "), more, advice)
}

// checkEntry makes sure that there is a way to call the module.
func checkEntry(f *rewrite.Facts) error {
	if f.MemoryExport != "memory" {
		return invalid("it exports no memory named memory, which WASI preview 1 demands")
	}
	if isReactor(f) {
		return nil
	}
	switch sig := f.Exported("_start"); sig {
	case "()->()":
		return nil
	case "":
		return invalid("it exports no function _start: build a program with a main (a WASI preview 1 command), or export alloc and handle (the reactor ABI)")
	default:
		return invalid("its export _start has the type %s, a WASI preview 1 command has ()->()", sig)
	}
}

func invalid(format string, args ...any) error {
	return backends.Errorf(backends.ErrInvalid, "the module cannot be a function: "+format, args...)
}
