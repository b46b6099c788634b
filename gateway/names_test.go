package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"hearth/backends"
)

// strictBackend notes every name that reaches a backend and is none.
type strictBackend struct {
	*memoryBackend
	mu  sync.Mutex
	bad []string
}

func (s *strictBackend) note(err error) {
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.bad = append(s.bad, err.Error())
	}
}

func (s *strictBackend) key(k backends.Key) {
	s.note(backends.ValidateName("name", k.Name))
	s.namespace(k.Namespace)
}

func (s *strictBackend) namespace(name string) {
	s.note(backends.ValidateName("namespace", name))
}

func (s *strictBackend) Deploy(ctx context.Context, f backends.Function) error {
	s.note(f.Validate())
	return s.memoryBackend.Deploy(ctx, f)
}

func (s *strictBackend) Update(ctx context.Context, f backends.Function) error {
	s.note(f.Validate())
	return s.memoryBackend.Update(ctx, f)
}

func (s *strictBackend) Delete(ctx context.Context, key backends.Key) error {
	s.key(key)
	return s.memoryBackend.Delete(ctx, key)
}

func (s *strictBackend) Get(ctx context.Context, key backends.Key) (backends.Status, error) {
	s.key(key)
	return s.memoryBackend.Get(ctx, key)
}

func (s *strictBackend) List(ctx context.Context, namespace string) ([]backends.Status, error) {
	s.namespace(namespace)
	return s.memoryBackend.List(ctx, namespace)
}

func (s *strictBackend) Scale(ctx context.Context, key backends.Key, n int) error {
	s.key(key)
	return s.memoryBackend.Scale(ctx, key, n)
}

func (s *strictBackend) Logs(ctx context.Context, q backends.LogQuery) iter.Seq2[backends.LogLine, error] {
	s.key(q.Key)
	return s.memoryBackend.Logs(ctx, q)
}

func (s *strictBackend) Powers() backends.Powers {
	p := s.memoryBackend.Powers()
	p.Logs, p.Secrets, p.Namespaces = s, strictSecrets{p.Secrets, s}, strictNamespaces{p.Namespaces, s}
	return p
}

type strictSecrets struct {
	backends.Secrets
	*strictBackend
}

func (s strictSecrets) secret(namespace, name string) {
	s.namespace(namespace)
	s.note(backends.ValidateSecretName(name))
}

func (s strictSecrets) List(ctx context.Context, namespace string) ([]string, error) {
	s.namespace(namespace)
	return s.Secrets.List(ctx, namespace)
}

func (s strictSecrets) Create(ctx context.Context, v backends.Secret) error {
	s.secret(v.Namespace, v.Name)
	return s.Secrets.Create(ctx, v)
}

func (s strictSecrets) Update(ctx context.Context, v backends.Secret) error {
	s.secret(v.Namespace, v.Name)
	return s.Secrets.Update(ctx, v)
}

func (s strictSecrets) Delete(ctx context.Context, namespace, name string) error {
	s.secret(namespace, name)
	return s.Secrets.Delete(ctx, namespace, name)
}

type strictNamespaces struct {
	backends.Namespaces
	*strictBackend
}

func (s strictNamespaces) List(ctx context.Context) ([]string, error) { return s.Namespaces.List(ctx) }

func (s strictNamespaces) Get(ctx context.Context, name string) (backends.Namespace, error) {
	s.namespace(name)
	return s.Namespaces.Get(ctx, name)
}

func (s strictNamespaces) Create(ctx context.Context, n backends.Namespace) error {
	s.namespace(n.Name)
	return s.Namespaces.Create(ctx, n)
}

func (s strictNamespaces) Update(ctx context.Context, n backends.Namespace) error {
	s.namespace(n.Name)
	return s.Namespaces.Update(ctx, n)
}

func (s strictNamespaces) Delete(ctx context.Context, name string) error {
	s.namespace(name)
	return s.Namespaces.Delete(ctx, name)
}

// badNames are texts that must not name anything anywhere.
func badNames() map[string]string {
	return map[string]string{
		"a parent directory": "..", "a path": "../../etc/passwd", "an absolute path": "/etc/passwd",
		"an encoded parent": "%2e%2e", "a twice encoded parent": "%252e%252e", "an encoded slash": "a%2fb",
		"a backslash": `..\..\windows`, "a null byte": "a\x00b", "a line end": "a\r\nb", "an escape": "\x1b[31m",
		"a space": "a b", "spaces around": " a ", "a look-alike": "\u0430dmin", "a full-width letter": "\uff41", "a joiner": "a\u200db",
		"a right-to-left mark": "a\u202eb", "an accent": "caf\u00e9", "10 KiB": strings.Repeat("a", 10<<10), "64 letters": strings.Repeat("a", 64),
		"a leading dash": "-a", "an ending dash": "a-", "a leading dot": ".a", "a capital letter": "Abc", "an underscore": "a_b",
		"three parts": "a.b.c", "a colon": "a:b", "a query": "a?b=c", "a fragment": "a#b", "a template": "{{.Secret}}", "an expression": "$(id)",
		"a quote": `a"b`, "a metric's end": `a"} 1`, "a comma": "a,b", "not UTF-8": "a\xffb",
	}
}

// fieldOf puts a name into one field of one request.
type fieldOf struct {
	method, path, body string // NAME stands for the name, quoted in the body, escaped in the path
	dots               bool   // names with dots may be right here
}

func everyField() map[string]fieldOf {
	return map[string]fieldOf{
		"service of a deployment":          {"POST", "/system/functions", `{"service":NAME,"image":"x"}`, false},
		"service of an update":             {"PUT", "/system/functions", `{"service":NAME,"image":"x"}`, false},
		"namespace of a deployment":        {"POST", "/system/functions", `{"service":"f","image":"x","namespace":NAME}`, false},
		"namespace of an update":           {"PUT", "/system/functions", `{"service":"f","image":"x","namespace":NAME}`, false},
		"secret of a deployment":           {"POST", "/system/functions", `{"service":"f","image":"x","secrets":[NAME]}`, true},
		"query of a deployment":            {"POST", "/system/functions?namespace=NAME", `{"service":"f","image":"x"}`, false},
		"namespace of a list":              {"GET", "/system/functions?namespace=NAME", "", false},
		"name of a removal":                {"DELETE", "/system/functions", `{"functionName":NAME}`, false},
		"namespace of a removal":           {"DELETE", "/system/functions", `{"functionName":"f","namespace":NAME}`, false},
		"path of a status":                 {"GET", "/system/function/NAME", "", false},
		"namespace in the path":            {"GET", "/system/function/f.NAME", "", false},
		"namespace of a status":            {"GET", "/system/function/f?namespace=NAME", "", false},
		"path of scaling":                  {"POST", "/system/scale-function/NAME", `{"replicas":1}`, false},
		"service of scaling":               {"POST", "/system/scale-function/f", `{"serviceName":NAME,"replicas":1}`, false},
		"namespace of scaling":             {"POST", "/system/scale-function/f", `{"serviceName":"f","namespace":NAME,"replicas":1}`, false},
		"name of logs":                     {"GET", "/system/logs?name=NAME", "", false},
		"namespace of logs":                {"GET", "/system/logs?name=f&namespace=NAME", "", false},
		"name of a secret":                 {"POST", "/system/secrets", `{"name":NAME,"value":"v"}`, true},
		"name of a secret's update":        {"PUT", "/system/secrets", `{"name":NAME,"value":"v"}`, true},
		"name of a secret's removal":       {"DELETE", "/system/secrets", `{"name":NAME}`, true},
		"namespace of a secret":            {"POST", "/system/secrets", `{"name":"s","namespace":NAME,"value":"v"}`, false},
		"query of a secret":                {"DELETE", "/system/secrets?namespace=NAME", `{"name":"s"}`, false},
		"namespace of secrets":             {"GET", "/system/secrets?namespace=NAME", "", false},
		"path of a namespace":              {"GET", "/system/namespace/NAME", "", false},
		"name of a namespace":              {"POST", "/system/namespace/", `{"name":NAME,"labels":{"openfaas":"1"}}`, false},
		"path and name of a namespace":     {"PUT", "/system/namespace/NAME", `{"name":NAME,"labels":{"openfaas":"1"}}`, false},
		"path and name of its removal":     {"DELETE", "/system/namespace/NAME", `{"name":NAME,"labels":{"openfaas":"1"}}`, false},
		"a name that a path only resemble": {"POST", "/system/namespace/f", `{"name":NAME,"labels":{"openfaas":"1"}}`, false},
		"a call":                           {"POST", "/function/NAME", "", false},
		"the namespace of a call":          {"POST", "/function/f.NAME/", "", false},
	}
}

// TestABadNameIsRefusedInEveryField is check 37: 400 or 404, and no backend
// ever hears of the name.
func TestABadNameIsRefusedInEveryField(t *testing.T) {
	cfg := testConfig()
	strict := &strictBackend{memoryBackend: newMemoryBackend()}
	cfg.Backend = strict
	_, base := serve(t, cfg)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	if err := strict.Deploy(t.Context(), backends.Function{Key: backends.Key{Namespace: backends.DefaultNamespace, Name: "f"}, Image: "x"}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, strict.memoryBackend)
	for field, f := range everyField() {
		for what, name := range badNames() {
			if f.dots && what == "64 letters" || name == "" {
				continue
			}
			quoted, _ := json.Marshal(name)
			if what == "not UTF-8" {
				quoted = []byte(`"` + name + `"`)
			}
			target := strings.ReplaceAll(f.path, "NAME", url.QueryEscape(name))
			if before, _, _ := strings.Cut(f.path, "?"); strings.Contains(before, "NAME") {
				target = strings.ReplaceAll(f.path, "NAME", url.PathEscape(name))
			}
			req, err := http.NewRequest(f.method, base+target, bytes.NewReader(bytes.ReplaceAll([]byte(f.body), []byte("NAME"), quoted)))
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth("admin", "secret")
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatalf("%s in %s: %v", what, field, err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if f.dots && what == "three parts" {
				continue // a.b.c is a secret's name
			}
			if resp.StatusCode != 400 && resp.StatusCode != 404 {
				t.Errorf("%s in %s: got %s %.200s", what, field, resp.Status, body)
			}
			if len(body) > 2048 || bytes.ContainsAny(body, "\x00\x1b\r") {
				t.Errorf("%s in %s: the answer is %d bytes and says %.100q", what, field, len(body), body)
			}
		}
	}
	if len(strict.bad) > 0 {
		t.Errorf("the backend heard of %.2000q", strict.bad)
	}
	delete(strict.secretsOf[backends.DefaultNamespace], "a.b.c")
	if after := snapshot(t, strict.memoryBackend); after != before {
		t.Errorf("the state changed\nfrom %s\nto   %s", before, after)
	}
}

// snapshot gives all state of a backend as text.
func snapshot(t *testing.T, m *memoryBackend) string {
	t.Helper()
	names := map[string]int{}
	for ns, s := range m.secretsOf {
		if len(s) > 0 {
			names[ns] = len(s)
		}
	}
	list, err := m.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal([]any{list, names, m.namespaces, len(m.modules)})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
