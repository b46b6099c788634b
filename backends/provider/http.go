package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hearth/backends"
)

const (
	requestTimeout = 60 * time.Second // of all but a stream of logs
	maxAnswer      = 64 << 20         // bytes of one answer that are read
	maxSentence    = 1 << 10          // bytes of an error's text that are shown
)

// get asks for a JSON value.
func (p *Provider) get(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := p.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return backends.Errorf(backends.ErrUnavailable, "the provider's answer to GET %s is not what it should be: %v", path, err)
	}
	return nil
}

// send sends a JSON value and expects nothing but success.
func (p *Provider) send(ctx context.Context, method, path string, query url.Values, body any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	resp, err := p.do(ctx, method, path, query, text)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxSentence)) // so that the connection is kept
	return resp.Body.Close()
}

// do sends one request. The answer's status is 2xx; the caller closes its body.
func (p *Provider) do(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Response, error) {
	u := p.cfg.URL.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.cfg.User != "" {
		req.SetBasicAuth(p.cfg.User, p.cfg.Password)
	}
	resp, err := p.cfg.Client.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(method, path, resp)
}

// unreachable is the error of a request without an answer. The URL, which may
// hold a password, is not in it.
func unreachable(err error) error {
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	if errors.Is(err, context.Canceled) {
		return backends.Errorf(backends.ErrCanceled, "the provider was not waited for")
	}
	return backends.Errorf(backends.ErrUnavailable, "the provider does not answer: %v", err)
}

// refusal turns an answer into an error of the kind it means. Providers differ:
// faas-netes says 500 for what exists, faasd 400.
func refusal(method, path string, resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxSentence))
	sentence := strings.TrimSpace(string(text))
	if sentence == "" {
		sentence = fmt.Sprintf("the provider answered %s %s with %s", method, path, resp.Status)
	}
	return backends.Errorf(kind(resp.StatusCode, sentence), "%s", sentence)
}

func kind(status int, sentence string) error {
	exists := strings.Contains(sentence, "already exists")
	switch {
	case status == http.StatusConflict || exists && status >= 400:
		return backends.ErrExists
	case status == http.StatusNotFound:
		return backends.ErrNotFound
	case status == http.StatusRequestEntityTooLarge:
		return backends.ErrTooLarge
	case status == http.StatusNotImplemented || status == http.StatusMethodNotAllowed:
		return backends.ErrUnsupported
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return backends.ErrUnavailable // our credentials are wrong, not the caller's
	case status >= 400 && status < 500:
		return backends.ErrInvalid
	}
	return backends.ErrUnavailable
}
