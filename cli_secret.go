package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"hearth/backends"
)

// secretCommands are about secrets. Values are never printed.
type secretCommands struct {
	List   secretList   `cmd:"" aliases:"ls" help:"List secrets."`
	Create secretCreate `cmd:"" help:"Store a new secret."`
	Update secretUpdate `cmd:"" help:"Replace a value; functions see it with their next call."`
	Remove secretRemove `cmd:"" aliases:"rm" help:"Remove a secret."`
}

type secretList struct {
	inNamespace
	connection
	output
}

// Run prints the names.
func (s *secretList) Run(ctx context.Context, p *process) error {
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	names, err := c.Secrets(ctx, s.Namespace)
	if err != nil {
		return explain(c, err)
	}
	return p.printNames(names, s.json())
}

// printNames prints one name per line.
func (p *process) printNames(names []string, asJSON bool) error {
	if asJSON {
		return p.printJSON(append([]string{}, names...))
	}
	for _, name := range names {
		fmt.Fprintln(p.stdout, name)
	}
	return nil
}

// secretValue is a secret's name and where its value comes from. It cannot be
// an argument: those show in the list of processes.
type secretValue struct {
	Name     string `arg:"" help:"Secret."`
	FromFile string `placeholder:"FILE" help:"Read the value from a file, byte by byte; by default from standard input without its last line end."`
	inNamespace
	connection
}

// secret reads the value.
func (s *secretValue) secret(p *process) (backends.Secret, error) {
	if err := backends.ValidateSecretName(s.Name); err != nil {
		return backends.Secret{}, &usageError{err}
	}
	namespace, err := backends.ParseNamespace(s.Namespace)
	if err != nil {
		return backends.Secret{}, &usageError{err}
	}
	secret := backends.Secret{Namespace: namespace, Name: s.Name}
	if s.FromFile != "" {
		if secret.Value, err = os.ReadFile(s.FromFile); err != nil {
			return secret, &usageError{&backends.FieldError{Field: "--from-file", Value: s.FromFile, Allowed: "a readable file: " + reason(err)}}
		}
		return secret, nil
	}
	const most = 1 << 20
	if secret.Value, err = io.ReadAll(io.LimitReader(p.stdin, most+1)); err != nil || len(secret.Value) > most {
		return secret, &usageError{fmt.Errorf("standard input must be a value of at most %d bytes", most)}
	}
	if n := len(secret.Value); n > 0 && secret.Value[n-1] == '\n' {
		secret.Value = secret.Value[:n-1]
	}
	return secret, nil
}

type secretCreate struct{ secretValue }

// Run stores the value.
func (s *secretCreate) Run(ctx context.Context, p *process) error {
	secret, err := s.secret(p)
	if err != nil {
		return err
	}
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	return explain(c, c.CreateSecret(ctx, secret))
}

type secretUpdate struct{ secretValue }

// Run replaces the value.
func (s *secretUpdate) Run(ctx context.Context, p *process) error {
	secret, err := s.secret(p)
	if err != nil {
		return err
	}
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	return explain(c, c.UpdateSecret(ctx, secret))
}

type secretRemove struct {
	Name string `arg:"" help:"Secret."`
	inNamespace
	connection
}

// Run removes it.
func (s *secretRemove) Run(ctx context.Context, p *process) error {
	c, err := s.connect(p, "")
	if err != nil {
		return err
	}
	return explain(c, c.DeleteSecret(ctx, s.Namespace, s.Name))
}
