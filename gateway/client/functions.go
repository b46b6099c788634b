package client

import (
	"context"
	"errors"
	"net/http"

	"hearth/backends"
)

// Info names the gateway and its backend.
func (c *Client) Info(ctx context.Context) (backends.GatewayInfo, error) {
	var info backends.GatewayInfo
	_, err := c.call(ctx, http.MethodGet, "/system/info", nil, &info)
	return info, err
}

// Healthy gives nil if the gateway answers its health check.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodGet, "/healthz", nil, nil)
	return err
}

// List gives the functions of a namespace, of the default one if it is empty.
func (c *Client) List(ctx context.Context, namespace string) ([]backends.FunctionStatus, error) {
	var list []backends.FunctionStatus
	_, err := c.call(ctx, http.MethodGet, query("/system/functions", "namespace", namespace), nil, &list)
	return list, err
}

// Get gives one function with what it uses now, where that is known. ErrNotFound if there is none.
func (c *Client) Get(ctx context.Context, key backends.Key) (backends.FunctionStatus, error) {
	var status backends.FunctionStatus
	_, err := c.call(ctx, http.MethodGet, query("/system/function/"+key.Name, "usage", "1", "namespace", key.Namespace), nil, &status)
	return status, err
}

// Deploy makes the function what d says, whether it exists or not, as faas-cli
// does. It reports whether the function is new.
func (c *Client) Deploy(ctx context.Context, d backends.FunctionDeployment) (isNew bool, err error) {
	err = c.Update(ctx, d)
	if !errors.Is(err, backends.ErrNotFound) {
		return false, err
	}
	err = c.Create(ctx, d)
	if errors.Is(err, backends.ErrExists) { // somebody was quicker
		return false, c.Update(ctx, d)
	}
	return err == nil, err
}

// Create makes a function. ErrExists if there is one of that name.
func (c *Client) Create(ctx context.Context, d backends.FunctionDeployment) error {
	_, err := c.call(ctx, http.MethodPost, "/system/functions", d, nil)
	return err
}

// Update replaces a function. ErrNotFound if there is none.
func (c *Client) Update(ctx context.Context, d backends.FunctionDeployment) error {
	_, err := c.call(ctx, http.MethodPut, "/system/functions", d, nil)
	return err
}

// Delete removes a function. ErrNotFound if there is none. The namespace goes
// in query and body: gateways differ in which they read.
func (c *Client) Delete(ctx context.Context, key backends.Key) error {
	body := backends.DeleteRequest{FunctionName: key.Name, Namespace: key.Namespace}
	_, err := c.call(ctx, http.MethodDelete, query("/system/functions", "namespace", key.Namespace), body, nil)
	return err
}

// Scale sets the replicas of a function. ErrNotFound if there is none.
func (c *Client) Scale(ctx context.Context, key backends.Key, replicas int) error {
	body := backends.ScaleRequest{ServiceName: key.Name, Namespace: key.Namespace, Replicas: int64(replicas)}
	_, err := c.call(ctx, http.MethodPost, query("/system/scale-function/"+key.Name, "namespace", key.Namespace), body, nil)
	return err
}

// Scaling tells why a function has the replicas it has. ErrUnsupported if the
// gateway has no autoscaler.
func (c *Client) Scaling(ctx context.Context, key backends.Key) (scaling backends.Scaling, err error) {
	_, err = c.call(ctx, http.MethodGet, query("/system/scaling/"+key.Name, "namespace", key.Namespace), nil, &scaling)
	return scaling, err
}
