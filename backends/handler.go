package backends

import (
	"context"
	"time"
)

// Handler answers calls of one function. A wasm function is one, and so is a
// test's fake; the gateway adapts its HTTP server to it without copying.
type Handler interface {
	// Invoke answers one call. It returns nil when resp holds the function's
	// answer, whatever its status; otherwise an error of the kinds ErrDeadline,
	// ErrCanceled, ErrFunction, ErrAnswerTooLarge, ErrTooLarge, ErrBusy, ErrUnavailable or ErrGone,
	// and then what was written to resp is discarded. With ErrGone nothing ran and
	// the call may be given to the function's present handler instead.
	//
	// ctx carries the call's deadline and ends when the client goes away. ctx,
	// req, resp and every slice in them are valid only until Invoke returns.
	Invoke(ctx context.Context, req *Request, resp Response) error
}

// Request is one call as the function sees it.
type Request struct {
	CallID     []byte
	Start      time.Time
	Method     []byte
	Path       []byte // after the function's name, beginning with /, not decoded
	Query      []byte // without ?, not decoded
	Host       []byte
	RemoteAddr []byte // ip:port of the client
	Header     Header
	Body       []byte // whole; memory of the server or a mapped file
	Phases     Phases // filled by the handler
}

// Header is the set of a request's headers, names in canonical form.
type Header interface {
	// Get gives the first value of a name in canonical form, nil if absent.
	Get(name string) []byte
	// Visit calls yield for every header line in order until it returns false.
	Visit(yield func(name, value []byte) bool)
}

// Phases are the parts of a call's time that only the handler knows.
type Phases struct {
	Start time.Duration // getting an instance that can run
	Run   time.Duration // the function's own time
}

// Response takes a function's answer. The answer is sent after Invoke returned
// nil. The status is 200 unless set.
type Response interface {
	SetStatus(code int)
	// SetHeader replaces all lines of that name; name and value are copied.
	SetHeader(name, value []byte)
	// AddHeader appends a line; name and value are copied.
	AddHeader(name, value []byte)
	// Write appends to the body; p is copied. ErrTooLarge above the limit of
	// an answer.
	Write(p []byte) (int, error)
}
