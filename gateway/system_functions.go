package gateway

import (
	"math"
	"net/http"
	"strconv"

	"hearth/backends"
)

// listFunctions answers the functions of one namespace.
func (s *system) listFunctions(c *call) error {
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	list, err := s.cfg.Backend.List(c.ctx, namespace)
	if err != nil {
		return err
	}
	answer := make([]backends.FunctionStatus, len(list)) // [] rather than null
	for i, status := range list {
		answer[i] = s.wire(status)
	}
	return c.json(http.StatusOK, answer)
}

// wire is a status as the API answers it, calls counted by this gateway.
func (s *system) wire(status backends.Status) backends.FunctionStatus {
	w := status.Wire()
	w.InvocationCount = finite(s.invocations(status.Key))
	return w
}

// getFunction answers one function, with its usage if asked and known.
func (s *system) getFunction(c *call) error {
	key, err := c.key("")
	if err != nil {
		return err
	}
	status, err := s.cfg.Backend.Get(c.ctx, key)
	if err != nil {
		return err
	}
	answer := s.wire(status)
	reader := s.cfg.Backend.Powers().Usage
	if asked, _ := strconv.ParseBool(string(c.QueryArgs().Peek("usage"))); asked && reader != nil {
		usage, err := reader.Usage(c.ctx, key)
		switch {
		case err == nil:
			answer.Usage = &backends.UsageStatus{CPU: finite(usage.MilliCPU), TotalMemoryBytes: finite(usage.MemoryBytes)}
		case !isKind(err, backends.ErrUnavailable, backends.ErrNotFound):
			return err
		}
	}
	return c.json(http.StatusOK, answer)
}

// finite keeps what JSON cannot say out of an answer.
func finite(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return v
}

// deployFunction makes a function.
func (s *system) deployFunction(c *call) error {
	f, err := c.function()
	if err != nil {
		return err
	}
	err = s.cfg.Backend.Deploy(c.ctx, f)
	if isKind(err, backends.ErrNotFound) {
		// What is unknown is the namespace or a secret that the body names;
		// the resource of the path is there.
		err = backends.Errorf(backends.ErrInvalid, "%v", err) // not %w: the kind changes
	}
	if err != nil {
		return err
	}
	s.log.Info("function deployed", "function", f.Key, "image", f.Image)
	return c.accepted()
}

// updateFunction replaces a function. 404 means that the function is unknown
// and nothing else: it makes faas-cli deploy it instead.
func (s *system) updateFunction(c *call) error {
	f, err := c.function()
	if err != nil {
		return err
	}
	err = s.cfg.Backend.Update(c.ctx, f)
	if isKind(err, backends.ErrNotFound) {
		if _, there := s.cfg.Backend.Get(c.ctx, f.Key); there == nil {
			err = backends.Errorf(backends.ErrInvalid, "%v", err) // not %w: the kind changes
		}
	}
	if err != nil {
		return err
	}
	s.log.Info("function updated", "function", f.Key, "image", f.Image)
	return c.accepted()
}

// function reads and checks the body of a deployment.
func (c *call) function() (backends.Function, error) {
	var body backends.FunctionDeployment
	if err := decodeBody(c.RequestCtx, &body); err != nil {
		return backends.Function{}, err
	}
	var err error
	if body.Namespace, err = c.namespace(body.Namespace); err != nil {
		return backends.Function{}, err
	}
	return body.Function()
}

// deleteFunction removes a function.
func (s *system) deleteFunction(c *call) error {
	var body backends.DeleteRequest
	if err := decodeBody(c.RequestCtx, &body); err != nil {
		return err
	}
	if err := backends.ValidateName("functionName", body.FunctionName); err != nil {
		return err
	}
	namespace, err := c.namespace(body.Namespace)
	if err != nil {
		return err
	}
	key := backends.Key{Namespace: namespace, Name: body.FunctionName}
	if err := s.cfg.Backend.Delete(c.ctx, key); err != nil {
		return err
	}
	s.log.Info("function deleted", "function", key)
	return c.accepted()
}

// scaleFunction sets a function's replicas, 0 included.
func (s *system) scaleFunction(c *call) error {
	var body struct { // backends.ScaleRequest that knows whether replicas were given
		ServiceName string `json:"serviceName"`
		Namespace   string `json:"namespace"`
		Replicas    *int64 `json:"replicas"`
	}
	if err := decodeBody(c.RequestCtx, &body); err != nil {
		return err
	}
	key, err := c.key(body.Namespace)
	if err != nil {
		return err
	}
	if body.ServiceName != "" && body.ServiceName != key.Name && body.ServiceName != c.name {
		return &backends.FieldError{Field: "serviceName", Value: body.ServiceName, Allowed: "the name in the path, " + key.Name + ", or none"}
	}
	if body.Replicas == nil {
		return &backends.FieldError{Field: "replicas", Allowed: "it must be given"}
	}
	if n := *body.Replicas; n < 0 || n > backends.MaxReplicas {
		return &backends.FieldError{Field: "replicas", Value: strconv.FormatInt(n, 10), Allowed: "a whole number from 0 to " + strconv.Itoa(backends.MaxReplicas)}
	}
	if err := s.cfg.Backend.Scale(c.ctx, key, int(*body.Replicas)); err != nil {
		return err
	}
	s.log.Info("function scaled", "function", key, "replicas", *body.Replicas)
	return c.accepted()
}
