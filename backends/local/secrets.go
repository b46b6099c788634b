package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"hearth/backends"
)

// maxSecret is the most bytes of a value, as Kubernetes has it.
const maxSecret = 1 << 20

type secretKey struct{ namespace, name string }

// secretFile is the content of a secret's file; Value is in Base64.
type secretFile struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Value     []byte `json:"value"`
}

// secretName is a digest: a secret's name and namespace together may be longer
// than a file's name can be.
func secretName(key secretKey) string {
	sum := sha256.Sum256([]byte(key.namespace + "/" + key.name))
	return hex.EncodeToString(sum[:]) + ".json"
}

// takeSecret reads a secret's file. Its errors quote nothing of the content.
func (l *Local) takeSecret(name string, text []byte) error {
	var file secretFile
	if json.Unmarshal(text, &file) != nil {
		return errors.New("it is not a secret in JSON")
	}
	key := secretKey{file.Namespace, file.Name}
	if backends.ValidateName("namespace", key.namespace) != nil || backends.ValidateSecretName(key.name) != nil || name != secretName(key) {
		return errors.New("it holds another secret, or none")
	}
	l.secrets[key] = file.Value
	return nil
}

// secrets is the backends.Secrets of a Local.
type secrets struct{ *Local }

func (l secrets) List(ctx context.Context, namespace string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	var names []string
	for key := range l.secrets {
		if key.namespace == namespace {
			names = append(names, key.name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (l secrets) Create(ctx context.Context, s backends.Secret) error {
	return l.write(ctx, "create", s, func(key secretKey) error {
		if _, ok := l.namespaces[key.namespace]; !ok {
			return unknownNamespace(key.namespace)
		}
		if _, ok := l.secrets[key]; ok {
			return backends.Errorf(backends.ErrExists, "secret %s already exists in namespace %s", key.name, key.namespace)
		}
		return nil
	})
}

func (l secrets) Update(ctx context.Context, s backends.Secret) error {
	return l.write(ctx, "update", s, l.known)
}

// known is ErrNotFound unless there is a secret of that key; part of a change.
func (l secrets) known(key secretKey) error {
	if _, ok := l.secrets[key]; !ok {
		return unknownSecret(key.namespace, key.name)
	}
	return nil
}

// write stores a secret if allowed says so.
func (l secrets) write(ctx context.Context, verb string, s backends.Secret, allowed func(secretKey) error) error {
	namespace, err := backends.ParseNamespace(s.Namespace)
	if err == nil {
		err = backends.ValidateSecretName(s.Name)
	}
	if err == nil && len(s.Value) > maxSecret {
		err = backends.Errorf(backends.ErrTooLarge, "the value has %d bytes, at most %d are allowed", len(s.Value), maxSecret)
	}
	if err != nil {
		return err
	}
	key := secretKey{namespace, s.Name}
	value := bytes.Clone(s.Value)
	text, err := json.Marshal(secretFile{key.namespace, key.name, value})
	if err != nil {
		return err
	}
	return l.change(ctx, verb+" secret "+key.name, func() error {
		if err := allowed(key); err != nil {
			return err
		}
		done, err := l.store.write(kindSecret, secretName(key), append(text, '\n'))
		if done {
			l.mu.Lock()
			l.secrets[key] = value
			l.mu.Unlock()
		}
		return err
	})
}

func (l secrets) Delete(ctx context.Context, namespace, name string) error {
	return l.change(ctx, "delete secret "+name, func() error {
		key := secretKey{namespace, name}
		if err := l.known(key); err != nil {
			return err
		}
		done, err := l.store.remove(kindSecret, secretName(key))
		if done {
			l.mu.Lock()
			delete(l.secrets, key)
			l.mu.Unlock()
		}
		return err
	})
}

func (l secrets) Read(ctx context.Context, namespace, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	value, ok := l.secrets[secretKey{namespace, name}]
	if !ok {
		return nil, unknownSecret(namespace, name)
	}
	return bytes.Clone(value), nil
}

func unknownSecret(namespace, name string) error {
	return backends.Errorf(backends.ErrNotFound, "secret %s not found in namespace %s", name, namespace)
}
