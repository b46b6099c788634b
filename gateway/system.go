package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"hearth/backends"
)

// systemTimeout bounds what one request may ask of the backend. It leaves room
// for compiling a large module; streams of logs have no bound.
const systemTimeout = 2 * time.Minute

// system answers every path that is not a call of a function: the OpenFaaS API
// under /system, /healthz and the page. Paths are compared as they were sent:
// nothing is cleaned or redirected to its clean form, and a name in a path is
// percent-decoded exactly once.
type system struct {
	cfg         Config
	invocations func(backends.Key) float64
	auth        *auth
	origins     origins
	log         *slog.Logger
	resources   []resource
}

// resource is one path of the API and what it answers to.
type resource struct {
	path    string
	naming  naming
	access  access
	methods []method
}

// naming says whether a resource's path goes on with a segment of its own.
type naming int

const (
	unnamed naming = iota
	named
	mayBeNamed
)

// access says who may use a resource.
type access int

const (
	forUser    access = iota // credentials, and no page of another site
	forBrowser               // credentials
	forAll                   // everybody
	forReaders               // everybody to GET, else like forUser
)

type method struct {
	name   string
	answer func(*call) error // an error is answered with its kind's status
}

// call is one request of the API on its way.
type call struct {
	*fasthttp.RequestCtx
	ctx  context.Context // of the backend's work for this call
	name string          // last segment of the path, decoded, not yet validated
}

// newSystem makes the API over cfg.Backend. invocations gives how often a
// function has been called since this process began.
func newSystem(cfg Config, invocations func(backends.Key) float64) *system {
	s := &system{
		cfg: cfg, invocations: invocations,
		auth:    newAuth(cfg.Credentials),
		origins: newOrigins(cfg.AllowedHosts, cfg.Credentials == nil),
		log:     cfg.Logger,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.resources = s.table()
	return s
}

// table is every path there is.
func (s *system) table() []resource {
	get := func(answer func(*call) error) []method { return []method{{http.MethodGet, answer}} }
	return []resource{
		{"/", unnamed, forAll, get(s.home)},
		{"/ui", unnamed, forAll, get(s.home)},
		{"/ui/", mayBeNamed, forBrowser, get(s.page)},
		{"/healthz", unnamed, forAll, get(func(*call) error { return nil })},
		{"/system/info", unnamed, forUser, get(s.info)},
		{"/system/functions", unnamed, forUser, []method{
			{http.MethodGet, s.listFunctions}, {http.MethodPost, s.deployFunction},
			{http.MethodPut, s.updateFunction}, {http.MethodDelete, s.deleteFunction},
		}},
		{"/system/function/", named, forUser, get(s.getFunction)},
		{"/system/scaling/", named, forUser, get(s.scaling)},
		{"/system/scale-function/", named, forUser, []method{{http.MethodPost, s.scaleFunction}}},
		{"/system/namespaces", unnamed, forUser, get(s.listNamespaces)},
		{"/system/namespace/", mayBeNamed, forUser, []method{
			{http.MethodGet, s.getNamespace}, {http.MethodPost, s.createNamespace},
			{http.MethodPut, s.updateNamespace}, {http.MethodDelete, s.deleteNamespace},
		}},
		{"/system/secrets", unnamed, forUser, []method{
			{http.MethodGet, s.listSecrets}, {http.MethodPost, s.createSecret},
			{http.MethodPut, s.updateSecret}, {http.MethodDelete, s.deleteSecret},
		}},
		{"/system/logs", unnamed, forUser, get(s.readLogs)},
		{"/system/modules", unnamed, forUser, []method{{http.MethodPut, s.putModule}}},
		{"/system/store", unnamed, forReaders, get(s.listStore)},
		{"/system/alert", unnamed, forUser, []method{{http.MethodPost, s.alert}}},
	}
}

// serve answers one request of the API.
func (s *system) serve(ctx *fasthttp.RequestCtx) {
	defer finishBody(ctx)
	path := string(ctx.URI().PathOriginal())
	r, name := s.find(path)
	if !s.admit(ctx, path, r) {
		return
	}
	if r == nil {
		answerText(ctx, fasthttp.StatusNotFound, "404 page not found\n")
		return
	}
	answer := r.answer(string(ctx.Method()))
	if answer == nil {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, r.allow())
		ctx.SetStatusCode(fasthttp.StatusMethodNotAllowed)
		return
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		answerText(ctx, fasthttp.StatusBadRequest, "path: a % must begin a code of two hexadecimal digits\n")
		return
	}
	backend, cancel := context.WithTimeout(context.Background(), systemTimeout)
	defer cancel()
	if err := answer(&call{RequestCtx: ctx, ctx: backend, name: name}); err != nil {
		s.fail(ctx, err)
	}
}

// find gives the resource of a path and the name at its end; nil if there is
// none.
func (s *system) find(path string) (*resource, string) {
	for i := range s.resources {
		r := &s.resources[i]
		name, ok := strings.CutPrefix(path, r.path)
		switch {
		case !ok || strings.Contains(name, "/"):
		case name == "" && r.naming != named, name != "" && r.naming != unnamed:
			return r, name
		}
	}
	return nil, ""
}

// admit reports whether the request may go on; if not, ctx holds the answer.
// What is not a plain path outside /system and /ui needs credentials too,
// whatever it might be taken for by somebody else on the way.
func (s *system) admit(ctx *fasthttp.RequestCtx, path string, r *resource) bool {
	need := forUser
	switch {
	case r != nil:
		need = r.access
	case isPlain(path):
		need = forAll
	}
	if need == forAll || need == forReaders && (ctx.IsGet() || ctx.IsHead()) {
		return true
	}
	if need != forBrowser {
		if err := s.origins.check(ctx); err != nil {
			answerText(ctx, fasthttp.StatusForbidden, err.Error()+"\n")
			return false
		}
	}
	return s.auth.admit(ctx, clientOf(ctx, s.cfg.TrustedProxies))
}

// isPlain reports whether a path can be read in one way only and is none of
// the protected ones.
func isPlain(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(path), "/"), "/")
	return first != "system" && first != "ui" && !strings.ContainsAny(path, `%\;`) &&
		!strings.Contains(path, "//") && !strings.Contains(path, "/.")
}

// answer gives what answers a method, nil if nothing does. Whatever answers
// GET answers HEAD.
func (r *resource) answer(name string) func(*call) error {
	if name == http.MethodHead {
		name = http.MethodGet
	}
	for _, m := range r.methods {
		if m.name == name {
			return m.answer
		}
	}
	return nil
}

// allow is the value of the Allow header.
func (r *resource) allow() string {
	var names []string
	for _, m := range r.methods {
		if names = append(names, m.name); m.name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	return strings.Join(names, ", ")
}

// fail answers with an error's kind and text. A fault of ours is logged whole
// and answered without its text, which may hold what is nobody's business.
func (s *system) fail(ctx *fasthttp.RequestCtx, err error) {
	status := backends.HTTPStatus(err)
	var own *statusError
	if errors.As(err, &own) {
		status = own.status
	}
	text := err.Error()
	if status >= 500 && status != http.StatusNotImplemented {
		const most = 256 // bytes of a path in a log line
		path := ctx.URI().PathOriginal()
		s.log.Error("request failed", "method", string(ctx.Method()), "path", string(path[:min(len(path), most)]), "status", status, "error", err)
	}
	if status == http.StatusInternalServerError && own == nil {
		text = "internal error: the log of the gateway says more"
	}
	answerText(ctx, status, text+"\n")
}

// answerText replaces the answer by one of plain text.
func answerText(ctx *fasthttp.RequestCtx, status int, text string) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	ctx.SetBodyString(text)
}

// json answers with a value.
func (c *call) json(status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	c.SetStatusCode(status)
	c.SetContentType("application/json")
	c.SetBody(body)
	return nil
}

// accepted answers a change that was made, without a body.
func (c *call) accepted() error {
	c.SetStatusCode(fasthttp.StatusAccepted)
	return nil
}

// namespace gives the one namespace that query and further places name, the
// default one if none does. ErrInvalid if they differ.
func (c *call) namespace(further ...string) (string, error) {
	for _, v := range c.QueryArgs().PeekMulti("namespace") {
		further = append(further, string(v))
	}
	further = slices.Compact(slices.DeleteFunc(further, func(v string) bool { return v == "" }))
	switch len(further) {
	case 0:
		return backends.DefaultNamespace, nil
	case 1:
		return backends.ParseNamespace(further[0])
	}
	return "", &backends.FieldError{Field: "namespace", Value: further[1], Allowed: "the same in path, query and body, where it is " + further[0]}
}

// key gives the function that the path names, NAME or NAME.NAMESPACE.
func (c *call) key(namespaceOfBody string) (backends.Key, error) {
	key, err := backends.ParseKey(c.name)
	if err != nil {
		return backends.Key{}, err
	}
	ofPath := ""
	if strings.Contains(c.name, ".") {
		ofPath = key.Namespace
	}
	key.Namespace, err = c.namespace(ofPath, namespaceOfBody)
	return key, err
}

// statusError is answered with a status of its own rather than its kind's, and
// with its text.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// isKind tells whether err is of one of these kinds.
func isKind(err error, kinds ...error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}
