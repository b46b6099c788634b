package http1

import (
	"bufio"
	"bytes"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// visible gives the header lines that a function sees of a request.
func visible(t testing.TB, raw string, trusted bool) []string {
	t.Helper()
	var ctx fasthttp.RequestCtx
	ctx.Init2(&pieces{}, silent{}, false)
	if err := ctx.Request.Header.Read(bufio.NewReaderSize(strings.NewReader(raw), 64<<10)); err != nil {
		t.Fatal(err)
	}
	call := Acquire(&ctx, Options{Trusted: func(net.Addr) bool { return trusted }})
	defer call.Release()
	var lines []string
	call.Visit(func(name, value []byte) bool {
		lines = append(lines, string(name)+": "+string(value))
		return true
	})
	return lines
}

const own = "X-Forwarded-For: 127.0.0.1:1|X-Forwarded-Host: a|X-Forwarded-Proto: http"

func TestAFunctionSeesWhatTheClientSaidAndNothingOfTheHop(t *testing.T) {
	for name, c := range map[string]struct {
		header, want string
		trusted      bool
	}{
		"what passes, in order":    {"B: 1|a: 2|Cookie: x=y|B: 3|Content-Length: 0|Authorization: Basic eA==", "B: 1|A: 2|Cookie: x=y|B: 3|Content-Length: 0|Authorization: Basic eA==|" + own, false},
		"hop by hop":               {"Keep-Alive: 5|Te: trailers|Proxy-Connection: x|Proxy-Authenticate: x|Proxy-Authorization: x|Upgrade: x|Transfer-Encoding: chunked|Trailer: X-Sum", own, false},
		"named by Connection":      {"Connection: x-A , close|X-A: 1|X-B: 2|Connection: keep-alive, X-C|X-C: 3|X-D: 4", "X-B: 2|X-D: 4|" + own, false},
		"close after names":        {"Connection: X-A|Connection: close|X-A: 1|X-B: 2", "X-B: 2|" + own, false},
		"Proxy":                    {"Proxy: http://evil", own, false},
		"what the gateway sets":    {"X-Start-Time: 1|X-Start-Time: 2|X-Forwarded-For: 1.2.3.4|X-Forwarded-Host: evil|X-Forwarded-Proto: https", own, false},
		"twins with underscores":   {"X_Call_Id: 1|x_start_TIME: 2|X_Forwarded-For: 3|Proxy_Connection: 4|X_Mine: 5|Content_Type: x", "X_mine: 5|Content_type: x|" + own, false},
		"forwarded by the trusted": {"X-Forwarded-For: 1.2.3.4|X-Forwarded-Host: b|X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4, 127.0.0.1:1|X-Forwarded-Host: b|X-Forwarded-Proto: https", true},
		"nothing from the trusted": {"X: y", "X: y|" + own, true},
	} {
		raw := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.ReplaceAll(c.header, "|", "\r\n") + "\r\n\r\n"
		lines := slices.DeleteFunc(visible(t, raw, c.trusted), func(l string) bool {
			return strings.HasPrefix(l, "X-Call-Id: ") || strings.HasPrefix(l, "X-Start-Time: 1") && len(l) > 30
		})
		if got := strings.Join(lines, "|"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestAnAnswerCannotSplitOrFrameItself(t *testing.T) {
	var ctx fasthttp.RequestCtx
	ctx.Init2(&pieces{}, silent{}, false)
	call := Acquire(&ctx, Options{Answer: 8})
	defer call.Release()
	for name, value := range map[string]string{
		"X-Split": "a\r\nSet-Cookie: x", "X-NUL": "\x00", "X Y": "z", "": "x", "X:Y": "z", "Content-Length": "5", "connection": "close",
		"Transfer-Encoding": "chunked", "UPGRADE": "x", "Keep-Alive": "1", "Te": "x", "Trailer": "x",
	} {
		call.SetHeader([]byte(name), []byte(value))
		call.AddHeader([]byte(name), []byte(value))
	}
	for _, v := range []string{"a=1", "b=2"} {
		call.AddHeader([]byte("Set-Cookie"), []byte(v))
		call.AddHeader([]byte("x-many"), []byte(v))
		call.SetHeader([]byte("X-One"), []byte(v))
	}
	if _, err := call.Write([]byte("12345678")); err != nil {
		t.Error(err)
	}
	if _, err := call.Write([]byte("9")); err == nil {
		t.Error("9 bytes were taken, 8 are allowed")
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	ctx.Response.Header.Set("Date", "x")
	if err := ctx.Response.Write(w); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	resp, err := http.ReadResponse(bufio.NewReader(&out), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	if got := resp.Header; len(got) != 5 || len(got["Set-Cookie"]) != 2 || len(got["X-Many"]) != 2 || len(got["X-One"]) != 1 || got.Get("Content-Length") != "8" {
		t.Errorf("got %v", got)
	}
}

// FuzzHopHeaders holds that no header of the hop, and none that Connection
// names, reaches a function.
func FuzzHopHeaders(f *testing.F) {
	f.Add("X-A, close", "X-A", "1")
	f.Add("keep-alive", "Proxy_Authorization", "1")
	f.Add(",,x-forwarded-for,", "Te", "trailers")
	f.Fuzz(func(t *testing.T, connection, name, value string) {
		raw := "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + connection + "\r\n" + name + ": " + value + "\r\n\r\n"
		var g guard
		if _, fault := g.scan([]byte(raw)); fault != nil || g.state != atRequest {
			return
		}
		lines := visible(t, raw, false)
		for _, l := range lines[:len(lines)-5] { // the last five are the gateway's
			n, _, _ := strings.Cut(strings.ToLower(l), ":")
			for hop := range strings.SplitSeq(strings.ToLower(connection)+",connection,te,keep-alive,transfer-encoding,upgrade,proxy,trailer,x-call-id,x-forwarded-for", ",") {
				if strings.Trim(hop, " \t") == n || strings.Contains(n, "_") && hop == strings.ReplaceAll(n, "_", "-") && endsHere([]byte(http.CanonicalHeaderKey(hop))) {
					t.Errorf("%q reached the function", l)
				}
			}
		}
	})
}
