package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"hearth/backends"
)

// serveMetrics starts the second listener of a gateway that serve made.
func serveMetrics(t *testing.T, g *Gateway) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.ServeMetrics(ln) }()
	t.Cleanup(func() {
		g.metrics.Close()
		if err := <-served; err != nil {
			t.Errorf("serve metrics: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}

func TestTheMetricsAreThoseOfOpenFaaSAndEndWithTheFunction(t *testing.T) {
	g, url := serve(t, testConfig())
	metrics := serveMetrics(t, g)
	key := setFunction(g, "echo", echo, func(e *backends.Entry) { e.Status.Replicas, e.Status.Available = 3, 2 })
	setFunction(g, "fails.dev", handlerFunc(func(context.Context, *backends.Request, backends.Response) error { return backends.ErrFunction }))
	for range 3 {
		do(t, "GET", url+"/function/echo", nil)
	}
	do(t, "GET", url+"/function/echo.openfaas-fn/x", nil)
	do(t, "GET", url+"/function/fails.dev", nil)
	do(t, "GET", url+"/function/unknown", nil)
	_, text := do(t, "GET", metrics+"/metrics", nil)
	for _, line := range []string{
		`gateway_function_invocation_total{code="200",function_name="echo.openfaas-fn"} 4`,
		`gateway_function_invocation_total{code="500",function_name="fails.dev"} 1`,
		`gateway_function_invocation_started{function_name="echo.openfaas-fn"} 4`,
		`gateway_function_invocation_inflight{function_name="echo.openfaas-fn"} 0`,
		`gateway_functions_seconds_bucket{code="200",function_name="echo.openfaas-fn",le="2.5"} 4`,
		`gateway_functions_seconds_bucket{code="200",function_name="echo.openfaas-fn",le="+Inf"} 4`,
		`gateway_functions_seconds_count{code="200",function_name="echo.openfaas-fn"} 4`,
		`gateway_service_count{function_name="echo.openfaas-fn"} 3`,
		`gateway_service_ready_count{function_name="echo.openfaas-fn"} 2`,
		`gateway_service_min{function_name="fails.dev"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, "unknown") {
		t.Error("a function that does not exist has series")
	}
	if n := g.table.invocations(key); n != 4 {
		t.Errorf("invocations of echo: got %v, want 4", n)
	}
	g.Table().Delete(key)
	if _, text = do(t, "GET", metrics+"/metrics", nil); strings.Contains(text, "echo") || !strings.Contains(text, "fails.dev") {
		t.Error("the series of a function do not end with it")
	}
}

func TestSeriesAreBoundedWhateverStatusesAFunctionAnswers(t *testing.T) {
	g, url := serve(t, testConfig())
	metrics := serveMetrics(t, g)
	setFunction(g, "any", handlerFunc(func(_ context.Context, r *backends.Request, resp backends.Response) error {
		var code int
		if _, err := fmt.Sscan(string(r.Path[1:]), &code); err != nil {
			return err
		}
		resp.SetStatus(code)
		return nil
	}))
	for code := 200; code < 300; code++ {
		if code != 204 && code != 205 {
			do(t, "GET", fmt.Sprintf("%s/function/any/%d", url, code), nil)
		}
	}
	for _, code := range []int{-1, 0, 100, 101, 199, 600, 1000} {
		if resp, text := do(t, "GET", fmt.Sprintf("%s/function/any/%d", url, code), nil); resp.StatusCode != 502 || !strings.Contains(text, fmt.Sprint(code)) {
			t.Errorf("status %d: got %d %q, want 502", code, resp.StatusCode, text)
		}
	}
	_, text := do(t, "GET", metrics+"/metrics", nil)
	if n := strings.Count(text, `gateway_functions_seconds_sum{code="`); n != maxCodes+1 || !strings.Contains(text, `invocation_total{code="other",`) {
		t.Errorf("got %d series for one function, want %d, the last for all other codes", n, maxCodes+1)
	}
}

func TestReadyzSaysWhyThereShouldBeNoCalls(t *testing.T) {
	cfg := testConfig()
	var why error
	cfg.Ready = func(context.Context) error { return why }
	g, _ := serve(t, cfg)
	url := serveMetrics(t, g)
	if resp, _ := do(t, "GET", url+"/readyz", nil); resp.StatusCode != 200 {
		t.Errorf("ready: got %d", resp.StatusCode)
	}
	why = errors.New("the modules are not compiled yet")
	if resp, text := do(t, "GET", url+"/readyz", nil); resp.StatusCode != 503 || text != why.Error()+"\n" {
		t.Errorf("not ready: got %d %q", resp.StatusCode, text)
	}
	if resp, _ := do(t, "GET", url+"/healthz", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("alive: got %d", resp.StatusCode)
	}
	why = nil
	g.draining.Store(true)
	if resp, text := do(t, "GET", url+"/readyz", nil); resp.StatusCode != 503 || text != "stopping\n" {
		t.Errorf("draining: got %d %q", resp.StatusCode, text)
	}
}
