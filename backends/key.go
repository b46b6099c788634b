package backends

import "strings"

// DefaultNamespace is the namespace that clients mean when they name none, and
// the one faas-cli appends literally. A backend may map it to another name of
// its own.
const DefaultNamespace = "openfaas-fn"

// Key names a function. Both parts are DNS labels; only ParseKey and NewKey
// make one from text.
type Key struct{ Namespace, Name string }

// String is the form NAME.NAMESPACE, used in metrics and messages.
func (k Key) String() string { return k.Name + "." + k.Namespace }

// Compare orders keys by namespace, then by name.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

// ParseKey reads NAME or NAME.NAMESPACE, where the text after the last dot is
// the namespace. ErrInvalid if either part is not a valid name.
func ParseKey(text string) (Key, error) {
	name, namespace := text, ""
	if i := strings.LastIndexByte(text, '.'); i >= 0 {
		name, namespace = text[:i], text[i+1:]
		if namespace == "" {
			return Key{}, ValidateName("namespace", namespace)
		}
	}
	return NewKey(namespace, name)
}

// NewKey makes a key of its parts; an empty namespace is the default one.
func NewKey(namespace, name string) (Key, error) {
	if err := ValidateName("name", name); err != nil {
		return Key{}, err
	}
	namespace, err := ParseNamespace(namespace)
	if err != nil {
		return Key{}, err
	}
	return Key{Namespace: namespace, Name: name}, nil
}

// reservedNamespaces belong to the cluster's own parts.
var reservedNamespaces = [...]string{"kube-system", "kube-public", "kube-node-lease"}

// ParseNamespace checks a namespace's name; empty is the default one.
func ParseNamespace(name string) (string, error) {
	if name == "" {
		return DefaultNamespace, nil
	}
	if err := ValidateName("namespace", name); err != nil {
		return "", err
	}
	for _, r := range reservedNamespaces {
		if name == r {
			return "", &FieldError{"namespace", name, "it belongs to the cluster itself"}
		}
	}
	return name, nil
}

// ValidateSecretName checks the name of a secret: DNS labels joined by dots,
// at most 253 bytes, as Kubernetes has it.
func ValidateSecretName(name string) error {
	const most = 253
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) || len(name) > most {
			return &FieldError{"secret name", name, "lower case letters, digits, '-' and '.', at most 253, parts begin and end with a letter or digit"}
		}
	}
	return nil
}

// ValidateName is the one check of names of functions and namespaces: a DNS
// label of RFC 1123, 1 to 63 of a-z, 0-9 and '-', no '-' at either end.
func ValidateName(field, name string) error {
	if !isLabel(name) {
		return &FieldError{field, name, "1 to 63 lower case letters, digits and '-', beginning and ending with a letter or digit"}
	}
	return nil
}

func isLabel(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
