package main

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"hearth/backends"
)

// layers gives kong what flags were not given on the command line: the
// environment's values over the file's. It remembers where each came from.
type layers struct {
	environ  map[string]string
	file     map[string]string // by flag name
	fileName string
	fileFlag string // or variable that named it
	origins  origins
	warnings []string
	loaded   bool
}

// origins is where values came from, by flag name: a name the user wrote, or
// the word default.
type origins struct{ of map[string]string }

func (o *origins) note(flag, origin string) {
	if o.of == nil {
		o.of = map[string]string{}
	}
	o.of[flag] = origin
}

func (o *origins) given(flag string) bool {
	_, ok := o.of[flag]
	return ok
}

// name is how the user wrote the flag's name, for errors.
func (o *origins) name(flag string) string {
	if n, ok := o.of[flag]; ok && !strings.HasPrefix(n, "from ") {
		return n
	}
	return "--" + flag
}

func newLayers(environ []string) *layers {
	l := &layers{environ: map[string]string{}}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		l.environ[name] = value
	}
	return l
}

// Validate is part of kong.Resolver.
func (l *layers) Validate(*kong.Application) error { return nil }

// Resolve gives the text of one flag of the server, nil if no layer has it.
func (l *layers) Resolve(k *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if !isSetting(flag) {
		return nil, nil
	}
	if !l.loaded {
		l.loaded = true
		if err := l.load(k, parent.Flags); err != nil {
			return nil, err
		}
	}
	origin, text := l.find(flag.Name)
	if origin == "" {
		return nil, nil
	}
	if err := check(flag.Target.Type(), text); err != nil {
		return nil, &backends.FieldError{Field: origin, Value: err.value, Allowed: err.allowed}
	}
	l.origins.note(flag.Name, origin)
	return text, nil
}

// isSetting tells the flags of the server from those of the command line.
func isSetting(flag *kong.Flag) bool {
	for _, t := range settings() {
		if flag.Name == t.flag && flag.Tag.Get("client") == "" {
			return true
		}
	}
	return false
}

// find gives the highest layer that has the flag and its text.
func (l *layers) find(flag string) (origin, text string) {
	if v, ok := l.environ[envName(flag)]; ok {
		return envName(flag), v
	}
	for _, n := range openFaaSNames() {
		if v, ok := l.environ[n.env]; ok && n.flag == flag {
			return n.env, n.convert(v)
		}
	}
	if v, ok := l.file[flag]; ok {
		return flag + " in " + l.fileName, v
	}
	return "", ""
}

// envName is the name of a flag in the environment.
func envName(flag string) string {
	return "HEARTH_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// load reads the file and looks for names that mean nothing.
func (l *layers) load(k *kong.Context, flags []*kong.Flag) error {
	var faults backends.Faults
	l.checkEnviron(&faults)
	for _, f := range flags {
		if f.Name == "config" {
			l.fileName, _ = k.FlagValue(f).(string)
		}
	}
	l.fileFlag = "--config"
	if l.fileName == "" {
		l.fileFlag, l.fileName = envName("config"), l.environ[envName("config")]
	}
	if l.fileName != "" {
		faults.AddErr(l.readFile())
	}
	return faults.Err()
}

// readFile reads the YAML file into texts as flags take them.
func (l *layers) readFile() error {
	data, err := os.ReadFile(l.fileName)
	if err != nil {
		return &backends.FieldError{Field: l.fileFlag, Value: l.fileName, Allowed: "a readable file: " + reason(err)}
	}
	var content map[string]any
	if err := yaml.Unmarshal(data, &content); err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return &backends.FieldError{Field: l.fileFlag, Value: l.fileName, Allowed: "YAML with one value per name: " + text}
	}
	l.file = map[string]string{}
	var faults backends.Faults
	for name, value := range content {
		text, ok := flatten(value)
		switch {
		case !slices.ContainsFunc(settings(), func(s setting) bool { return s.flag == name }) || name == "config" || name == "print-config":
			faults.Add("key in "+l.fileName, name, "one of "+settingNames())
		case !ok:
			faults.Add(name+" in "+l.fileName, fmt.Sprint(value), "one value or a list of values")
		}
		l.file[name] = text
	}
	return faults.Err()
}

// reason is an error of a file operation without the path, which is said
// elsewhere in the line.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// flatten writes a YAML value as a flag takes it: lists with commas, maps as
// a list of NAME=VALUE.
func flatten(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), true
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			s, ok := p.(string)
			if !ok {
				return "", false
			}
			parts[i] = strings.ReplaceAll(s, ",", `\,`)
		}
		return strings.Join(parts, ","), true
	case map[string]any:
		var parts []string
		for name, p := range v {
			s, ok := p.(string)
			if !ok {
				return "", false
			}
			parts = append(parts, name+"="+s)
		}
		slices.Sort(parts)
		return strings.Join(parts, ","), true
	}
	return "", false
}

// setting is one field of Config.
type setting struct {
	flag  string
	index int
}

// settings lists Config's fields under their flags' names.
func settings() []setting {
	var list []setting
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("name")
		if name == "" {
			name = kebab(t.Field(i).Name)
		}
		list = append(list, setting{name, i})
	}
	return list
}

func settingNames() string {
	var names []string
	for _, s := range settings() {
		if s.flag != "config" && s.flag != "print-config" {
			names = append(names, s.flag)
		}
	}
	return strings.Join(names, ", ")
}

// kebab writes a field's name as a flag: MaxBody is max-body.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			r |= 0x20
		}
		b.WriteRune(r)
	}
	return b.String()
}

// check tells whether a text can be a field of that type.
func check(t reflect.Type, text string) *valueError {
	target := reflect.New(t)
	if u, ok := target.Interface().(encoding.TextUnmarshaler); ok {
		var bad *valueError
		errors.As(u.UnmarshalText([]byte(text)), &bad)
		return bad
	}
	switch t.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return &valueError{text, "true or false"}
		}
	case reflect.Int:
		if _, err := strconv.ParseInt(text, 10, 32); err != nil {
			return &valueError{text, "a whole number"}
		}
	}
	return nil
}
