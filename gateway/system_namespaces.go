package gateway

import (
	"net/http"

	"hearth/backends"
)

// functionNamespace is the label, and its value "1", that marks a namespace as
// one for functions. faas-cli sets it; a change without it is refused, as in
// OpenFaaS, so that a cluster's other namespaces cannot be changed by mistake.
const functionNamespace = "openfaas"

// namespaces gives the backend's namespaces. ErrUnsupported if it has one only.
func (s *system) namespaces() (backends.Namespaces, error) {
	if p := s.cfg.Backend.Powers().Namespaces; p != nil {
		return p, nil
	}
	return nil, s.without("namespaces besides " + backends.DefaultNamespace)
}

// listNamespaces answers all names: the default one alone if the backend
// knows no others, because connectors ask here before anything else.
func (s *system) listNamespaces(c *call) error {
	p := s.cfg.Backend.Powers().Namespaces
	if p == nil {
		return c.json(http.StatusOK, []string{backends.DefaultNamespace})
	}
	names, err := p.List(c.ctx)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, append([]string{}, names...))
}

// getNamespace answers one namespace.
func (s *system) getNamespace(c *call) error {
	p, err := s.namespaces()
	if err != nil {
		return err
	}
	name, err := backends.ParseNamespace(c.name)
	if err != nil {
		return err
	}
	n, err := p.Get(c.ctx, name)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, backends.NamespaceBody{Name: n.Name, Labels: n.Labels, Annotations: n.Annotations})
}

// createNamespace makes a namespace, which the path may name too.
func (s *system) createNamespace(c *call) error {
	p, n, err := s.namespaceChange(c)
	if err != nil {
		return err
	}
	if err := p.Create(c.ctx, n); err != nil {
		return err
	}
	s.log.Info("namespace created", "namespace", n.Name)
	c.SetStatusCode(http.StatusCreated)
	return nil
}

// updateNamespace replaces labels and annotations.
func (s *system) updateNamespace(c *call) error {
	p, n, err := s.namespaceChange(c)
	if err != nil {
		return err
	}
	if err := p.Update(c.ctx, n); err != nil {
		return err
	}
	s.log.Info("namespace updated", "namespace", n.Name)
	return c.accepted()
}

// deleteNamespace removes an empty namespace.
func (s *system) deleteNamespace(c *call) error {
	p, n, err := s.namespaceChange(c)
	if err != nil {
		return err
	}
	if err := p.Delete(c.ctx, n.Name); err != nil {
		return err
	}
	s.log.Info("namespace deleted", "namespace", n.Name)
	return c.accepted()
}

// namespaceChange reads and checks what a change of a namespace needs.
func (s *system) namespaceChange(c *call) (backends.Namespaces, backends.Namespace, error) {
	var none backends.Namespace
	p, err := s.namespaces()
	if err != nil {
		return nil, none, err
	}
	var body backends.NamespaceBody
	if err := decodeBody(c.RequestCtx, &body); err != nil {
		return nil, none, err
	}
	var faults backends.Faults
	faults.AddErr(backends.ValidateName("name", body.Name))
	if _, err := backends.ParseNamespace(body.Name); err != nil && faults.Err() == nil {
		faults.AddErr(err)
	}
	if c.name != body.Name && !(c.name == "" && c.IsPost()) {
		faults.Add("name", body.Name, "the same as in the path, where it is "+c.name)
	}
	if body.Labels[functionNamespace] != "1" {
		faults.Add("labels["+functionNamespace+"]", body.Labels[functionNamespace], `"1", which marks a namespace for functions`)
	}
	if err := faults.Err(); err != nil {
		return nil, none, err
	}
	return p, backends.Namespace{Name: body.Name, Labels: body.Labels, Annotations: body.Annotations}, nil
}
