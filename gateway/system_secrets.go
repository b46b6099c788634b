package gateway

import (
	"context"
	"net/http"

	"hearth/backends"
)

// secrets gives the backend's secrets. ErrUnsupported if it has none.
func (s *system) secrets() (backends.Secrets, error) {
	if p := s.cfg.Backend.Powers().Secrets; p != nil {
		return p, nil
	}
	return nil, s.without("secrets")
}

// without is the error for a power that the backend lacks.
func (s *system) without(what string) error {
	return backends.Errorf(backends.ErrUnsupported, "the backend %s has no %s", s.cfg.Backend.Info().Name, what)
}

// listSecrets answers names; values never leave.
func (s *system) listSecrets(c *call) error {
	secrets, err := s.secrets()
	if err != nil {
		return err
	}
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	names, err := secrets.List(c.ctx, namespace)
	if err != nil {
		return err
	}
	answer := make([]backends.SecretBody, len(names))
	for i, name := range names {
		answer[i] = backends.SecretBody{Name: name, Namespace: namespace}
	}
	return c.json(http.StatusOK, answer)
}

// createSecret stores a new secret.
func (s *system) createSecret(c *call) error {
	return s.writeSecret(c, "secret created", backends.Secrets.Create)
}

// updateSecret replaces a secret's value.
func (s *system) updateSecret(c *call) error {
	return s.writeSecret(c, "secret updated", backends.Secrets.Update)
}

func (s *system) writeSecret(c *call, done string, write func(backends.Secrets, context.Context, backends.Secret) error) error {
	secrets, err := s.secrets()
	if err != nil {
		return err
	}
	secret, err := c.secret()
	if err != nil {
		return err
	}
	if len(secret.Value) == 0 {
		return backends.Errorf(backends.ErrInvalid, "value: it must be given, or rawValue, and not be empty")
	}
	if err := write(secrets, c.ctx, secret); err != nil {
		return err
	}
	s.log.Info(done, "namespace", secret.Namespace, "secret", secret.Name)
	return c.accepted()
}

// deleteSecret removes a secret.
func (s *system) deleteSecret(c *call) error {
	secrets, err := s.secrets()
	if err != nil {
		return err
	}
	secret, err := c.secret()
	if err != nil {
		return err
	}
	if err := secrets.Delete(c.ctx, secret.Namespace, secret.Name); err != nil {
		return err
	}
	s.log.Info("secret deleted", "namespace", secret.Namespace, "secret", secret.Name)
	return c.accepted()
}

// secret reads and checks the body of a request about one secret.
func (c *call) secret() (backends.Secret, error) {
	var body backends.SecretBody
	if err := decodeBody(c.RequestCtx, &body); err != nil {
		return backends.Secret{}, err
	}
	if err := backends.ValidateSecretName(body.Name); err != nil {
		return backends.Secret{}, err
	}
	namespace, err := c.namespace(body.Namespace)
	if err != nil {
		return backends.Secret{}, err
	}
	if body.RawValue == nil {
		body.RawValue = []byte(body.Value)
	}
	return backends.Secret{Namespace: namespace, Name: body.Name, Value: body.RawValue}, nil
}
