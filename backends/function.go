package backends

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Function is what a person asks for: FunctionDeployment of the OpenFaaS API.
type Function struct {
	Key
	Image        string
	Process      string // envProcess: the command line, split at spaces
	Env          map[string]string
	Constraints  []string
	Secrets      []string
	Labels       map[string]string
	Annotations  map[string]string
	Limits       *Resources
	Requests     *Resources
	ReadOnlyRoot bool
}

// Resources are quantities as Kubernetes writes them, kept as they were given.
type Resources struct {
	Memory    string `json:"memory,omitempty"`
	CPU       string `json:"cpu,omitempty"`
	NvidiaGPU string `json:"nvidia.com/gpu,omitempty"`
	AMDGPU    string `json:"amd.com/gpu,omitempty"`
	IntelGPU  string `json:"intel.com/gpu,omitempty"`
}

// Status is a function and what has become of it.
type Status struct {
	Function
	Replicas   int       // wanted
	Available  int       // able to answer now
	Created    time.Time // of the function, not of its last update
	Generation int64     // grows with every change of the function, not of its replicas
	Problem    string    // why fewer are available than wanted; empty if none
}

// FunctionLabel is the label that the platform adds to every function, with
// its name as the value; clients rely on it.
const FunctionLabel = "faas_function"

// ImageProgram is the image of a function that is a program of the machine the
// server runs on; its command line is Process.
const ImageProgram = "exec:"

// IsProgram tells whether the function is a program of this machine.
func (f *Function) IsProgram() bool { return strings.HasPrefix(f.Image, ImageProgram) }

// Limits of what one function may carry. They keep a deployment within what
// every backend can store.
const (
	maxImage       = 1024
	maxProcess     = 32 << 10
	maxPairs       = 256
	maxValue       = 64 << 10
	maxAnnotations = 256 << 10
	maxSecrets     = 64
)

// Clone makes a deep copy.
func (f Function) Clone() Function {
	f.Env, f.Labels, f.Annotations = maps.Clone(f.Env), maps.Clone(f.Labels), maps.Clone(f.Annotations)
	f.Constraints, f.Secrets = slices.Clone(f.Constraints), slices.Clone(f.Secrets)
	f.Limits, f.Requests = cloneResources(f.Limits), cloneResources(f.Requests)
	return f
}

func cloneResources(r *Resources) *Resources {
	if r == nil {
		return nil
	}
	c := *r
	return &c
}

// Validate checks everything that can be said without a backend, keys and
// policies included, and returns one error listing all faults.
func (f Function) Validate() error {
	var faults Faults
	faults.AddErr(ValidateName("service", f.Name))
	if _, err := ParseNamespace(f.Namespace); err != nil {
		faults.AddErr(err)
	}
	validateText(&faults, "image", f.Image, maxImage, true)
	if strings.ContainsAny(f.Image, " \t") {
		faults.Add("image", f.Image, "no spaces")
	}
	validateText(&faults, "envProcess", f.Process, maxProcess, false)
	validatePairs(&faults, "envVars", f.Env, envName)
	validatePairs(&faults, "labels", f.Labels, keyName)
	validatePairs(&faults, "annotations", f.Annotations, keyName)
	if n := len(f.Secrets); n > maxSecrets {
		faults.Add("secrets", f.Secrets[0]+", ...", "at most 64")
	}
	seen := map[string]bool{}
	for _, s := range f.Secrets {
		faults.AddErr(ValidateSecretName(s))
		if seen[s] {
			faults.Add("secrets", s, "each name once")
		}
		seen[s] = true
	}
	for _, c := range f.Constraints {
		validateText(&faults, "constraints", c, maxValue, true)
	}
	f.Limits.validate(&faults, "limits")
	f.Requests.validate(&faults, "requests")
	validateKeys(&faults, f) // and with that all of CallPolicyOf
	_, err := ScalePolicyOf(f, DefaultScale)
	faults.AddErr(err)
	return faults.Err()
}

func (r *Resources) validate(faults *Faults, field string) {
	if r == nil {
		return
	}
	if r.Memory != "" {
		_, err := ParseMemory(field+".memory", r.Memory)
		faults.AddErr(err)
	}
	if r.CPU != "" {
		_, err := ParseCPU(field+".cpu", r.CPU)
		faults.AddErr(err)
	}
	for _, gpu := range [...]struct{ name, count string }{{"nvidia.com/gpu", r.NvidiaGPU}, {"amd.com/gpu", r.AMDGPU}, {"intel.com/gpu", r.IntelGPU}} {
		if _, ok := parseCount(gpu.count); gpu.count != "" && !ok {
			faults.Add(field+"."+gpu.name, gpu.count, "a whole number")
		}
	}
}

// validateText allows any UTF-8 without control characters up to a length.
func validateText(faults *Faults, field, value string, most int, required bool) {
	switch {
	case value == "" && required:
		faults.Add(field, value, "it must be given")
	case len(value) > most:
		faults.Add(field, value, "at most "+itoa(most)+" bytes")
	case !utf8.ValidString(value) || strings.ContainsFunc(value, isControl):
		faults.Add(field, value, "text without control characters")
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// validatePairs allows any text without NUL as a value: annotations span lines.
func validatePairs(faults *Faults, field string, pairs map[string]string, name func(string) string) {
	if len(pairs) > maxPairs {
		faults.Add(field, itoa(len(pairs))+" entries", "at most "+itoa(maxPairs))
		return
	}
	total := 0
	for _, k := range slices.Sorted(maps.Keys(pairs)) {
		v := pairs[k]
		total += len(k) + len(v)
		if allowed := name(k); allowed != "" {
			faults.Add(field, k, allowed)
		}
		if len(v) > maxValue || strings.IndexByte(v, 0) >= 0 || !utf8.ValidString(v) {
			faults.Add(field+"["+k+"]", v, "UTF-8 without NUL, at most "+itoa(maxValue)+" bytes")
		}
	}
	if total > maxAnnotations {
		faults.Add(field, itoa(total)+" bytes", "at most "+itoa(maxAnnotations)+" in all")
	}
}

// envName gives what is allowed if s cannot name an environment variable.
func envName(s string) string {
	if s == "" || len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '=' || r == 0x7f }) {
		return "a name without spaces, '=' and control characters, at most 256 bytes"
	}
	return ""
}

// keyName gives what is allowed if s cannot name a label or annotation.
func keyName(s string) string {
	const most = 317 // a DNS subdomain, a slash, a name of 63: Kubernetes' bound
	ok := s != "" && len(s) <= most
	for i := 0; ok && i < len(s); i++ {
		c := s[i] | 0x20
		ok = c >= 'a' && c <= 'z' || s[i] >= '0' && s[i] <= '9' || strings.IndexByte("-_./", s[i]) >= 0
	}
	if !ok {
		return "a name of letters, digits and '-_./', at most 317 bytes"
	}
	return ""
}

// SortStatuses orders by namespace and name, as List promises.
func SortStatuses(list []Status) {
	slices.SortFunc(list, func(a, b Status) int { return a.Key.Compare(b.Key) })
}
