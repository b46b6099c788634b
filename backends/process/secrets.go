package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hearth/backends"
)

// secretWait bounds reading one function's secrets.
const secretWait = 10 * time.Second

// writeSecrets gives a child its secrets: a file each, in a directory that
// nobody else can read.
func (r *replica) writeSecrets() error {
	if r.secrets == "" {
		return nil
	}
	if err := os.MkdirAll(r.secrets, 0o700); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.ctx, secretWait)
	defer cancel()
	from := r.program.hosted.inner.Powers().Secrets
	for _, name := range r.function.Secrets {
		value, err := from.Read(ctx, r.function.Namespace, name)
		if err == nil {
			err = r.writeSecret(name, value)
		}
		if err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
	}
	return nil
}

// writeSecret replaces one file at once, so that no reader finds half of it.
func (r *replica) writeSecret(name string, value []byte) error {
	f, err := os.CreateTemp(r.secrets, ".new-")
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	if err = errors.Join(err, f.Chmod(0o400), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(r.secrets, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// secrets is a backend's secrets; a new value is in the files of the programs
// that have the secret before the call that set it returns.
type secrets struct {
	backends.Secrets
	hosted *hosted
}

// Update implements backends.Secrets.
func (s secrets) Update(ctx context.Context, secret backends.Secret) error {
	err := s.Secrets.Update(ctx, secret)
	if err != nil {
		return err
	}
	namespace := secret.Namespace
	if namespace == "" {
		namespace = backends.DefaultNamespace
	}
	for _, r := range s.hosted.having(namespace, secret.Name) {
		if err := r.writeSecret(secret.Name, secret.Value); err != nil && !errors.Is(err, os.ErrNotExist) { // it has not begun, or ended
			return fmt.Errorf("secret %s is stored; replica %s did not get it: %w", secret.Name, r.instance, err)
		}
	}
	return nil
}

// having gives the replicas that have a secret.
func (b *hosted) having(namespace, secret string) []*replica {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*replica
	for key, p := range b.programs {
		for _, r := range slices.Concat(p.current, p.before) {
			if key.Namespace == namespace && slices.Contains(r.function.Secrets, secret) {
				list = append(list, r)
			}
		}
	}
	return list
}
