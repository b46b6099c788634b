package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"hearth/backends"
	"hearth/gateway/client"
)

// logins is the file in which faas-cli and we keep credentials.
type logins struct {
	Auths []loginEntry `yaml:"auths"`
}

type loginEntry struct {
	Gateway string        `yaml:"gateway"`
	Auth    string        `yaml:"auth"`
	Token   string        `yaml:"token"`
	Options []loginOption `yaml:"options,omitempty"`
}

type loginOption struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

// loginsPath is where faas-cli looks too.
func loginsPath(environ map[string]string) string {
	if dir := environ["OPENFAAS_CONFIG"]; dir != "" {
		return filepath.Join(dir, "config.yml")
	}
	if ci := environ["CI"]; ci == "true" || ci == "1" {
		return filepath.Join(".openfaas", "config.yml")
	}
	return filepath.Join(environ["HOME"], ".openfaas", "config.yml")
}

// readLogins reads the file; one that is not there holds nothing.
func readLogins(path string) (logins, error) {
	var l logins
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	if err := yaml.Unmarshal(data, &l); err != nil {
		// Not the parser's text: it quotes the file, and with it tokens.
		return l, backends.Errorf(backends.ErrInvalid, "%s is not a list of logins; mend or remove it", path)
	}
	return l, nil
}

// find gives user and password for a gateway.
func (l logins) find(gateway string) (user, password string, ok bool) {
	for _, e := range l.Auths {
		if strings.TrimRight(e.Gateway, "/") != gateway || e.Auth != "basic" {
			continue
		}
		text, err := base64.StdEncoding.DecodeString(e.Token)
		if user, password, ok = strings.Cut(string(text), ":"); err == nil && ok {
			return user, password, true
		}
	}
	return "", "", false
}

// set replaces the entry of a gateway.
func (l *logins) set(gateway, user, password string) {
	entry := loginEntry{Gateway: gateway, Auth: "basic", Token: base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	for i, e := range l.Auths {
		if strings.TrimRight(e.Gateway, "/") == gateway {
			l.Auths[i] = entry
			return
		}
	}
	l.Auths = append(l.Auths, entry)
}

// loginCommand keeps credentials for a gateway where faas-cli looks too.
type loginCommand struct {
	Username string `short:"u" default:"admin" help:"User (${default})."`
	Stdin    bool   `name:"password-stdin" short:"s" hidden:"" help:"As with faas-cli; the password always comes from there."`
	connection
}

// Run reads the password from standard input, tries it, and keeps it.
func (l *loginCommand) Run(ctx context.Context, p *process) error {
	c, err := l.connect(p, "")
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(p.stdin, maxCredential+2))
	password := strings.TrimRight(string(text), "\r\n")
	if err != nil || password == "" || len(password) > maxCredential {
		return &usageError{errors.New("standard input must be the password, such as: hearth login < password-file")}
	}
	gateway := c.Gateway()
	if c, err = client.New(gateway, l.Username, password); err != nil {
		return &usageError{err}
	}
	if _, err := c.List(ctx, ""); errors.Is(err, client.ErrUnauthorized) {
		return err // explain would say to log in
	} else if err != nil {
		return explain(c, err)
	}
	path := loginsPath(p.layers.environ)
	known, err := readLogins(path)
	if err != nil {
		return err
	}
	known.set(gateway, l.Username, password)
	data, err := yaml.Marshal(known)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := writeFileDurably(path, data); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "logged in at %s as %s; the credentials are in %s\n", gateway, l.Username, path)
	return err
}
