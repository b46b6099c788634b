package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"syscall"

	"hearth/backends"
	"hearth/gateway/client"
)

// defaultGateway is where a server without flags answers.
const defaultGateway = "http://127.0.0.1:8080"

// connection is what every command that talks to a gateway takes.
type connection struct {
	Gateway string `short:"g" placeholder:"URL" help:"Gateway; by default that of the stack file, $$OPENFAAS_URL, or http://127.0.0.1:8080."`
}

// output is how a command prints what it found.
type output struct {
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (o output) json() bool { return o.Output == "json" }

// inNamespace is where the functions and secrets of a command are.
type inNamespace struct {
	Namespace string `short:"n" placeholder:"NAME" help:"Namespace; openfaas-fn by default."`
}

// key names a function; NAME.NAMESPACE may name the namespace too.
func (n inNamespace) key(name string) (backends.Key, error) {
	key, err := backends.ParseKey(name)
	if err == nil && n.Namespace != "" {
		key, err = backends.NewKey(n.Namespace, key.Name)
	}
	if err != nil {
		return key, &usageError{err}
	}
	return key, nil
}

// connect gives a client of the gateway that is meant, with the credentials
// that are known for it: those of a login, else on this machine those in the
// server's data directory. The gateway of a stack file goes before the
// environment, as in faas-cli.
func (c *connection) connect(p *process, ofStack string) (*client.Client, error) {
	gateway := cmp.Or(c.Gateway, ofStack, p.layers.environ["OPENFAAS_URL"], defaultGateway)
	open, err := client.New(gateway, "", "")
	if err != nil {
		return nil, &usageError{err}
	}
	user, password, err := p.credentialsFor(open.Gateway())
	if err != nil || user == "" {
		return open, err
	}
	return client.New(gateway, user, password)
}

// credentialsFor finds user and password, empty if there are none to be found.
func (p *process) credentialsFor(gateway string) (user, password string, err error) {
	known, err := readLogins(loginsPath(p.layers.environ))
	if err != nil {
		return "", "", err
	}
	if user, password, ok := known.find(gateway); ok {
		return user, password, nil
	}
	u, err := url.Parse(gateway)
	if err != nil || !isLoopback(u.Hostname()) {
		return "", "", nil
	}
	dir := p.layers.environ["HEARTH_DATA_DIR"]
	if dir == "" {
		if dir, err = defaultDataDir(p.layers.environ); err != nil {
			return "", "", nil
		}
	}
	if found, err := readCredentials("", filepath.Join(dir, "credentials")); err == nil {
		return found.User, found.Password, nil
	}
	return "", "", nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// explain adds what to do to an error of a request.
func explain(c *client.Client, err error) error {
	switch {
	case errors.Is(err, client.ErrUnauthorized):
		return fmt.Errorf("%w; log in with: hearth login --gateway %s", err, c.Gateway())
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s; start a server with hearth, or name another with --gateway", c.Gateway())
	}
	return err
}

// printJSON prints a value for programs.
func (p *process) printJSON(value any) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
