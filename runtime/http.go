package runtime

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

// Limits of calling out.
const (
	maxFetches      = 100     // in one call of a function
	maxFetchRequest = 8 << 20 // bytes of a body
	maxFetchAnswer  = 8 << 20
	maxRedirects    = 5
	dialTimeout     = 10 * time.Second
	idleTimeout     = 30 * time.Second
)

// outbound calls out for the guests of one module. Its connections are its own: one that another function may have must not be reused.
type outbound struct {
	rules  []backends.HostRule
	client http.Client
}

// network is how names become addresses and addresses connections.
type network struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

func newNetwork() network {
	return network{
		resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		dial: (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
}

// newOutbound makes the client of a module; nil when it may call nobody.
func newOutbound(rules []backends.HostRule, n *network) *outbound {
	if len(rules) == 0 {
		return nil
	}
	o := &outbound{rules: rules}
	o.client = http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return o.connect(ctx, n, network, address)
			},
			DisableCompression: true, MaxIdleConns: 16, MaxIdleConnsPerHost: 8, IdleConnTimeout: idleTimeout,
			TLSHandshakeTimeout: dialTimeout, MaxResponseHeaderBytes: maxHeaderBlock,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			return o.allowed(req.URL)
		},
	}
	return o
}

func (o *outbound) close() {
	if o != nil {
		o.client.CloseIdleConnections()
	}
}

// allowed tells why an address may not be called.
func (o *outbound) allowed(u *url.URL) error {
	if u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the scheme %q of the address is not http or https", u.Scheme)
	}
	if u.User != nil {
		return errors.New("the address has a user in it: send an Authorization header")
	}
	host, port := strings.ToLower(u.Hostname()), uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if p := u.Port(); p != "" {
		var err error
		if port, err = strconv.ParseUint(p, 10, 16); err != nil {
			return fmt.Errorf("the port %q of the address is none", p)
		}
	}
	addr, err := netip.ParseAddr(host)
	literal := err == nil && addr.Zone() == ""
	if literal {
		addr = addr.Unmap()
		host = addr.String()
	}
	for _, r := range o.rules {
		if r.Port != uint16(port) && (r.Port != 0 || port != 80 && port != 443) {
			continue
		}
		switch {
		case r.HasRange && literal && r.Prefix.Contains(addr), !r.HasRange && !r.Below && r.Name == host,
			r.Below && !literal && strings.HasSuffix(host, "."+r.Name):
			return nil
		}
	}
	return fmt.Errorf("the function may not call %.100q at port %d (%s)", host, port, backends.KeyAllowHTTP)
}

// connect dials an address that a host really has, after looking at all it has: a name that is looked up twice may have another one
// the second time.
func (o *outbound) connect(ctx context.Context, n *network, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if addr, err := netip.ParseAddr(host); err == nil { // one that is in the list: see allowed
		return n.dial(ctx, network, net.JoinHostPort(addr.Unmap().String(), port))
	}
	addrs, err := n.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
		inRange := slices.ContainsFunc(o.rules, func(r backends.HostRule) bool { return r.HasRange && r.Prefix.Contains(addrs[i]) })
		if addrs[i].Zone() != "" || !inRange && !isPublic(addrs[i]) {
			return nil, fmt.Errorf("%s has the internal address %s, whose range is not listed (%s)", host, a, backends.KeyAllowHTTP)
		}
	}
	err = fmt.Errorf("%s has no address", host)
	for _, a := range addrs {
		var conn net.Conn
		if conn, err = n.dial(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// isPublic tells whether an address belongs to a host of the internet, by IANA's registries of special addresses.
func isPublic(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() {
		return false
	}
	special := []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
		"203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"}
	for _, s := range special {
		if netip.MustParsePrefix(s).Contains(a) {
			return false
		}
	}
	return a.Is4() || netip.MustParsePrefix("2000::/3").Contains(a)
}

// fetch calls out for a guest, which has no run slot meanwhile, and gives the answer as a frame: status, header and body lengths, header
// lines and body. Status 0 is no answer, and the body says why. It unwinds the guest when its call ends first.
func (c *call) fetch(method, address, header, body []byte) []byte {
	c.check()
	o := c.module.outbound
	req, err := c.fetchRequest(o, method, address, header, body)
	if err != nil {
		return frameOf(0, nil, []byte(err.Error()))
	}
	c.leave()
	frame, err := o.do(req)
	c.resume()
	if err != nil {
		return frameOf(0, nil, []byte(err.Error()))
	}
	return frame
}

// fetchRequest checks what a guest wants to send. Nothing of it refers to the guest's memory.
func (c *call) fetchRequest(o *outbound, method, address, header, body []byte) (*http.Request, error) {
	if o == nil {
		return nil, fmt.Errorf("the function may not call out: list the hosts it needs in %s", backends.KeyAllowHTTP)
	}
	if c.freezing != nil || c.instance == nil {
		return nil, errors.New("a function cannot call out while it is initialised")
	}
	if c.fetches++; c.fetches > maxFetches {
		return nil, fmt.Errorf("more than %d requests in one call", maxFetches)
	}
	if len(body) > maxFetchRequest || len(header) > maxHeaderBlock || len(address) > maxHeaderBlock {
		return nil, fmt.Errorf("the request is too large: %d bytes of body and %d of header are allowed", maxFetchRequest, maxHeaderBlock)
	}
	if !isToken(method) || bytes.EqualFold(method, []byte("CONNECT")) || bytes.EqualFold(method, []byte("TRACE")) {
		return nil, fmt.Errorf("the method %.40q is not allowed", method)
	}
	req, err := http.NewRequestWithContext(c.ctx, string(method), string(address), bytes.NewReader(bytes.Clone(body)))
	if err != nil {
		return nil, err
	}
	if err := o.allowed(req.URL); err != nil {
		return nil, err
	}
	req.Header["User-Agent"] = []string{""} // none unless the guest sends one
	for line := range bytes.Lines(header) {
		name, value, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		value = bytes.Trim(value, " \t")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return nil, fmt.Errorf("the header line %.80q is none", line)
		}
		if isFraming(name) || bytes.EqualFold(name, []byte("Host")) || bytes.EqualFold(name, []byte("Expect")) {
			return nil, fmt.Errorf("the header %s is not the function's to send", name)
		}
		if bytes.EqualFold(name, []byte("User-Agent")) {
			req.Header.Del("User-Agent")
		}
		req.Header.Add(string(name), string(value))
	}
	return req, nil
}

// do sends a request and reads the answer.
func (o *outbound) do(req *http.Request) ([]byte, error) {
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxFetchAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > maxFetchAnswer {
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxFetchAnswer)
	}
	var header bytes.Buffer
	for name, values := range resp.Header {
		for _, v := range values {
			fmt.Fprintf(&header, "%s: %s\n", name, v)
		}
	}
	return frameOf(resp.StatusCode, header.Bytes(), body), nil
}

func frameOf(status int, header, body []byte) []byte {
	frame := make([]byte, 0, answerHead+len(header)+len(body))
	for _, n := range [...]int{status, len(header), len(body)} {
		frame = binary.LittleEndian.AppendUint32(frame, uint32(n))
	}
	return append(append(frame, header...), body...)
}
