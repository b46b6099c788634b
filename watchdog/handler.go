package watchdog

import (
	"context"
	"errors"
	"net/http"

	"hearth/backends"
)

// handling gives requests to a Handler in this process.
type handling struct {
	w       *Watchdog
	handler backends.Handler
}

func (h *handling) run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	return nil
}

func (h *handling) able() bool { return true }

func (h *handling) serve(x *exchange) (later bool) {
	x.limit(h.w.cfg.ExecTimeout)
	body, err := x.body()
	if err != nil {
		x.failBody(err)
		return false
	}
	request := &x.call.Request
	request.Body, request.Path, request.Query = body, x.URI().PathOriginal(), x.URI().QueryString()
	err = h.handler.Invoke(x.call, request, x.call)
	if _, invalid := x.call.InvalidStatus(); err == nil && invalid {
		err = backends.Errorf(backends.ErrFunction, "the function answered with a status that is none")
	}
	switch {
	case err == nil:
		x.duration()
	case errors.Is(err, backends.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		x.fail(http.StatusGatewayTimeout, "the function did not answer within exec_timeout, "+h.w.cfg.ExecTimeout.String()+"\n")
	case errors.Is(err, backends.ErrTooLarge):
		x.fail(http.StatusBadGateway, err.Error()+"\n")
	default:
		h.w.log.printf("the function failed: %v", err)
		x.fail(backends.HTTPStatus(err), err.Error()+"\n")
	}
	return false
}
