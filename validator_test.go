package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// labelAlphabets are the files that know letters, digits and '-' as an
// alphabet, and what for.
var labelAlphabets = map[string]string{
	"backends/key.go":       "the validator",
	"gateway/http1/call.go": "call ids",
}

// TestNamesHaveOneValidator looks for a second opinion on what a name is: two
// validators that differ are how a name slips past one to mean something to
// the other.
func TestNamesHaveOneValidator(t *testing.T) {
	alphabet := regexp.MustCompile(`'a'.*'z'.*'0'.*'9'.*'-'|\[-?a-z0-9-?\]`)
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && (d.Name() == "testdata" || d.Name() == ".git") {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !alphabet.Match(text) {
			return err
		}
		path = filepath.ToSlash(path)
		seen[path] = true
		if labelAlphabets[path] == "" {
			t.Errorf("%s knows the alphabet of names (%s): use backends.ParseKey, NewKey, ParseNamespace or ValidateSecretName for names, "+
				"or say here what else it is for", path, alphabet.Find(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range labelAlphabets {
		if !seen[path] {
			t.Errorf("%s has no alphabet any more: take it off the list", path)
		}
	}
}
