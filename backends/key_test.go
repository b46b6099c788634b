package backends_test

import (
	"errors"
	"strings"
	"testing"

	"hearth/backends"
)

func TestParseKeyReadsNameAndNamespace(t *testing.T) {
	long := strings.Repeat("a", 63)
	for text, want := range map[string]backends.Key{
		"hello":             {Namespace: "openfaas-fn", Name: "hello"},
		"hello.openfaas-fn": {Namespace: "openfaas-fn", Name: "hello"},
		"hello.blue":        {Namespace: "blue", Name: "hello"},
		"0":                 {Namespace: "openfaas-fn", Name: "0"},
		"a--b.c-9":          {Namespace: "c-9", Name: "a--b"},
		long + "." + long:   {Namespace: long, Name: long},
	} {
		got, err := backends.ParseKey(text)
		if err != nil || got != want {
			t.Errorf("ParseKey(%q) gave %v, %v; want %v", text, got, err, want)
		}
		if again, err := backends.ParseKey(got.String()); err != nil || again != got {
			t.Errorf("ParseKey(%q) gave %v, %v; want %v", got.String(), again, err, got)
		}
	}
}

// badNames are the forms of reliability's names and paths.
var badNames = []string{
	".", "..", "../up", "..%2fup", "%2e%2e", "%252e", "a/b", "/etc/passwd", `a\b`, "a\x00b", "a b", "a\nb", ".hidden", "-dash", "dash-",
	"a_b", "Upper", "a..b", "a.", "naïve", "\u0430dmin", "\uff41", "a\u200bb", "\u202eolleh", "*", "~", "a?b", "a#b", "a:b", "a@b",
	strings.Repeat("a", 64), strings.Repeat("a", 10<<10), "\xff", "a.\xff",
}

func TestNamesOutsideTheRuleAreInvalidAndCutInTheError(t *testing.T) {
	check := func(what, value string, err error) {
		t.Helper()
		if !errors.Is(err, backends.ErrInvalid) {
			t.Errorf("%s(%.40q) gave %v; want an error of kind invalid", what, value, err)
		} else if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%s(%.40q): the error has %d bytes or control characters: %.200q", what, value, len(err.Error()), err)
		}
	}
	for _, name := range append(badNames, "", "a.b.c") {
		_, err := backends.ParseKey(name)
		check("ParseKey", name, err)
		check("ValidateName", name, backends.ValidateName("name", name))
		_, err = backends.NewKey("", name)
		check("NewKey", name, err)
		if name == "" {
			continue // the default namespace
		}
		_, err = backends.NewKey(name, "hello")
		check("NewKey namespace", name, err)
	}
	for _, name := range append(badNames, "", strings.Repeat("a.", 130)+"a") {
		check("ValidateSecretName", name, backends.ValidateSecretName(name))
	}
	for _, name := range []string{"kube-system", "kube-public", "kube-node-lease"} {
		_, err := backends.ParseNamespace(name)
		check("ParseNamespace", name, err)
	}
}

func TestSecretNamesMayHaveDots(t *testing.T) {
	for _, name := range []string{"a", "tls.crt", "a.b.c", "0-9", strings.Repeat("a.", 126) + "a"} {
		if err := backends.ValidateSecretName(name); err != nil {
			t.Errorf("ValidateSecretName(%q) gave %v", name, err)
		}
	}
}

func TestKeysAreOrderedByNamespaceThenName(t *testing.T) {
	order := []backends.Key{{"a", "b"}, {"a", "c"}, {"b", "a"}}
	for i, a := range order {
		for j, b := range order {
			if got := a.Compare(b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%v.Compare(%v) is %d", a, b, got)
			}
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range append(badNames, "hello", "hello.blue", "a.b.c", "") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := backends.ParseKey(text)
		if err != nil {
			if !errors.Is(err, backends.ErrInvalid) || key != (backends.Key{}) {
				t.Fatalf("ParseKey(%q) gave %v, %v", text, key, err)
			}
			return
		}
		for _, part := range []string{key.Namespace, key.Name} {
			if part == "" || len(part) > 63 || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
				t.Fatalf("ParseKey(%q) let %q through", text, part)
			}
		}
		if again, err := backends.ParseKey(key.String()); err != nil || again != key {
			t.Fatalf("ParseKey(%q) gave %v, %v; want %v", key.String(), again, err, key)
		}
	})
}
