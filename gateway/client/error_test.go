package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hearth/backends"
	"hearth/gateway/client"
)

func TestAnAddressThatIsNoneIsRefusedWithoutRepeatingPasswords(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://host", "http://", "http://host/?x=1", "http://host/#x", "http://u:hunter2@host", "http://u:hunter2@ho st", "\x00"} {
		_, err := client.New(address, "", "")
		if !errors.Is(err, backends.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestAnErrorHasTheServersSentenceAndTheKindOfItsStatus(t *testing.T) {
	status := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://elsewhere.example/")
		w.WriteHeader(status)
		w.Write([]byte(" the reason \n"))
	}))
	defer server.Close()
	c := newClient(t, server.URL, "hunter2")
	all := []error{backends.ErrInvalid, backends.ErrNotFound, backends.ErrExists, backends.ErrConflict, backends.ErrUnsupported,
		backends.ErrTooLarge, backends.ErrBusy, backends.ErrUnavailable, client.ErrUnauthorized, context.DeadlineExceeded, context.Canceled}
	for code, want := range map[int][]error{
		302: nil, 400: all[0:1], 401: all[8:9], 403: all[8:9], 404: all[1:2], 405: all[4:5], 409: all[2:4], 413: all[5:6],
		418: nil, 422: all[0:1], 429: all[6:7], 500: nil, 501: all[4:5], 503: all[7:8],
	} {
		status = code
		_, err := c.Info(t.Context())
		var answer *client.Error
		if !errors.As(err, &answer) || answer.Status != code {
			t.Fatalf("%d: got %v", code, err)
		}
		if said := err.Error(); said != "the reason" && code != 401 && code != 302 || strings.Contains(said, "hunter2") {
			t.Errorf("%d: got %q", code, said)
		}
		for _, kind := range all {
			wanted := false
			for _, k := range want {
				wanted = wanted || k == kind
			}
			if errors.Is(err, kind) != wanted {
				t.Errorf("%d: of kind %v: %v", code, kind, !wanted)
			}
		}
	}
}

func TestAGatewayThatIsAwayOrIsNoneIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	away := "http://" + ln.Addr().String()
	ln.Close()
	_, err = newClient(t, away, "hunter2").List(t.Context(), "")
	wantKind(t, "nobody there", err, backends.ErrUnavailable)
	if !strings.Contains(err.Error(), away) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = newClient(t, away, "").List(canceled, "")
	wantKind(t, "canceled", err, context.Canceled)

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }))
	defer other.Close()
	_, err = newClient(t, other.URL, "").List(t.Context(), "")
	wantKind(t, "some web server", err, backends.ErrUnsupported)

	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.Write([]byte(`[{"name":`))
	}))
	defer cut.Close()
	_, err = newClient(t, cut.URL, "").List(t.Context(), "")
	wantKind(t, "a cut answer", err, backends.ErrUnavailable)
}

func TestWrongCredentialsAreSaidWithTheGatewaysName(t *testing.T) {
	url := startGateway(t)
	_, err := newClient(t, url, "wrong").List(t.Context(), "")
	wantKind(t, "wrong password", err, client.ErrUnauthorized)
	if !strings.Contains(err.Error(), url) {
		t.Errorf("got %v", err)
	}
}

func TestALogThatIsCutIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("\n{\"name\":\"f\",\"namespace\":\"n\",\"instance\":\"i\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"text\":\"one\\n\"}\n\n"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	var texts []string
	var last error
	for line, err := range newClient(t, server.URL, "").Logs(t.Context(), backends.LogQuery{Key: keyOf("f")}) {
		if last = err; err == nil {
			texts = append(texts, line.Text)
		}
	}
	if len(texts) != 1 || texts[0] != "one" {
		t.Errorf("got lines %q", texts)
	}
	wantKind(t, "cut", last, backends.ErrUnavailable)
}
