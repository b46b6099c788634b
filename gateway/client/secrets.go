package client

import (
	"context"
	"maps"
	"net/http"
	"net/url"

	"hearth/backends"
)

// Secrets gives the names of the secrets in a namespace.
func (c *Client) Secrets(ctx context.Context, namespace string) ([]string, error) {
	var list []backends.SecretBody
	if _, err := c.call(ctx, http.MethodGet, query("/system/secrets", "namespace", namespace), nil, &list); err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return names, nil
}

// CreateSecret stores a new secret. ErrExists if the name is taken.
func (c *Client) CreateSecret(ctx context.Context, s backends.Secret) error {
	return c.changeSecret(ctx, http.MethodPost, s)
}

// UpdateSecret replaces the value of a secret. ErrNotFound if there is none.
func (c *Client) UpdateSecret(ctx context.Context, s backends.Secret) error {
	return c.changeSecret(ctx, http.MethodPut, s)
}

// DeleteSecret removes a secret. ErrNotFound if there is none.
func (c *Client) DeleteSecret(ctx context.Context, namespace, name string) error {
	return c.changeSecret(ctx, http.MethodDelete, backends.Secret{Namespace: namespace, Name: name})
}

func (c *Client) changeSecret(ctx context.Context, method string, s backends.Secret) error {
	body := backends.SecretBody{Name: s.Name, Namespace: s.Namespace, RawValue: s.Value}
	_, err := c.call(ctx, method, query("/system/secrets", "namespace", s.Namespace), body, nil)
	return err
}

// Namespaces gives the names of all namespaces for functions.
func (c *Client) Namespaces(ctx context.Context) ([]string, error) {
	var names []string
	_, err := c.call(ctx, http.MethodGet, "/system/namespaces", nil, &names)
	return names, err
}

// Namespace gives one namespace. ErrNotFound if there is none.
func (c *Client) Namespace(ctx context.Context, name string) (backends.NamespaceBody, error) {
	var n backends.NamespaceBody
	_, err := c.call(ctx, http.MethodGet, namespacePath(name), nil, &n)
	return n, err
}

// CreateNamespace makes a namespace. ErrExists if the name is taken.
func (c *Client) CreateNamespace(ctx context.Context, n backends.NamespaceBody) error {
	_, err := c.call(ctx, http.MethodPost, "/system/namespace/", forFunctions(n), nil)
	return err
}

// UpdateNamespace replaces labels and annotations. ErrNotFound if there is none.
func (c *Client) UpdateNamespace(ctx context.Context, n backends.NamespaceBody) error {
	_, err := c.call(ctx, http.MethodPut, namespacePath(n.Name), forFunctions(n), nil)
	return err
}

// DeleteNamespace removes an empty namespace. ErrNotFound if there is none,
// ErrConflict if there is something in it.
func (c *Client) DeleteNamespace(ctx context.Context, name string) error {
	_, err := c.call(ctx, http.MethodDelete, namespacePath(name), forFunctions(backends.NamespaceBody{Name: name}), nil)
	return err
}

// forFunctions adds the mark without which gateways refuse to touch a
// namespace: it may be one of the cluster's own.
func forFunctions(n backends.NamespaceBody) backends.NamespaceBody {
	n.Labels, n.Annotations = maps.Clone(n.Labels), maps.Clone(n.Annotations)
	for _, pairs := range []*map[string]string{&n.Labels, &n.Annotations} {
		if *pairs == nil {
			*pairs = map[string]string{}
		}
		(*pairs)["openfaas"] = "1"
	}
	return n
}

func namespacePath(name string) string { return "/system/namespace/" + url.PathEscape(name) }
