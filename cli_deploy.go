package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hearth/backends"
	"hearth/backends/inproc/store"
	"hearth/gateway/client"
)

// deployCommand makes or replaces functions.
type deployCommand struct {
	What       []string          `arg:"" optional:"" name:"what" help:"An image, a path of a .wasm or .js file, or a function of the store; with --image the function's name; with a stack file the functions to deploy."`
	File       string            `short:"f" placeholder:"FILE" help:"Stack file; stack.yaml or stack.yml in this directory if nothing else is named."`
	Name       string            `placeholder:"NAME" help:"Function's name; by default taken from the image."`
	Image      string            `placeholder:"IMAGE" help:"Image, path of a .wasm or .js file, or store/NAME."`
	Exec       string            `placeholder:"COMMAND" help:"Command line of a program on the server's machine, which must run with --allow-exec; the name goes before it."`
	FProcess   string            `name:"fprocess" placeholder:"COMMAND" help:"Command line of the program."`
	Env        map[string]string `short:"e" mapsep:"none" placeholder:"NAME=VALUE" help:"Environment variable; may be repeated."`
	Label      map[string]string `short:"l" mapsep:"none" placeholder:"KEY=VALUE" help:"Label; may be repeated."`
	Annotation map[string]string `short:"a" mapsep:"none" placeholder:"KEY=VALUE" help:"Annotation; may be repeated."`
	Secret     []string          `short:"s" sep:"none" placeholder:"NAME" help:"Secret the function may read; may be repeated."`
	Constraint []string          `short:"c" sep:"none" placeholder:"TEXT" help:"Placement constraint; may be repeated."`
	Memory     string            `placeholder:"SIZE" help:"Memory limit, such as 64Mi."`
	CPU        string            `name:"cpu" placeholder:"CORES" help:"CPU limit, such as 500m."`
	ReadOnly   bool              `name:"readonly" help:"Read-only root file system."`
	Wait       time.Duration     `default:"60s" help:"How long to wait until the function can answer; 0 does not wait."`
	inNamespace
	connection
	output
}

// deployed is what is printed of one function.
type deployed struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Image     string `json:"image"`
	URL       string `json:"url"`
	Created   bool   `json:"created"` // false: it replaced the one before
}

// Run deploys and prints one line per function.
func (d *deployCommand) Run(ctx context.Context, p *process) error {
	list, gateway, err := d.functions(p)
	if err != nil {
		return &usageError{err}
	}
	c, err := d.connect(p, gateway)
	if err != nil {
		return err
	}
	var done []deployed
	for _, f := range list {
		one, err := deploy(ctx, c, f, d.Wait)
		if err != nil {
			return fmt.Errorf("deploy %s: %w", f.Service, explain(c, err))
		}
		if done = append(done, one); !d.json() {
			fmt.Fprintf(p.stdout, "%s: %s\n", one.Name, one.URL)
		}
	}
	if d.json() {
		return p.printJSON(done)
	}
	return nil
}

// functions gives what is to be deployed, and the gateway of the stack file.
func (d *deployCommand) functions(p *process) ([]backends.FunctionDeployment, string, error) {
	file := d.File
	if file == "" && len(d.What) == 0 && d.Image == "" && d.Exec == "" {
		if file = findStack("."); file == "" {
			return nil, "", errors.New("nothing to deploy: name an image, a .wasm or .js file or a function of the store (hearth store list), or write a stack.yaml")
		}
	}
	if file == "" {
		f, err := d.single()
		return []backends.FunctionDeployment{f}, "", err
	}
	if d.Image != "" || d.Name != "" || d.Exec != "" {
		return nil, "", errors.New("--image, --exec and --name do not go with a stack file")
	}
	s, err := readStack(file, p.layers.environ)
	if err != nil {
		return nil, "", err
	}
	list, err := s.deployments()
	if err != nil {
		return nil, "", err
	}
	for _, name := range d.What {
		if _, ok := s.Functions[name]; !ok {
			return nil, "", &backends.FieldError{Field: "function", Value: name, Allowed: "one of " + file}
		}
	}
	list = slices.DeleteFunc(list, func(f backends.FunctionDeployment) bool {
		return len(d.What) > 0 && !slices.Contains(d.What, f.Service)
	})
	for i := range list {
		if err := d.override(&list[i]); err != nil {
			return nil, "", err
		}
	}
	return list, s.Provider.Gateway, nil
}

// single is the one function that the command line describes.
func (d *deployCommand) single() (backends.FunctionDeployment, error) {
	f := backends.FunctionDeployment{
		Service: d.Name, Image: d.Image, Constraints: d.Constraint,
		EnvVars: map[string]string{}, Labels: map[string]string{}, Annotations: map[string]string{},
	}
	switch {
	case d.Exec != "" && (d.Image != "" || d.FProcess != ""):
		return f, errors.New("--exec does not go with --image and --fprocess")
	case d.Exec != "":
		f.Image, f.EnvProcess = backends.ImageProgram, d.Exec
	}
	switch {
	case len(d.What) > 1:
		return f, fmt.Errorf("%q and %q: one at a time, or a stack file", d.What[0], d.What[1])
	case len(d.What) == 1 && f.Image == "":
		f.Image = d.What[0]
		if _, known := store.Lookup(f.Image); known {
			f.Image = store.Prefix + f.Image
		}
	case len(d.What) == 1 && d.Name != "":
		return f, fmt.Errorf("%q: the name is given twice, here and with --name", d.What[0])
	case len(d.What) == 1:
		f.Service = d.What[0]
	}
	if f.Service == "" && d.Exec != "" {
		return f, errors.New("--exec needs the function's name: hearth deploy NAME --exec COMMAND")
	}
	if f.Service == "" {
		f.Service = nameOf(f.Image)
	}
	return f, d.override(&f)
}

// override lets flags add to and replace what a stack file says.
func (d *deployCommand) override(f *backends.FunctionDeployment) error {
	for _, m := range []struct{ into, from map[string]string }{{f.EnvVars, d.Env}, {f.Labels, d.Label}, {f.Annotations, d.Annotation}} {
		for k, v := range m.from {
			m.into[k] = v
		}
	}
	f.Secrets = append(f.Secrets, d.Secret...)
	if d.FProcess != "" {
		f.EnvProcess = d.FProcess
	}
	if d.Memory != "" || d.CPU != "" {
		if f.Limits == nil {
			f.Limits = &backends.Resources{}
		}
		if d.Memory != "" {
			f.Limits.Memory = d.Memory
		}
		if d.CPU != "" {
			f.Limits.CPU = d.CPU
		}
	}
	f.ReadOnlyRootFilesystem = f.ReadOnlyRootFilesystem || d.ReadOnly
	if d.Namespace != "" {
		f.Namespace = d.Namespace
	}
	_, err := f.Function() // all faults at once, before anything is sent
	return err
}

// findStack gives the stack file of a directory, empty if it has none.
func findStack(dir string) string {
	for _, name := range [...]string{"stack.yaml", "stack.yml"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// nameOf makes a function's name of an image: its last part without tag,
// digest and file type, other characters as dashes.
func nameOf(image string) string {
	name, _, _ := strings.Cut(path.Base(filepath.ToSlash(image)), "@")
	name, _, _ = strings.Cut(name, ":")
	if ext := filepath.Ext(name); slices.Contains(moduleTypes, ext) {
		name = strings.TrimSuffix(name, ext)
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	return strings.Trim(name[:min(len(name), 63)], "-")
}

// deploy uploads a function's module if its image is a path, deploys it, and
// waits until it can answer.
func deploy(ctx context.Context, c *client.Client, f backends.FunctionDeployment, wait time.Duration) (deployed, error) {
	if isModulePath(f.Image) {
		image, err := upload(ctx, c, f.Image)
		if err != nil {
			return deployed{}, err
		}
		f.Image = image
	}
	key, err := backends.NewKey(f.Namespace, f.Service)
	if err != nil {
		return deployed{}, err
	}
	isNew, err := c.Deploy(ctx, f)
	if err == nil {
		err = awaitReady(ctx, c, key, wait)
	}
	return deployed{key.Name, key.Namespace, f.Image, callURL(c, key), isNew}, err
}

// upload stores a module on the gateway and gives the image that names it.
func upload(ctx context.Context, c *client.Client, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", &backends.FieldError{Field: "image", Value: path, Allowed: "a readable file: " + reason(err)}
	}
	defer file.Close()
	m, err := c.PutModule(ctx, file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return m.Image, nil
}

// awaitReady waits until a function that should have replicas has one.
func awaitReady(ctx context.Context, c *client.Client, key backends.Key, wait time.Duration) error {
	for end := time.Now().Add(wait); wait > 0; {
		status, err := c.Get(ctx, key)
		switch {
		case err != nil:
			return err
		case status.AvailableReplicas > 0 || status.Replicas == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("it is deployed but not ready after %s: %s", wait, status.Problem)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// callURL is where a function is called.
func callURL(c *client.Client, key backends.Key) string {
	if key.Namespace == backends.DefaultNamespace {
		return c.Gateway() + "/function/" + key.Name
	}
	return c.Gateway() + "/function/" + key.String()
}
