package inproc

import (
	"context"
	"strings"

	"hearth/backends"
	"hearth/runtime"
)

// spec makes of a function what its module is given. It reads the function's
// secrets: ErrNotFound if one is missing.
func (b *hosted) spec(ctx context.Context, f backends.Function, d defaults) (runtime.Spec, error) {
	h := b.host
	s := runtime.Spec{
		Key:        f.Key,
		Args:       strings.Fields(f.Process),
		Env:        merged(d.environment, f.Env),
		SecretPath: h.cfg.SecretPath,
		Answer:     h.cfg.MaxAnswer,
		CGI:        valueOf(f, d, backends.KeyOutput) == "cgi",
		Resume:     valueOf(f, d, backends.KeyResume),
		Keep:       valueOf(f, d, backends.KeyState) == "keep",
		ClassicLog: d.classicLog,
	}
	if len(s.Args) == 0 {
		s.Args = d.process
	}
	if v := valueOf(f, d, backends.KeyCallLog); v != "" {
		s.ClassicLog = v == "classic"
	}
	var err error
	if v := valueOf(f, d, backends.KeyAllowHTTP); v != "" {
		var ok bool
		if s.AllowHTTP, ok = backends.ParseHosts(v); !ok { // of an image: the function's own are checked
			return s, &backends.FieldError{Field: backends.KeyAllowHTTP, Value: v, Allowed: "hosts parted by commas"}
		}
	}
	if f.Limits != nil && f.Limits.Memory != "" {
		if s.Memory, err = backends.ParseMemory("limits.memory", f.Limits.Memory); err != nil {
			return s, err
		}
	}
	s.Secrets, err = b.readSecrets(ctx, f)
	return s, err
}

// valueOf gives the value of a key of ours: the function's own, else the image's.
func valueOf(f backends.Function, d defaults, key string) string {
	if v := f.Value(key); v != "" {
		return v
	}
	return d.annotations[key]
}

// readSecrets reads the values of a function's secrets.
func (b *hosted) readSecrets(ctx context.Context, f backends.Function) (map[string][]byte, error) {
	if len(f.Secrets) == 0 {
		return nil, nil
	}
	secrets := b.inner.Powers().Secrets
	if secrets == nil {
		return nil, backends.Errorf(backends.ErrUnsupported, "the backend %s has no secrets", b.inner.Info().Name)
	}
	values := make(map[string][]byte, len(f.Secrets))
	for _, name := range f.Secrets {
		value, err := secrets.Read(ctx, f.Namespace, name)
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	return values, nil
}
