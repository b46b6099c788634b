package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"hearth/backends"
	"hearth/backends/inproc/store"
	"hearth/gateway/client"
)

// quiet is how long files must rest before they are read again: a compiler
// writes in many pieces.
const quiet = 150 * time.Millisecond

// devCommand serves, deploys what it is pointed at, and deploys again whatever
// changes.
type devCommand struct {
	What   []string `arg:"" optional:"" help:"Stack files, directories with one or with .wasm or .js files, such files, functions of the store; by default this directory."`
	Config `embed:""`
}

// Run serves until a signal.
func (d *devCommand) Run(ctx context.Context, p *process) error {
	if err := d.prepare(p); err != nil {
		return err
	}
	if d.PrintConfig {
		return d.print(p.stdout, &p.layers.origins)
	}
	if len(d.What) == 0 {
		d.What = []string{"."}
	}
	if _, _, err := d.gather(p); err != nil {
		return &usageError{err}
	}
	return d.serve(ctx, p, func(ctx context.Context, s *server) error { return d.follow(ctx, p, s) })
}

// gather reads what is to be deployed, and which directories tell of changes.
func (d *devCommand) gather(p *process) (list []backends.FunctionDeployment, dirs []string, err error) {
	for _, what := range d.What {
		functions, files, err := gatherOne(what, p.layers.environ)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, functions...)
		for _, f := range functions {
			if isModulePath(f.Image) {
				files = append(files, f.Image)
			}
		}
		for _, f := range files {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	seen := map[string]bool{}
	for _, f := range list {
		if _, err := f.Function(); err != nil {
			return nil, nil, fmt.Errorf("function %s: %w", f.Service, err)
		}
		if id := f.Service + "." + f.Namespace; seen[id] {
			return nil, nil, &backends.FieldError{Field: "function", Value: f.Service, Allowed: "each name once"}
		} else {
			seen[id] = true
		}
	}
	slices.Sort(dirs)
	return list, slices.Compact(dirs), nil
}

// gatherOne reads one argument: the functions it means, and the files that say
// so besides their modules.
func gatherOne(what string, environ map[string]string) (functions []backends.FunctionDeployment, files []string, err error) {
	single := func(image string) []backends.FunctionDeployment {
		return []backends.FunctionDeployment{{Service: nameOf(image), Image: image}}
	}
	info, statErr := os.Stat(what)
	file := what
	switch {
	case statErr == nil && info.IsDir():
		if file = findStack(what); file == "" {
			return gatherModules(what)
		}
	case isModulePath(what):
		return single(what), nil, nil
	case statErr != nil:
		name := strings.TrimPrefix(what, store.Prefix)
		if _, known := store.Lookup(name); !known {
			return nil, nil, &backends.FieldError{Field: "argument", Value: what, Allowed: "a directory, a stack file, a .wasm or .js file or a function of the store (hearth store list)"}
		}
		return single(store.Prefix + name), nil, nil
	}
	s, err := readStack(file, environ)
	if err != nil {
		return nil, nil, err
	}
	functions, err = s.deployments()
	return functions, s.files(), err
}

// gatherModules makes one function of every module in a directory.
func gatherModules(dir string) (functions []backends.FunctionDeployment, files []string, err error) {
	var modules []string
	for _, ext := range moduleTypes {
		found, err := filepath.Glob(filepath.Join(dir, "*"+ext))
		if err != nil {
			return nil, nil, err
		}
		modules = append(modules, found...)
	}
	if len(modules) == 0 {
		return nil, nil, &backends.FieldError{Field: "directory", Value: dir, Allowed: "one with a stack.yaml or .wasm or .js files"}
	}
	for _, m := range modules {
		functions = append(functions, backends.FunctionDeployment{Service: nameOf(m), Image: m})
	}
	return functions, []string{filepath.Join(dir, "stack.yaml")}, nil
}

// follow deploys what is there and whatever changes until ctx ends.
func (d *devCommand) follow(ctx context.Context, p *process, s *server) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer watcher.Close()
	f := &follower{dev: d, process: p, client: c, known: map[backends.Key]string{}}
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
			for _, dir := range f.sync(ctx) {
				if err := watcher.Add(dir); err != nil { // adding twice is no error
					fmt.Fprintf(p.stderr, "hearth: changes in %s are not seen: %v\n", dir, err)
				}
			}
		case _, open := <-watcher.Events:
			if !open {
				return errors.New("the watcher of files ended")
			}
			rest.Reset(quiet)
		case err := <-watcher.Errors:
			fmt.Fprintf(p.stderr, "hearth: watch files: %v\n", err)
			rest.Reset(quiet)
		}
	}
}

// client talks to this server itself.
func (s *server) client() (*client.Client, error) {
	user, password := "", ""
	if s.credentials != nil {
		user, password = s.credentials.User, s.credentials.Password
	}
	c, err := client.New(s.url(), user, password)
	if err != nil || s.tls == nil {
		return c, err
	}
	// Our own listener on this machine: its certificate names other hosts.
	return c.WithTransport(&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}), nil
}

// follower keeps what is deployed like what the files say.
type follower struct {
	dev     *devCommand
	process *process
	client  *client.Client
	known   map[backends.Key]string // what was tried last, as a digest
}

// sync deploys what changed and removes what is gone. A fault leaves the
// version before. It gives the directories to watch.
func (f *follower) sync(ctx context.Context) []string {
	list, dirs, err := f.dev.gather(f.process)
	if err != nil {
		f.complain("%v; everything stays as it is", err)
		return nil
	}
	wanted := map[backends.Key]bool{}
	for _, function := range list {
		key, err := backends.NewKey(function.Namespace, function.Service)
		if err != nil {
			f.complain("%v", err)
			continue
		}
		wanted[key] = true
		digest := fingerprint(function)
		before, again := f.known[key]
		if before == digest || ctx.Err() != nil {
			continue
		}
		f.known[key] = digest
		done, err := deploy(ctx, f.client, function, time.Duration(f.dev.Timeout))
		switch {
		case err != nil && again:
			f.complain("%s: %v; the version before goes on", key.Name, err)
		case err != nil:
			f.complain("%s: %v", key.Name, err)
		case again:
			fmt.Fprintf(f.process.stdout, "%s: %s (changed)\n", key.Name, done.URL)
		default:
			fmt.Fprintf(f.process.stdout, "%s: %s\n", key.Name, done.URL)
		}
	}
	for key := range f.known {
		if wanted[key] {
			continue
		}
		if err := f.client.Delete(ctx, key); err != nil && !errors.Is(err, backends.ErrNotFound) {
			f.complain("remove %s: %v", key.Name, err)
			continue
		}
		delete(f.known, key)
		fmt.Fprintf(f.process.stdout, "%s: removed\n", key.Name)
	}
	return dirs
}

func (f *follower) complain(format string, args ...any) {
	fmt.Fprintf(f.process.stderr, "hearth: "+format+"\n", args...)
}

// fingerprint changes with the function and with its module's bytes.
func fingerprint(f backends.FunctionDeployment) string {
	text, err := json.Marshal(f)
	if err != nil {
		return err.Error()
	}
	sum := sha256.New()
	sum.Write(text)
	if isModulePath(f.Image) {
		content, err := os.ReadFile(f.Image)
		fmt.Fprint(sum, err)
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
