package rewrite

import (
	"errors"
	"fmt"
)

// The kinds of refusal. Every error of this package wraps exactly one of them.
var (
	// ErrMalformed: the bytes are not a WebAssembly module, or break the binary format.
	ErrMalformed = errors.New("malformed wasm module")
	// ErrUnsupported: a well-formed binary uses something this runtime does not offer.
	ErrUnsupported = errors.New("unsupported wasm feature")
	// ErrLimit: the module is well formed but larger in some dimension than allowed.
	ErrLimit = errors.New("wasm module exceeds a limit")
	// ErrRewritten: the module already carries marks of this package.
	ErrRewritten = errors.New("wasm module was already rewritten")
)

// Error says what is wrong with a module and where.
type Error struct {
	Kind   error  // one of the Err values above
	Offset int    // byte offset in the module, -1 when no single byte is to blame
	Where  string // "code section, function 12", may be empty
	Reason string
}

// Error prints the place, the offset and the reason on one line.
func (e *Error) Error() string {
	s := e.Kind.Error() + ": "
	if e.Where != "" {
		s += e.Where + ": "
	}
	s += e.Reason
	if e.Offset >= 0 {
		s += fmt.Sprintf(" (at byte %d)", e.Offset)
	}
	return s
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

func malformed(offset int, format string, args ...any) error {
	return &Error{Kind: ErrMalformed, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// unsupported names the feature a module asks for, and what to do about it when that is known.
func unsupported(offset int, f Feature, what string) error {
	reason := fmt.Sprintf("%s needs %s, which functions here cannot use", what, f)
	if f.advice() != "" {
		reason += "; " + f.advice()
	}
	return &Error{Kind: ErrUnsupported, Offset: offset, Reason: reason}
}

func tooMany(offset int, what string, got uint64, limit uint32) error {
	return &Error{Kind: ErrLimit, Offset: offset, Reason: fmt.Sprintf("%s: %d, at most %d allowed", what, got, limit)}
}

// within adds the place to an error of this package that has none yet.
func within(where string, err error) error {
	var e *Error
	if errors.As(err, &e) && e.Where == "" {
		e.Where = where
	}
	return err
}
