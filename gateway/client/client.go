// Package client is the gateway's API as Go methods. Paths, bodies and status
// codes are OpenFaaS'; any compatible gateway answers all but modules and the
// store.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hearth/backends"
)

// Bounds of what is read from a gateway, which may be any program.
const (
	maxAnswer   = 64 << 20 // bytes of JSON
	maxErrors   = 8 << 10  // bytes of the sentence of an error
	dialTimeout = 10 * time.Second
)

// Client talks to one gateway. It is safe for concurrent use, and the context
// of each call is the only limit of its time.
type Client struct {
	base           *url.URL
	user, password string
	http           *http.Client
}

// New makes a client of the gateway at an address such as
// http://127.0.0.1:8080, or https://example.com/prefix. Empty credentials are
// not sent. It connects to nothing. ErrInvalid for an address that is none.
func New(gateway, user, password string) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(gateway, "/"))
	allowed := "an address such as http://127.0.0.1:8080"
	switch {
	case err != nil: // not its text, which repeats what may hold a password
		return nil, backends.Errorf(backends.ErrInvalid, "gateway: it must be %s", allowed)
	case base.User != nil:
		return nil, &backends.FieldError{Field: "gateway", Value: base.Redacted(), Allowed: "an address without user and password"}
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "", base.RawQuery != "", base.Fragment != "":
		return nil, &backends.FieldError{Field: "gateway", Value: base.Redacted(), Allowed: allowed}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	transport.DisableCompression = true // bodies pass as they are
	c := &Client{base: base, user: user, password: password}
	return c.WithTransport(transport), nil
}

// WithTransport gives a client of the same gateway that connects in another
// way, for example with another certificate authority.
func (c *Client) WithTransport(t http.RoundTripper) *Client {
	next := *c
	// A redirect would send credentials elsewhere, and turn POST into GET.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	next.http = &http.Client{Transport: t, CheckRedirect: stay}
	return &next
}

// Gateway is the address that the client was made with.
func (c *Client) Gateway() string { return c.base.String() }

// ErrUnauthorized is the kind of an answer of 401 or 403.
var ErrUnauthorized = errors.New("unauthorized")

// Error is an answer of the gateway that is not what was asked for. It matches
// the kinds of package backends that have its status, and ErrUnauthorized.
type Error struct {
	Status int
	Text   string // the gateway's sentence
}

// Error gives the gateway's sentence.
func (e *Error) Error() string { return e.Text }

// Is tells whether the answer's status is that of a kind.
func (e *Error) Is(kind error) bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return kind == ErrUnauthorized
	case http.StatusUnprocessableEntity:
		return kind == backends.ErrInvalid
	case http.StatusMethodNotAllowed:
		return kind == backends.ErrUnsupported
	}
	for _, k := range [...]error{
		backends.ErrInvalid, backends.ErrNotFound, backends.ErrExists, backends.ErrConflict,
		backends.ErrUnsupported, backends.ErrTooLarge, backends.ErrBusy, backends.ErrUnavailable,
	} {
		if kind == k {
			return backends.HTTPStatus(k) == e.Status
		}
	}
	return false
}

// query is a path below the gateway's address with a query.
func query(path string, args ...string) string {
	values := url.Values{}
	for i := 0; i+1 < len(args); i += 2 {
		if args[i+1] != "" {
			values.Set(args[i], args[i+1])
		}
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// send makes one request. A body that is an io.Reader is streamed, any other
// goes as JSON. The answer is the caller's to close.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	stream, isStream := body.(io.Reader)
	switch {
	case isStream:
		r = stream
	case body != nil:
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, r)
	if err != nil {
		return nil, backends.Errorf(backends.ErrInvalid, "request: %v", err)
	}
	if body != nil && !isStream {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.user != "" || c.password != "" {
		req.SetBasicAuth(c.user, c.password)
	}
	return c.do(req)
}

// do sends a request. That the gateway cannot be reached is ErrUnavailable.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "hearth-client")
	}
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	var outer *url.Error // its text repeats method and address
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if req.Context().Err() != nil {
		return nil, err
	}
	return nil, backends.Errorf(backends.ErrUnavailable, "the gateway %s cannot be reached: %w", c.base, err)
}

// call makes one request and reads its JSON answer into a value, unless that
// is nil. It gives the status of an answer of success.
func (c *Client) call(ctx context.Context, method, path string, body, into any) (int, error) {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := c.check(resp); err != nil {
		return resp.StatusCode, err
	}
	if into == nil {
		io.CopyN(io.Discard, resp.Body, maxErrors) // so that the connection can be used again
		return resp.StatusCode, nil
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return resp.StatusCode, backends.Errorf(backends.ErrUnavailable, "the answer of the gateway %s was cut: %w", c.base, err)
	case len(answer) > maxAnswer:
		return resp.StatusCode, backends.Errorf(backends.ErrTooLarge, "the answer of the gateway %s is longer than %d bytes", c.base, maxAnswer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return resp.StatusCode, backends.Errorf(backends.ErrUnsupported, "what %s answers to %s is no OpenFaaS API: %w", c.base, path, err)
	}
	return resp.StatusCode, nil
}

// check makes an error of an answer that is not a success.
func (c *Client) check(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrors))
	e := &Error{Status: resp.StatusCode, Text: strings.TrimSpace(strings.ToValidUTF8(string(text), "\uFFFD"))}
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		e.Text = "the gateway " + c.base.String() + " does not accept these credentials"
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		e.Text = "the gateway " + c.base.String() + " sends elsewhere, to " + resp.Header.Get("Location") + ": use that address"
	case e.Text == "":
		e.Text = "the gateway " + c.base.String() + " answered " + resp.Status
	}
	return e
}
