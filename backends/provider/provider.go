// Package provider puts any external faas-provider behind the gateway: one that
// speaks OpenFaaS' provider API over HTTP, such as faas-netes, faasd or another
// Hearth.
//
// It promises that functions keep being routed while the provider is away, from
// what was known last, and that an answer is never believed beyond a size. It
// does not cache anything else: each request of the API is one request to the
// provider.
package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"hearth/backends"
)

// Config says where the provider is.
type Config struct {
	URL            *url.URL // http or https, with an optional path
	User, Password string   // of basic auth; empty User = none
	Client         *http.Client
	Poll           time.Duration // between two looks at all functions; 0 = 3 s
	Logger         *slog.Logger
}

// Provider is a backends.Backend over HTTP.
type Provider struct {
	cfg  Config
	info backends.Info

	mu      sync.Mutex
	watches map[*watch]struct{}
}

var _ backends.Backend = (*Provider)(nil)

const defaultPoll = 3 * time.Second

// New makes a Provider and asks it for its name. One that does not answer yet
// is no error, so that a gateway starts before its provider; ErrInvalid if the
// URL cannot be one.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	if cfg.URL == nil || (cfg.URL.Scheme != "http" && cfg.URL.Scheme != "https") || cfg.URL.Host == "" {
		return nil, &backends.FieldError{Field: "provider URL", Value: fmt.Sprint(cfg.URL), Allowed: "http:// or https:// and a host"}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{}
	}
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	p := &Provider{cfg: cfg, info: backends.Info{Name: "hearth-provider", Orchestration: "provider"}, watches: map[*watch]struct{}{}}
	if info, err := p.theirInfo(ctx); err != nil {
		cfg.Logger.Warn("the provider does not answer yet", "url", cfg.URL.Redacted(), "error", err)
	} else if info.Name != "" {
		p.info = info
	}
	return p, nil
}

// theirInfo asks for the provider's name. A provider answers with its own
// info, a gateway with one around its provider's.
func (p *Provider) theirInfo(ctx context.Context) (backends.Info, error) {
	var text json.RawMessage
	if err := p.get(ctx, "/system/info", nil, &text); err != nil {
		return backends.Info{}, err
	}
	var outer backends.GatewayInfo
	if json.Unmarshal(text, &outer) == nil && outer.Provider.Provider != "" {
		return backends.Info{Name: outer.Provider.Provider, Orchestration: outer.Provider.Orchestration}, nil
	}
	var own backends.ProviderInfo
	if err := json.Unmarshal(text, &own); err != nil {
		return backends.Info{}, backends.Errorf(backends.ErrUnavailable, "the provider's info is not what it should be: %v", err)
	}
	return backends.Info{Name: own.Provider, Orchestration: own.Orchestration}, nil
}

// Info names the provider as it named itself.
func (p *Provider) Info() backends.Info { return p.info }

// Powers are what a provider's API has.
func (p *Provider) Powers() backends.Powers {
	return backends.Powers{Secrets: secrets{p}, Namespaces: namespaces{p}, Logs: p, Usage: p}
}

// Deploy makes a function. The API has no way to say "only if absent" that all
// providers keep to, so it is looked for first.
func (p *Provider) Deploy(ctx context.Context, f backends.Function) error {
	if _, err := p.Get(ctx, f.Key); err == nil {
		return backends.Errorf(backends.ErrExists, "function %s already exists", f.Key)
	}
	return p.change(ctx, f.Key, http.MethodPost, "/system/functions", nil, f.Deployment())
}

// Update replaces a function.
func (p *Provider) Update(ctx context.Context, f backends.Function) error {
	return p.change(ctx, f.Key, http.MethodPut, "/system/functions", nil, f.Deployment())
}

// Delete removes a function. The namespace goes in the query and in the body:
// some providers read the one, some the other.
func (p *Provider) Delete(ctx context.Context, key backends.Key) error {
	return p.change(ctx, key, http.MethodDelete, "/system/functions", inNamespace(key.Namespace),
		backends.DeleteRequest{FunctionName: key.Name, Namespace: key.Namespace})
}

// Scale sets the replicas.
func (p *Provider) Scale(ctx context.Context, key backends.Key, replicas int) error {
	if replicas < 0 || replicas > backends.MaxReplicas {
		return &backends.FieldError{Field: "replicas", Value: fmt.Sprint(replicas), Allowed: fmt.Sprintf("0 to %d", backends.MaxReplicas)}
	}
	return p.change(ctx, key, http.MethodPost, "/system/scale-function/"+key.Name, inNamespace(key.Namespace),
		backends.ScaleRequest{ServiceName: key.Name, Namespace: key.Namespace, Replicas: int64(replicas)})
}

// change sends one change of a function and has the watches see it.
func (p *Provider) change(ctx context.Context, key backends.Key, method, path string, query url.Values, body any) error {
	if err := p.send(ctx, method, path, query, body); err != nil {
		return err
	}
	p.refresh(ctx, key)
	return nil
}

// Get gives one function.
func (p *Provider) Get(ctx context.Context, key backends.Key) (backends.Status, error) {
	status, _, err := p.status(ctx, key)
	return status, err
}

func (p *Provider) status(ctx context.Context, key backends.Key) (backends.Status, *backends.UsageStatus, error) {
	query := inNamespace(key.Namespace)
	query.Set("usage", "1")
	var theirs backends.FunctionStatus
	if err := p.get(ctx, "/system/function/"+key.Name, query, &theirs); err != nil {
		return backends.Status{}, nil, err
	}
	status, err := fromWire(theirs, key.Namespace)
	return status, theirs.Usage, err
}

// List gives the functions of one namespace, or of all.
func (p *Provider) List(ctx context.Context, namespace string) ([]backends.Status, error) {
	names := []string{namespace}
	if namespace == "" {
		var err error
		if names, err = (namespaces{p}).List(ctx); err != nil {
			return nil, err
		}
	}
	var all []backends.Status
	for _, n := range names {
		var theirs []backends.FunctionStatus
		if err := p.get(ctx, "/system/functions", inNamespace(n), &theirs); err != nil {
			return nil, err
		}
		for _, wire := range theirs {
			status, err := fromWire(wire, n)
			if err != nil {
				p.cfg.Logger.Warn("the provider lists a function that cannot be routed", "error", err)
				continue
			}
			all = append(all, status)
		}
	}
	backends.SortStatuses(all)
	return all, nil
}

// Usage gives what the provider measured, if it does.
func (p *Provider) Usage(ctx context.Context, key backends.Key) (backends.Usage, error) {
	_, usage, err := p.status(ctx, key)
	switch {
	case err != nil:
		return backends.Usage{}, err
	case usage == nil:
		return backends.Usage{}, backends.Errorf(backends.ErrUnavailable, "the provider does not measure function %s", key)
	}
	return backends.Usage{MilliCPU: usage.CPU, MemoryBytes: usage.TotalMemoryBytes}, nil
}

// fromWire converts what a provider said of a function in that namespace.
func fromWire(w backends.FunctionStatus, namespace string) (backends.Status, error) {
	if w.Namespace != "" {
		namespace = w.Namespace
	}
	key, err := backends.NewKey(namespace, w.Name)
	if err != nil {
		return backends.Status{}, err
	}
	delete(w.Labels, backends.FunctionLabel)
	return backends.Status{
		Function: backends.Function{
			Key: key, Image: w.Image, Process: w.EnvProcess, Env: w.EnvVars, Constraints: w.Constraints, Secrets: w.Secrets,
			Labels: w.Labels, Annotations: w.Annotations, Limits: w.Limits, Requests: w.Requests, ReadOnlyRoot: w.ReadOnlyRootFilesystem,
		},
		Replicas: clampReplicas(w.Replicas), Available: clampReplicas(w.AvailableReplicas), Created: w.CreatedAt, Problem: w.Problem,
	}, nil
}

func clampReplicas(n int) int { return min(max(n, 0), backends.MaxReplicas) }

func inNamespace(name string) url.Values { return url.Values{"namespace": {name}} }
