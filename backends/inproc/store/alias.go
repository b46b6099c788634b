package store

import (
	"slices"
	"strings"
)

// Prefix begins the image names of the store's own functions: store/figlet.
const Prefix = "store/"

// Alias says that a container image, whatever its tag, is stood in for by a function of the store.
type Alias struct {
	Image       string   // repository as people write it, without docker.io/ and without a tag
	Function    string   // name in the store
	Process     []string // instead of the function's own default; nil keeps that
	Annotations map[string]string
	ClassicLog  bool
}

// Aliases lists the images that behave here as their containers do: those of the conformance suite and those that the public
// function store names for the same functions. An image pinned by digest is never one of them: it asks for those very bytes.
func Aliases() []Alias {
	return []Alias{
		{Image: "functions/alpine", Function: "alpine", ClassicLog: true},
		{Image: "functions/figlet", Function: "figlet", ClassicLog: true},
		{Image: "functions/nodeinfo", Function: "nodeinfo"},
		{Image: "ghcr.io/openfaas/alpine", Function: "alpine", ClassicLog: true},
		{Image: "ghcr.io/openfaas/figlet", Function: "figlet", ClassicLog: true},
		{Image: "ghcr.io/openfaas/nodeinfo", Function: "nodeinfo"},
		{Image: "ghcr.io/openfaas/printer", Function: "printer"},
		{Image: "ghcr.io/openfaas/shasum", Function: "sha512sum", ClassicLog: true},
		{Image: "ghcr.io/openfaas/sleep", Function: "sleep"},
		{Image: "theaxer/redirector", Function: "redirect", Process: []string{"./handler"}},
	}
}

// Resolve returns the function that an image name stands for: store/NAME (with the tag latest or none), or an alias with any tag.
// Its Process and Annotations are the defaults for a deployment of that image.
func Resolve(image string) (Function, bool) {
	repository, tag, ok := splitTag(image)
	if !ok {
		return Function{}, false
	}
	if name, own := strings.CutPrefix(repository, Prefix); own && (tag == "" || tag == "latest") {
		return Lookup(name)
	}
	repository = strings.TrimPrefix(repository, "docker.io/")
	aliases := Aliases()
	i := slices.IndexFunc(aliases, func(a Alias) bool { return a.Image == repository })
	if i < 0 {
		return Function{}, false
	}
	return aliases[i].resolve()
}

func (a Alias) resolve() (Function, bool) {
	f, ok := Lookup(a.Function)
	if !ok {
		return Function{}, false
	}
	if a.Process != nil {
		f.Process = slices.Clone(a.Process)
	}
	f.Annotations = merged(f.Annotations, a.Annotations)
	f.ClassicLog = a.ClassicLog
	return f, true
}

// splitTag cuts the tag from an image name; a colon before the last slash belongs to a registry's port. It refuses a digest and an
// empty or malformed tag.
func splitTag(image string) (repository, tag string, ok bool) {
	if strings.Contains(image, "@") {
		return "", "", false
	}
	colon := strings.LastIndexByte(image, ':')
	if colon < strings.LastIndexByte(image, '/') || colon < 0 {
		return image, "", true
	}
	repository, tag = image[:colon], image[colon+1:]
	return repository, tag, validTag(tag)
}

// validTag follows the distribution specification: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func validTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	return strings.IndexFunc(tag, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && r != '_' && r != '.' && r != '-'
	}) < 0
}
