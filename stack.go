package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"hearth/backends"
)

// stack is a stack.yaml as faas-cli reads it. What only concerns building
// images is read and not used.
type stack struct {
	Version  string `yaml:"version"`
	Provider struct {
		Name    string `yaml:"name"`
		Gateway string `yaml:"gateway"`
	} `yaml:"provider"`
	Functions     map[string]stackFunction `yaml:"functions"`
	Configuration any                      `yaml:"configuration"`

	path string // of the file
}

// stackFunction is one entry of functions.
type stackFunction struct {
	Name            string            `yaml:"name"`
	Image           string            `yaml:"image"`
	Namespace       string            `yaml:"namespace"`
	FProcess        string            `yaml:"fprocess"`
	Environment     map[string]string `yaml:"environment"`
	EnvironmentFile []string          `yaml:"environment_file"`
	Secrets         []string          `yaml:"secrets"`
	Constraints     []string          `yaml:"constraints"`
	Labels          map[string]string `yaml:"labels"`
	Annotations     map[string]string `yaml:"annotations"`
	Limits          *stackResources   `yaml:"limits"`
	Requests        *stackResources   `yaml:"requests"`
	ReadOnlyRoot    bool              `yaml:"readonly_root_filesystem"`
	Lang            string            `yaml:"lang"`
	Handler         string            `yaml:"handler"`
	SkipBuild       bool              `yaml:"skip_build"`
	BuildOptions    []string          `yaml:"build_options"`
	BuildArgs       map[string]string `yaml:"build_args"`
	BuildSecrets    map[string]string `yaml:"build_secrets"`
	Platforms       any               `yaml:"platforms"`
}

type stackResources struct {
	Memory string `yaml:"memory"`
	CPU    string `yaml:"cpu"`
}

// readStack reads a stack file with its ${VARIABLES} replaced.
func readStack(path string, environ map[string]string) (*stack, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &backends.FieldError{Field: "stack file", Value: path, Allowed: "a readable file: " + reason(err)}
	}
	text, err := substitute(string(data), environ)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &stack{path: path}
	if err := yaml.NewDecoder(bytes.NewReader([]byte(text)), yaml.Strict()).Decode(s); err != nil {
		return nil, backends.Errorf(backends.ErrInvalid, "%s: %s", path, oneLine(yaml.FormatError(err, false, false)))
	}
	if s.Provider.Name != "" && s.Provider.Name != "openfaas" && s.Provider.Name != "hearth" {
		return nil, &backends.FieldError{Field: "provider.name in " + path, Value: s.Provider.Name, Allowed: "openfaas"}
	}
	if len(s.Functions) == 0 {
		return nil, backends.Errorf(backends.ErrInvalid, "%s has no functions", path)
	}
	return s, nil
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// deployments gives the functions of the stack, sorted by name. An image that
// is a path is one relative to the stack file.
func (s *stack) deployments() ([]backends.FunctionDeployment, error) {
	var list []backends.FunctionDeployment
	for _, name := range slices.Sorted(maps.Keys(s.Functions)) {
		d, err := s.deployment(name, s.Functions[name])
		if err != nil {
			return nil, fmt.Errorf("%s: function %s: %w", s.path, name, err)
		}
		list = append(list, d)
	}
	return list, nil
}

func (s *stack) deployment(name string, f stackFunction) (backends.FunctionDeployment, error) {
	env := map[string]string{}
	for _, file := range f.EnvironmentFile {
		more, err := readEnvironmentFile(filepath.Join(filepath.Dir(s.path), file))
		if err != nil {
			return backends.FunctionDeployment{}, err
		}
		maps.Copy(env, more)
	}
	maps.Copy(env, f.Environment)
	image := f.Image
	if isModulePath(image) && !filepath.IsAbs(image) {
		image = filepath.Join(filepath.Dir(s.path), image)
		if !strings.ContainsRune(image, filepath.Separator) {
			image = "." + string(filepath.Separator) + image
		}
	}
	return backends.FunctionDeployment{
		Service: name, Image: image, Namespace: f.Namespace, EnvProcess: f.FProcess,
		EnvVars: env, Constraints: f.Constraints, Secrets: f.Secrets,
		Labels: orEmpty(f.Labels), Annotations: orEmpty(f.Annotations),
		Limits: f.Limits.wire(), Requests: f.Requests.wire(), ReadOnlyRootFilesystem: f.ReadOnlyRoot,
	}, nil
}

func (r *stackResources) wire() *backends.Resources {
	if r == nil {
		return nil
	}
	return &backends.Resources{Memory: r.Memory, CPU: r.CPU}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// readEnvironmentFile reads the map environment of a YAML file.
func readEnvironmentFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &backends.FieldError{Field: "environment_file", Value: path, Allowed: "a readable file: " + reason(err)}
	}
	var content struct {
		Environment map[string]string `yaml:"environment"`
	}
	if err := yaml.Unmarshal(data, &content); err != nil {
		return nil, backends.Errorf(backends.ErrInvalid, "%s: %s", path, oneLine(yaml.FormatError(err, false, false)))
	}
	return content.Environment, nil
}

// moduleTypes are the endings of files that can be functions.
var moduleTypes = []string{".wasm", ".js", ".mjs"}

// isModulePath tells a path of a module or program on this machine from the
// name of an image.
func isModulePath(image string) bool {
	return slices.Contains(moduleTypes, filepath.Ext(image)) && !strings.Contains(image, "@sha256:")
}

// substitute replaces ${NAME}, ${NAME:-default} and ${NAME-default} by values
// of the environment; $${ is a plain ${.
func substitute(text string, environ map[string]string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), nil
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(plain + "${")
			text = after
			continue
		}
		expression, rest, closed := strings.Cut(after, "}")
		value, ok := expand(expression, environ)
		if !closed || !ok {
			return "", &backends.FieldError{Field: "substitution", Value: "${" + expression, Allowed: "${NAME} or ${NAME:-default}"}
		}
		b.WriteString(before + value)
		text = rest
	}
}

// expand gives the value of what stands between the braces; false if that is
// none of the forms.
func expand(expression string, environ map[string]string) (string, bool) {
	name, fallback, has := strings.Cut(expression, ":-")
	emptyIsUnset := has
	if !has {
		name, fallback, has = strings.Cut(expression, "-")
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
	if name == "" || strings.Trim(name, letters) != "" {
		return "", false
	}
	value, set := environ[name]
	if has && (!set || value == "" && emptyIsUnset) {
		return fallback, true
	}
	return value, true
}

// files lists the files that the stack is made of, modules apart.
func (s *stack) files() []string {
	files := []string{s.path}
	for _, f := range s.Functions {
		for _, name := range f.EnvironmentFile {
			files = append(files, filepath.Join(filepath.Dir(s.path), name))
		}
	}
	return files
}
