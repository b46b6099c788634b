package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// FuzzAnswer holds what clients get of a replica's bytes to what net/http
// makes of them: an answer that arrives whole was whole, with the same status
// and body, and nothing of it became a header or an answer of its own.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close, X-A\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nxxHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
	} {
		f.Add([]byte(answer))
	}
	var answer atomic.Pointer[[]byte]
	g, url := serve(f, testConfig())
	setFunction(g, "f", nil, at(rawReplica(f, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			c.Write(*answer.Load())
		}
	})))
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer.Store(&raw)
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, "GET /function/f HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		r := bufio.NewReader(conn)
		got, err := http.ReadResponse(r, nil)
		if err != nil {
			return // it was cut before its head was sent
		}
		body, err := io.ReadAll(got.Body)
		if got.Header.Get("X-Openfaas-Internal") != "" || err != nil {
			return // the client sees that it is not the function's answer, or not whole
		}
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("after the answer came %q", rest)
		}
		want, wantBody, err := readAnswer(raw)
		if err != nil || got.StatusCode != want.StatusCode || !bytes.Equal(body, wantBody) {
			t.Errorf("got %d %q, net/http reads %v %q, %v", got.StatusCode, body, want, wantBody, err)
		}
	})
}

// readAnswer reads an answer as net/http's client does.
func readAnswer(raw []byte) (*http.Response, []byte, error) {
	r := bufio.NewReader(bytes.NewReader(raw))
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, nil, err
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		return resp, body, err
	}
}
