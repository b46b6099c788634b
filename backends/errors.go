package backends

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Kinds of errors. Every error of a Backend, a Power or a Handler matches one
// of them with errors.Is; any other is a fault of ours and reads as internal.
var (
	ErrInvalid     = errors.New("invalid")
	ErrNotFound    = errors.New("not found")
	ErrExists      = errors.New("already exists")
	ErrConflict    = errors.New("conflict")
	ErrUnsupported = errors.New("not supported")
	ErrTooLarge    = errors.New("too large")
	ErrUnavailable = errors.New("unavailable") // now, perhaps not later

	ErrDeadline = errors.New("deadline exceeded") // the function's own
	ErrCanceled = errors.New("canceled")          // the client went away
	ErrFunction = errors.New("function failed")   // trap, exit code, no answer
	ErrBusy     = errors.New("busy")              // the function's limit and its queue are full
	ErrGone     = errors.New("replaced")          // nothing ran; ask the table again

	ErrAnswerTooLarge = errors.New("answer too large") // the function's, above its limit
)

// statusClientClosed is nginx's code for a client that did not wait; it is
// only ever seen in metrics.
const statusClientClosed = 499

// kindStatus is the one table from kinds to HTTP statuses, first match wins.
var kindStatus = [...]struct {
	kind   error
	status int
}{
	{ErrInvalid, http.StatusBadRequest},
	{ErrNotFound, http.StatusNotFound},
	{ErrExists, http.StatusConflict},
	{ErrConflict, http.StatusConflict},
	{ErrUnsupported, http.StatusNotImplemented},
	{ErrBusy, http.StatusTooManyRequests},
	{ErrDeadline, http.StatusGatewayTimeout},
	{ErrCanceled, statusClientClosed},
	{ErrFunction, http.StatusInternalServerError},
	{ErrAnswerTooLarge, http.StatusBadGateway},
	{ErrTooLarge, http.StatusRequestEntityTooLarge},
	{ErrUnavailable, http.StatusServiceUnavailable},
	{ErrGone, http.StatusServiceUnavailable},
	{context.Canceled, statusClientClosed},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
}

// HTTPStatus gives the status that answers err: 500 for an error of no kind.
func HTTPStatus(err error) int {
	for _, k := range kindStatus {
		if errors.Is(err, k.kind) {
			return k.status
		}
	}
	return http.StatusInternalServerError
}

// Errorf makes an error of a kind whose text is the format's alone: what a
// person reads says what happened, not which kind it is of.
func Errorf(kind error, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

type kindError struct{ kind, err error }

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

// FieldError is one value that is not allowed. It is of kind ErrInvalid.
type FieldError struct {
	Field   string // as the user wrote it: image, labels[com.openfaas.scale.min], --timeout
	Value   string // cut and quoted by Error
	Allowed string // what would be right
}

// Error names field, value and what is allowed, on one line.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: %s is not allowed: %s", e.Field, quote(e.Value), e.Allowed)
}

// Is makes a FieldError of kind ErrInvalid.
func (e *FieldError) Is(target error) bool { return target == ErrInvalid }

// quote makes any value safe to print on one line and short enough to read.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%.*q... (%d bytes)", most, s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// Faults collects everything wrong with one input, so that a person mends it
// in one go.
type Faults struct{ list []error }

// Add notes a field that is wrong.
func (f *Faults) Add(field, value, allowed string) {
	f.list = append(f.list, &FieldError{Field: field, Value: value, Allowed: allowed})
}

// AddErr notes an error; nil is not one.
func (f *Faults) AddErr(err error) {
	if err != nil {
		f.list = append(f.list, err)
	}
}

// Err is nil without faults, else one error of kind ErrInvalid listing all.
func (f *Faults) Err() error {
	switch len(f.list) {
	case 0:
		return nil
	case 1:
		return f.list[0]
	}
	return &faultsError{f.list}
}

type faultsError struct{ list []error }

func (e *faultsError) Error() string {
	const most = 16 // more than a person reads at once
	var texts []string
	for _, err := range e.list[:min(len(e.list), most)] {
		texts = append(texts, err.Error())
	}
	if more := len(e.list) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more faults", more))
	}
	return strings.Join(texts, "; ")
}

func (e *faultsError) Is(target error) bool { return target == ErrInvalid }
func (e *faultsError) Unwrap() []error      { return e.list }
