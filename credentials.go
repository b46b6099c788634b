package main

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"hearth/backends"
	"hearth/gateway"
)

// Files of the credentials, named as OpenFaaS' secrets are.
const (
	userFile     = "basic-auth-user"
	passwordFile = "basic-auth-password"
)

// maxCredential bounds user and password each, in bytes.
const maxCredential = 256

// readCredentials reads the two files in dir. The field names the directory in
// errors.
func readCredentials(field, dir string) (*gateway.Credentials, error) {
	user, err := readCredential(field, filepath.Join(dir, userFile))
	if err != nil {
		return nil, err
	}
	if strings.Contains(user, ":") {
		return nil, &backends.FieldError{Field: field, Value: dir, Allowed: "a directory whose file " + userFile + " holds no ':'"}
	}
	password, err := readCredential(field, filepath.Join(dir, passwordFile))
	if err != nil {
		return nil, err
	}
	return &gateway.Credentials{User: user, Password: password}, nil
}

// readCredential reads one line of text; its content is in no error.
func readCredential(field, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", &backends.FieldError{Field: field, Value: path, Allowed: "a readable file: " + reason(err)}
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" || len(text) > maxCredential || strings.ContainsAny(text, "\r\n\x00") {
		return "", &backends.FieldError{Field: field, Value: path, Allowed: "a file of one line of 1 to 256 bytes"}
	}
	return text, nil
}

// makeCredentials reads the credentials in dir, or makes them at the first
// start: the user admin and a random password of 130 bits.
func makeCredentials(field, dir string) (*gateway.Credentials, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for name, content := range map[string]string{userFile: "admin", passwordFile: rand.Text()} {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			if err := writeFileDurably(path, []byte(content)); err != nil {
				return nil, err
			}
		}
	}
	return readCredentials(field, dir)
}
