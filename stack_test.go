package main

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"hearth/backends"
)

func TestVariablesOfAStackFileAreReplaced(t *testing.T) {
	environ := map[string]string{"NAME": "value", "EMPTY": ""}
	tests := []struct{ text, want string }{
		{"a ${NAME} b", "a value b"},
		{"${NAME:-other}${UNSET:-other}${EMPTY:-other}", "valueotherother"},
		{"${NAME-other}${UNSET-other}${EMPTY-other}", "valueother"},
		{"${UNSET:-http://x:80/a-b:-c}", "http://x:80/a-b:-c"},
		{"${UNSET}|${UNSET:-}", "|"},
		{"$NAME $ $$ $${NAME} $", "$NAME $ $$ ${NAME} $"},
	}
	for _, tt := range tests {
		if got, err := substitute(tt.text, environ); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"${NAME", "${}", "${A B}", "${:-x}", "${NAME^^}"} {
		if got, err := substitute(text, environ); err == nil {
			t.Errorf("%s: got %q, want an error", text, got)
		}
	}
}

func FuzzSubstitutionNeverPanicsAndLeavesPlainTextAlone(f *testing.F) {
	f.Add("${NAME:-x}")
	f.Add("$${A}$")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := substitute(text, map[string]string{"NAME": "v"})
		if !strings.Contains(text, "${") && (err != nil || got != text) {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	})
}

const fullStack = `version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:9999
functions:
  second:
    lang: dockerfile
    handler: ./second
    image: ${REGISTRY:-ghcr.io}/second:1
  first:
    image: ./build/first.wasm
    namespace: dev
    fprocess: first --fast
    environment:
      write_debug: true
      retries: 3
      word: text
    environment_file: [env.yml]
    secrets: [token]
    constraints: [gpu]
    labels: {com.openfaas.scale.min: 2}
    annotations: {topic: "a,b"}
    limits: {memory: 64Mi, cpu: 100m}
    requests: {memory: 32Mi}
    readonly_root_filesystem: true
    skip_build: true
    build_args: {A: b}
configuration:
  templates: [{name: go, source: x}]
`

func TestAStackFileIsReadAsFaasCLIReadsIt(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"stack.yaml": fullStack, "env.yml": "environment:\n  word: from file\n  more: 1\n"})
	s, err := readStack(filepath.Join(dir, "stack.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Provider.Gateway != "http://127.0.0.1:9999" {
		t.Errorf("gateway %q", s.Provider.Gateway)
	}
	got, err := s.deployments()
	if err != nil {
		t.Fatal(err)
	}
	want := []backends.FunctionDeployment{
		{
			Service: "first", Image: filepath.Join(dir, "build/first.wasm"), Namespace: "dev", EnvProcess: "first --fast",
			EnvVars: map[string]string{"write_debug": "true", "retries": "3", "word": "text", "more": "1"},
			Secrets: []string{"token"}, Constraints: []string{"gpu"},
			Labels: map[string]string{"com.openfaas.scale.min": "2"}, Annotations: map[string]string{"topic": "a,b"},
			Limits: &backends.Resources{Memory: "64Mi", CPU: "100m"}, Requests: &backends.Resources{Memory: "32Mi"},
			ReadOnlyRootFilesystem: true,
		},
		{Service: "second", Image: "ghcr.io/second:1", EnvVars: map[string]string{}, Labels: map[string]string{}, Annotations: map[string]string{}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAWrongStackFileIsRefusedWithItsPlace(t *testing.T) {
	for name, tt := range map[string]struct{ content, want string }{
		"no functions":         {"provider: {name: openfaas}\n", "no functions"},
		"an unknown key":       {"functions: {a: {image: x, enviroment: {A: b}}}\n", "enviroment"},
		"a list as an image":   {"functions: {a: {image: [x]}}\n", "image"},
		"another provider":     {"provider: {name: lambda}\nfunctions: {a: {image: x}}\n", "lambda"},
		"an open substitution": {"functions: {a: {image: \"${X\"}}\n", "${NAME}"},
		"not YAML":             {"functions: [", "stack.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{"stack.yaml": tt.content})
			_, err := readStack(filepath.Join(dir, "stack.yaml"), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
		})
	}
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name := range maps.Keys(files) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
