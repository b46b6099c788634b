package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAPageOfAnotherSiteCannotDriveTheAPI has the requests that browsers make
// for pages, with right credentials, which a browser adds by itself.
func TestAPageOfAnotherSiteCannotDriveTheAPI(t *testing.T) {
	type request struct{ host, headers string }
	for name, test := range map[string]struct {
		request
		want, open int // with credentials, and without any configured
	}{
		"curl by any name":                      {request{"hearth.example:8080", ""}, 200, 200},
		"curl by an address":                    {request{"192.0.2.1:8080", ""}, 200, 200},
		"the page itself":                       {request{"127.0.0.1:8080", "Origin: http://127.0.0.1:8080\nSec-Fetch-Site: same-origin"}, 200, 200},
		"the page itself by localhost":          {request{"localhost:8080", "Origin: http://localhost:8080\nSec-Fetch-Site: same-origin"}, 200, 200},
		"the page behind TLS":                   {request{"gw.allowed.example", "Origin: https://gw.allowed.example\nSec-Fetch-Site: same-origin"}, 200, 200},
		"the page by an allowed name and port":  {request{"gw.allowed.example:8443", "Origin: https://gw.allowed.example:8443"}, 200, 200},
		"typed into the address bar":            {request{"localhost:8080", "Sec-Fetch-Site: none\nUser-Agent: Mozilla/5.0"}, 200, 200},
		"a form of another site":                {request{"localhost:8080", "Origin: http://evil.example\nSec-Fetch-Site: cross-site"}, 403, 403},
		"another site in an old browser":        {request{"localhost:8080", "Origin: http://evil.example"}, 403, 403},
		"an image on another site":              {request{"localhost:8080", "Sec-Fetch-Site: cross-site"}, 403, 403},
		"a sister domain":                       {request{"localhost:8080", "Sec-Fetch-Site: same-site"}, 403, 403},
		"another port of this machine":          {request{"localhost:8080", "Origin: http://localhost:3000"}, 403, 403},
		"a file or a frame without an origin":   {request{"localhost:8080", "Origin: null"}, 403, 403},
		"a name that was bound to our address":  {request{"evil.example:8080", "Origin: http://evil.example:8080\nSec-Fetch-Site: same-origin"}, 403, 403},
		"such a name without an origin":         {request{"evil.example:8080", "Sec-Fetch-Site: same-origin"}, 403, 403},
		"such a name in an old browser":         {request{"evil.example:8080", "User-Agent: Mozilla/5.0"}, 200, 403},
		"such a name by a link":                 {request{"evil.example:8080", "Referer: http://evil.example/"}, 200, 403},
		"a name that ends as ours":              {request{"evil-allowed.example", "Origin: http://evil-allowed.example"}, 403, 403},
		"a name that begins as localhost":       {request{"localhost.evil.example", "Origin: http://localhost.evil.example"}, 403, 403},
		"an address with a name behind":         {request{"127.0.0.1.evil.example", "Origin: http://127.0.0.1.evil.example"}, 403, 403},
		"IPv6":                                  {request{"[::1]:8080", "Origin: http://[::1]:8080"}, 200, 200},
		"capital letters and a dot at the end":  {request{"LOCALHOST.:8080", "Origin: http://LocalHost.:8080"}, 200, 200},
		"an origin that is no address":          {request{"localhost", "Origin: ://"}, 403, 403},
		"the port that the scheme means anyway": {request{"localhost", "Origin: http://localhost:80"}, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			for how, want := range map[string]int{"with credentials": test.want, "open": test.open} {
				cfg := testConfig()
				cfg.AllowedHosts = []string{"gw.allowed.example"}
				if how == "open" {
					cfg.Credentials = nil
				}
				_, url := serve(t, cfg)
				headers := "Host: " + test.host + "\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\n"
				if test.headers != "" {
					headers += strings.ReplaceAll(test.headers, "\n", "\r\n") + "\r\n"
				}
				for _, line := range []string{"GET /system/functions", "DELETE /system/functions", "POST /system/nothing"} {
					status, body := rawAnswer(t, strings.TrimPrefix(url, "http://"), line+" HTTP/1.1\r\n"+headers+"Content-Length: 0\r\nConnection: close\r\n\r\n")
					if refused := status == 403; refused != (want == 403) {
						t.Errorf("%s, %s: got %d %s", line, how, status, body)
					}
				}
			}
		})
	}
}

// TestOnlyTheAPIsListenerHasTheAPI looks for what must be on neither listener
// or on the other one only.
func TestOnlyTheAPIsListenerHasTheAPI(t *testing.T) {
	g, api := serve(t, testConfig())
	metrics := serveMetrics(t, g)
	for path, want := range map[string][2]int{ // without credentials: of the API's, of the metrics' listener
		"/metrics":           {404, 200},
		"/healthz":           {200, 200},
		"/debug/pprof/":      {404, 404},
		"/debug/pprof/heap":  {404, 404},
		"/debug/vars":        {404, 404},
		"/system/functions":  {401, 404},
		"/function/nothing":  {404, 404},
		"/internal/load":     {404, 404},
		"/ui/":               {401, 404},
		"/metrics/../system": {401, 404},
	} {
		for i, url := range []string{api, metrics} {
			req, err := http.NewRequest("GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.URL.Opaque = path // as it is
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != want[i] && !(resp.StatusCode/100 == 3 && want[i] == 404) {
				t.Errorf("%s of listener %d: got %s %.100s, want %d", path, i, resp.Status, body, want[i])
			}
		}
	}
}
