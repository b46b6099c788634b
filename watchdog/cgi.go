package watchdog

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// environment of a process for one request: that of the watchdog, the
// request's headers as Http_NAME with the first value of each, and what the
// request line says. A name that the platform gives cannot come from a header,
// and a name with an underscore cannot take the place of one with a dash.
func (x *exchange) environment() []string {
	env := append([]string{}, x.w.cfg.Environ...)
	if x.w.cfg.Mode == Classic && !x.w.cfg.CGI {
		return env
	}
	seen := map[string]bool{}
	add := func(dashed bool) {
		for name, value := range x.Request.Header.AllInOrder() {
			variable := "Http_" + strings.ReplaceAll(string(name), "-", "_")
			folded := strings.ToLower(variable)
			if dashed == strings.Contains(string(name), "_") || seen[folded] || isReserved(folded) {
				continue
			}
			seen[folded] = true
			env = append(env, variable+"="+string(value))
		}
	}
	add(true)
	add(false)
	env = append(env, "Http_Method="+x.method, "Http_Path="+x.decodedPath())
	if query := x.URI().QueryString(); len(query) > 0 {
		env = append(env, "Http_Query="+string(query))
	}
	length := x.Request.Header.ContentLength()
	if length == -1 {
		env = append(env, "Http_Transfer_Encoding=chunked")
	}
	if x.w.cfg.Mode == Classic {
		length := strconv.Itoa(max(length, -1))
		env = append(env, "Http_ContentLength="+length, "Http_Content_Length="+length, "Http_Host="+string(x.Host()))
	}
	return env
}

// isReserved tells which variables, in lower case, a header cannot set. Http_Proxy is among
// them because programs that do not mind the case take it for their proxy.
func isReserved(variable string) bool {
	switch variable {
	case "http_proxy", "http_method", "http_path", "http_query", "http_host", "http_transfer_encoding", "http_contentlength":
		return true
	}
	return false
}

// decodedPath is the path as programs expect it, or as it came if it cannot be
// decoded or holds what no variable can.
func (x *exchange) decodedPath() string {
	raw := string(x.URI().PathOriginal())
	if path, err := url.PathUnescape(raw); err == nil && strings.IndexByte(path, 0) < 0 {
		return path
	}
	return raw
}

// marshal gives header and body as the one JSON object that marshal_request
// asks for.
func (x *exchange) marshal(body []byte) ([]byte, error) {
	header := http.Header{}
	for name, value := range x.Request.Header.AllInOrder() {
		header.Add(string(name), string(value))
	}
	var request struct {
		Header http.Header `json:"header"`
		Body   struct {
			Raw []byte `json:"raw"`
		} `json:"body"`
	}
	request.Header, request.Body.Raw = header, body
	return json.Marshal(request)
}
