package gateway

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scaled multiplies a count by CHECK_SCALE, 1 if it is not set.
func scaled(n int) int {
	if scale, err := strconv.ParseFloat(os.Getenv("CHECK_SCALE"), 64); err == nil && scale > 0 {
		return int(float64(n) * scale)
	}
	return n
}

// rawAnswer sends text as it is on a connection of its own and gives the
// answer's status and body.
func rawAnswer(t testing.TB, addr, request string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%.80q: %v", request, err)
	}
	return resp.StatusCode, string(body)
}

// TestNoRouteOfTheAPIOpensWithoutCredentials tries every path there is with
// every spelling that some reader somewhere might take for it.
func TestNoRouteOfTheAPIOpensWithoutCredentials(t *testing.T) {
	cfg := testConfig()
	m := newMemoryBackend()
	cfg.Backend = m
	_, url := serve(t, cfg)
	addr := strings.TrimPrefix(url, "http://")
	credentials := map[string]string{
		"none":            "",
		"a wrong one":     "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("admin:Secret")) + "\r\n",
		"another scheme":  "Authorization: Bearer secret\r\n",
		"in the address":  "X-Forwarded-User: admin\r\n",
		"of a proxy only": "Proxy-Authorization: Basic YWRtaW46c2VjcmV0\r\n",
	}
	tried := 0
	for _, r := range newSystem(cfg, nil).resources {
		if r.access == forAll {
			continue
		}
		path := r.path
		if r.naming == named {
			path += "cat"
		}
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "PROPFIND"} {
			if r.access == forReaders && (method == "GET" || method == "HEAD") {
				continue
			}
			for spelling, target := range spellings(path) {
				if strings.HasPrefix(target, "http") && method != "GET" {
					continue
				}
				for how, header := range credentials {
					if spelling != "as it is" && how != "none" {
						continue // the client would be told to wait
					}
					request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: GET\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", method, target, header)
					status, body := rawAnswer(t, addr, request)
					tried++
					asFunction := spelling == "below a function" && status == 404 // one that is called ..
					if status != 401 && status != 400 && status != 429 && !asFunction {
						t.Errorf("%s %s (%s) with credentials %s: got %d %.100s", method, target, spelling, how, status, body)
					}
				}
			}
		}
	}
	if tried < 1000 || len(m.functions)+len(m.modules)+len(m.secretsOf) > 0 || len(m.namespaces) != 1 {
		t.Errorf("%d requests left the state %v", tried, m)
	}
	t.Logf("%d requests", tried)
}

// spellings gives targets that may be taken for a path.
func spellings(path string) map[string]string {
	last := path[len(path)-1:]
	return map[string]string{
		"as it is":                   path,
		"with a query":               path + "?x=/healthz",
		"a double slash":             "/" + path,
		"a double slash within":      "/system//" + strings.TrimPrefix(path, "/system/"),
		"one letter encoded":         strings.TrimSuffix(path, last) + fmt.Sprintf("%%%02x", last[0]),
		"one letter encoded twice":   strings.TrimSuffix(path, last) + fmt.Sprintf("%%25%02x", last[0]),
		"its first letter encoded":   "/%73" + strings.TrimPrefix(path, "/s"),
		"an encoded slash":           "/system%2f" + strings.TrimPrefix(path, "/system/"),
		"a dot segment":              "/./" + path[1:],
		"a double dot segment":       "/healthz/.." + path,
		"an encoded dot segment":     "/healthz/%2e%2e" + path,
		"below a function":           "/function/../" + path[1:],
		"a semicolon":                "/;x=y" + path,
		"a parameter":                path + ";x=y",
		"a backslash":                `/system\` + strings.TrimPrefix(path, "/system/"),
		"capital letters":            strings.ToUpper(path),
		"a slash at the end":         path + "/",
		"a null byte encoded":        path + "%00",
		"the absolute form":          "http://localhost" + path,
		"another host in the target": "http://evil.example" + path,
	}
}

func TestRightCredentialsOpenEveryRoute(t *testing.T) {
	cfg := testConfig()
	_, url := serve(t, cfg)
	for _, r := range newSystem(cfg, nil).resources {
		path := r.path
		if r.naming == named {
			path += "cat"
		}
		for _, m := range r.methods {
			status, body := rawAnswer(t, strings.TrimPrefix(url, "http://"), m.name+" "+path+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if status == 401 || status == 403 || status == 429 || status == 500 {
				t.Errorf("%s %s: got %d %s", m.name, path, status, body)
			}
		}
	}
}

func TestWrongCredentialsTakeAsLongHoweverMuchOfThemIsRight(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector keeps books by address, which takes times of its own")
	}
	a := newAuth(&Credentials{User: "administrator", Password: "correct-horse-battery"})
	header := func(user, password string) []byte {
		return []byte("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	guesses := [][]byte{
		header("xdministrator", "xorrect-horse-battery"), // what the others are compared with
		header("administrator", "xorrect-horse-battery"),
		header("administratox", "xorrect-horse-battery"),
		header("administrator", "correct-horse-batterx"),
		header("xdministrator", "correct-horse-battery"),
		header("xdministrator", "correct-horse-batterx"), // so that no first letter is more usual to the processor
	}
	// A test of that kind is wrong once in a hundred times, and more often on a
	// busy machine; the same guess slower, or faster, five times in a row is a
	// leak.
	leaks := timingDiffers(a, guesses, scaled(20_000))
	for range 4 {
		if len(leaks) == 0 {
			return
		}
		again := timingDiffers(a, guesses, scaled(20_000))
		maps.DeleteFunc(leaks, func(what, _ string) bool { return again[what] == "" })
	}
	for what, how := range leaks {
		t.Errorf("%s: %s", what, how)
	}
}

// timingDiffers tells which guesses take another time than the first one, and
// in which direction: medians by a microsecond, or means by Welch's test at 1 %.
func timingDiffers(a *auth, guesses [][]byte, n int) map[string]string {
	times := make([][]float64, len(guesses))
	for i := range times {
		times[i] = make([]float64, 0, n)
	}
	var header [256]byte // the same for all: where memory lies changes times too
	for range n {
		for _, i := range rand.Perm(len(guesses)) {
			guess := header[:copy(header[:], guesses[i])]
			begin := time.Now()
			a.match(guess)
			times[i] = append(times[i], float64(time.Since(begin)))
		}
	}
	for i := range times {
		slices.Sort(times[i])
		times[i] = times[i][:n*9/10] // without what the machine did in between
	}
	differs := map[string]string{}
	for i := 1; i < len(times); i++ {
		if d := times[i][len(times[i])/2] - times[0][len(times[0])/2]; math.Abs(d) >= float64(time.Microsecond) {
			differs[fmt.Sprintf("guess %d, slower %t", i, d > 0)] = fmt.Sprintf("the median differs by %v ns", d)
		}
		if z := welch(times[i], times[0]); math.Abs(z) > 3.09 { // 1 % over five comparisons
			differs[fmt.Sprintf("guess %d, slower %t", i, z > 0)] = fmt.Sprintf("the mean differs by %.2f standard errors", z)
		}
	}
	return differs
}

// welch gives the difference of two means in standard errors.
func welch(a, b []float64) float64 {
	meanA, varA := moments(a)
	meanB, varB := moments(b)
	return (meanA - meanB) / math.Sqrt(varA/float64(len(a))+varB/float64(len(b)))
}

func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / float64(len(v)-1)
}
