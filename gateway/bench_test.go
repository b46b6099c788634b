package gateway

import "testing"

// BenchmarkCall is one warm call through the handler of the main listener; the
// bench program reads its time and allocations.
func BenchmarkCall(b *testing.B) {
	g, err := New(testConfig())
	if err != nil {
		b.Fatal(err)
	}
	setFunction(g, "hello", hello)
	ctx := requestCtx("GET /function/hello/x?y=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\n\r\n")
	handler := g.Handler()
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		handler(ctx)
	}
	if string(ctx.Response.Body()) != "hello" {
		b.Errorf("got %q, want hello", ctx.Response.Body())
	}
}
