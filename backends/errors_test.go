package backends_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"hearth/backends"
)

func TestEveryKindHasItsStatus(t *testing.T) {
	for kind, want := range map[error]int{
		backends.ErrInvalid:      400,
		backends.ErrNotFound:     404,
		backends.ErrExists:       409,
		backends.ErrConflict:     409,
		backends.ErrTooLarge:     413,
		backends.ErrBusy:         429,
		backends.ErrCanceled:     499,
		backends.ErrFunction:     500,
		backends.ErrUnsupported:  501,
		backends.ErrUnavailable:  503,
		backends.ErrGone:         503,
		backends.ErrDeadline:     504,
		context.Canceled:         499,
		context.DeadlineExceeded: 503,
		io.EOF:                   http.StatusInternalServerError,
		&backends.FieldError{}:   400,
	} {
		for how, err := range map[string]error{
			"as it is":  kind,
			"wrapped":   fmt.Errorf("deploy x: %w", kind),
			"as a kind": fmt.Errorf("deploy x: %w", backends.Errorf(kind, "no")),
		} {
			if got := backends.HTTPStatus(err); got != want {
				t.Errorf("HTTPStatus(%v, %s) is %d; want %d", kind, how, got, want)
			}
		}
	}
}

func TestErrorfHasTheKindTheCauseAndTheTextAlone(t *testing.T) {
	err := backends.Errorf(backends.ErrUnavailable, "store %s: %w", "x", io.ErrShortWrite)
	if err.Error() != "store x: short write" {
		t.Errorf("the text is %q", err)
	}
	if !errors.Is(err, backends.ErrUnavailable) || !errors.Is(err, io.ErrShortWrite) || errors.Is(err, backends.ErrInvalid) {
		t.Errorf("%v has not the kinds it should", err)
	}
}

func TestFaultsListsAllInOneErrorOfKindInvalid(t *testing.T) {
	var faults backends.Faults
	if err := faults.Err(); err != nil {
		t.Errorf("no faults gave %v", err)
	}
	faults.AddErr(nil)
	faults.Add("image", "", "it must be given")
	want := `image: "" is not allowed: it must be given`
	if err := faults.Err(); err == nil || err.Error() != want {
		t.Errorf("one fault gave %v; want %s", err, want)
	}
	faults.AddErr(backends.Errorf(backends.ErrTooLarge, "too long by far"))
	err := faults.Err()
	if want += "; too long by far"; err == nil || err.Error() != want {
		t.Errorf("two faults gave %v; want %s", err, want)
	}
	var field *backends.FieldError
	if !errors.Is(err, backends.ErrInvalid) || !errors.Is(err, backends.ErrTooLarge) || !errors.As(err, &field) || backends.HTTPStatus(err) != 400 {
		t.Errorf("%v has not the kinds it should", err)
	}
}

func TestAFieldErrorIsOneShortLine(t *testing.T) {
	for _, value := range []string{"a\nb\x00c\x1b[31m", strings.Repeat("é", 1<<20), "\xff\xfe"} {
		text := (&backends.FieldError{Field: "field", Value: value, Allowed: "less"}).Error()
		if len(text) > 500 || strings.ContainsAny(text, "\n\x00\x1b") {
			t.Errorf("the error is %d bytes: %.100q", len(text), text)
		}
		if !strings.HasPrefix(text, "field: ") || !strings.HasSuffix(text, "is not allowed: less") {
			t.Errorf("the error is %.100q", text)
		}
	}
}
