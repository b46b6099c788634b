package provider

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hearth/backends"
)

type secrets struct{ p *Provider }

func (s secrets) List(ctx context.Context, namespace string) ([]string, error) {
	var theirs []backends.SecretBody
	if err := s.p.get(ctx, "/system/secrets", inNamespace(namespace), &theirs); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(theirs))
	for _, t := range theirs {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names, nil
}

func (s secrets) Create(ctx context.Context, secret backends.Secret) error {
	return s.p.send(ctx, http.MethodPost, "/system/secrets", nil, secretBody(secret))
}

func (s secrets) Update(ctx context.Context, secret backends.Secret) error {
	return s.p.send(ctx, http.MethodPut, "/system/secrets", nil, secretBody(secret))
}

func (s secrets) Delete(ctx context.Context, namespace, name string) error {
	return s.p.send(ctx, http.MethodDelete, "/system/secrets", inNamespace(namespace), backends.SecretBody{Name: name, Namespace: namespace})
}

// Read cannot be done: a provider keeps its secrets to itself.
func (s secrets) Read(context.Context, string, string) ([]byte, error) {
	return nil, backends.Errorf(backends.ErrUnsupported, "a provider does not give the values of its secrets")
}

// secretBody carries text as text, which every provider reads, and bytes raw.
func secretBody(s backends.Secret) backends.SecretBody {
	body := backends.SecretBody{Name: s.Name, Namespace: s.Namespace}
	if text := string(s.Value); strings.ToValidUTF8(text, "") == text {
		body.Value = text
	} else {
		body.RawValue = s.Value
	}
	return body
}

type namespaces struct{ p *Provider }

// List gives the provider's namespaces; one that has none has the default one.
func (n namespaces) List(ctx context.Context) ([]string, error) {
	var names []string
	err := n.p.get(ctx, "/system/namespaces", nil, &names)
	if err != nil && !errors.Is(err, backends.ErrNotFound) && !errors.Is(err, backends.ErrUnsupported) {
		return nil, err
	}
	if len(names) == 0 {
		return []string{backends.DefaultNamespace}, nil
	}
	slices.Sort(names)
	return names, nil
}

func (n namespaces) Get(ctx context.Context, name string) (backends.Namespace, error) {
	var body backends.NamespaceBody
	err := n.p.get(ctx, "/system/namespace/"+name, nil, &body)
	return backends.Namespace{Name: body.Name, Labels: body.Labels, Annotations: body.Annotations}, err
}

func (n namespaces) Create(ctx context.Context, ns backends.Namespace) error {
	return n.p.send(ctx, http.MethodPost, "/system/namespace/", nil, namespaceBody(ns))
}

func (n namespaces) Update(ctx context.Context, ns backends.Namespace) error {
	return n.p.send(ctx, http.MethodPut, "/system/namespace/"+ns.Name, nil, namespaceBody(ns))
}

func (n namespaces) Delete(ctx context.Context, name string) error {
	return n.p.send(ctx, http.MethodDelete, "/system/namespace/"+name, nil, namespaceBody(backends.Namespace{Name: name}))
}

// namespaceBody carries the label without which some providers refuse a change.
func namespaceBody(ns backends.Namespace) backends.NamespaceBody {
	labels := map[string]string{"openfaas": "1"}
	for k, v := range ns.Labels {
		labels[k] = v
	}
	return backends.NamespaceBody{Name: ns.Name, Labels: labels, Annotations: ns.Annotations}
}

// Logs relays the provider's stream of lines.
func (p *Provider) Logs(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	return func(yield func(backends.LogLine, error) bool) {
		resp, err := p.do(ctx, http.MethodGet, "/system/logs", logQuery(q), nil)
		if err != nil {
			yield(backends.LogLine{}, err)
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var m backends.LogMessage
			if len(lines.Bytes()) == 0 || json.Unmarshal(lines.Bytes(), &m) != nil {
				continue // a comment or a keep-alive
			}
			line := backends.LogLine{Key: q.Key, Instance: m.Instance, Time: m.Timestamp, Text: strings.TrimRight(m.Text, "\r\n")}
			if !yield(line, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			yield(backends.LogLine{}, unreachable(err))
		}
	}
}

func logQuery(q backends.LogQuery) url.Values {
	v := inNamespace(q.Key.Namespace)
	v.Set("name", q.Key.Name)
	v.Set("follow", strconv.FormatBool(q.Follow))
	if q.Tail > 0 {
		v.Set("tail", strconv.Itoa(q.Tail))
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.Format(time.RFC3339))
	}
	if q.Instance != "" {
		v.Set("instance", q.Instance)
	}
	return v
}
