package main

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"hearth/backends"
	"hearth/backends/inproc/store"
)

// validate checks what no field can say alone. ErrInvalid lists all faults.
func (c *Config) validate(from *origins) error {
	v := &validator{from: from}
	v.oneOf("backend", c.Backend, "local", "provider")
	v.provider(c)
	v.oneOf("log-format", c.LogFormat, "text", "json")
	v.oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error")
	v.auth(c)
	v.exec(c)
	v.tls(c)
	v.listeners(c)
	v.directory("module-dir", c.ModuleDir)
	v.directory("secret-mount-path", c.SecretMountPath)
	for _, p := range c.TrustedProxies {
		if _, err := parseNetwork(p); err != nil {
			v.add("trusted-proxies", p, "networks such as 10.0.0.0/8 or addresses, separated by commas")
		}
	}
	for _, h := range c.AllowedHosts {
		if h == "" || strings.ContainsAny(h, "/ :@*") {
			v.add("allowed-hosts", h, "host names without scheme, port and path, separated by commas")
		}
	}
	if _, err := c.aliases(); err != nil {
		v.add("alias", err.value, err.allowed)
	}
	if _, err := c.scalePolicy(); err != nil {
		v.faults.AddErr(err)
	}
	if c.FunctionNamespace != backends.DefaultNamespace {
		v.add("function-namespace", c.FunctionNamespace, backends.DefaultNamespace+", the only name it has on the backend local")
	}
	for _, s := range []struct {
		name  string
		value size
	}{{"max-body", c.MaxBody}, {"max-answer", c.MaxAnswer}, {"max-module", c.MaxModule}, {"module-disk", c.ModuleDisk},
		{"function-log", c.FunctionLog}, {"function-log-all", c.FunctionLogAll}} {
		if s.value < 1<<10 {
			v.add(s.name, s.value.String(), "a size of at least 1Ki")
		}
	}
	if c.Memory != 0 && c.Memory < 64<<20 {
		v.add("memory", c.Memory.String(), "0 for no bound, or a size of at least 64Mi")
	}
	if c.RunSlots < 0 || c.RunSlots > 4096 {
		v.add("run-slots", fmt.Sprint(c.RunSlots), "a whole number from 0 to 4096")
	}
	if c.ModuleDisk < c.MaxModule && v.faults.Err() == nil {
		v.add("module-disk", c.ModuleDisk.String(), "not less than max-module, "+c.MaxModule.String())
	}
	return v.faults.Err()
}

// validator collects faults under the names the user wrote.
type validator struct {
	from   *origins
	faults backends.Faults
}

func (v *validator) add(flag, value, allowed string) { v.faults.Add(v.from.name(flag), value, allowed) }

func (v *validator) oneOf(flag, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.add(flag, value, strings.Join(allowed, ", "))
	}
}

func (v *validator) provider(c *Config) {
	const want = "http:// or https:// and a host, with --backend provider and only there"
	u, err := url.Parse(c.ProviderURL)
	switch used := c.Backend == "provider"; {
	case used != (c.ProviderURL != ""):
		v.add("provider-url", c.ProviderURL, want)
	case used && (err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil):
		v.add("provider-url", c.ProviderURL, want)
	}
	v.directory("provider-credentials", c.ProviderCredentials)
}

func (v *validator) auth(c *Config) {
	switch {
	case c.InsecureNoAuth && c.BasicAuth && v.from.given("basic-auth"):
		v.add("insecure-no-auth", "true", "not together with basic auth; leave one of them out")
	case c.InsecureNoAuth || c.BasicAuth:
	case !c.Listen.loopback():
		v.add("basic-auth", "false", "true, because "+string(c.Listen)+" can be reached from other machines; --insecure-no-auth says that this is meant")
	}
}

func (v *validator) exec(c *Config) {
	switch {
	case !c.AllowExec:
	case c.Backend != "local":
		v.add("allow-exec", "true", "only with --backend local")
	case c.InsecureNoAuth || !c.BasicAuth:
		v.add("allow-exec", "true", "only with basic auth: without credentials anybody could run programs here")
	}
}

func (v *validator) tls(c *Config) {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		v.add("tls-cert", c.TLSCert, "a certificate together with --tls-key, or neither")
	case c.TLSCert != "":
		if _, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			v.add("tls-cert", c.TLSCert, "a PEM certificate that fits --tls-key "+c.TLSKey+": "+err.Error())
		}
	}
}

func (v *validator) listeners(c *Config) {
	host, port, _ := net.SplitHostPort(string(c.Listen))
	mhost, mport, _ := net.SplitHostPort(string(c.MetricsListen))
	if port == mport && port != "0" && (host == mhost || host == "" || mhost == "") {
		v.add("metrics-listen", string(c.MetricsListen), "another port than the API's, "+string(c.Listen))
	}
}

func (v *validator) directory(flag, path string) {
	if path == "" {
		return
	}
	info, err := os.Stat(path)
	if err != nil {
		v.add(flag, path, "a directory that exists: "+reason(err))
	} else if !info.IsDir() {
		v.add(flag, path, "a directory")
	}
}

// parseNetwork reads a network or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Prefix(addr.BitLen())
	}
	return netip.ParsePrefix(text)
}

// proxies gives the trusted networks of a valid configuration.
func (c *Config) proxies() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range c.TrustedProxies {
		if n, err := parseNetwork(p); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// aliases gives the operator's own stand-ins for container images.
func (c *Config) aliases() (map[string]store.Alias, *valueError) {
	aliases := map[string]store.Alias{}
	for _, pair := range c.Alias {
		image, name, ok := strings.Cut(pair, "=")
		name = strings.TrimPrefix(name, store.Prefix)
		if _, known := store.Lookup(name); !ok || image == "" || !known {
			return nil, &valueError{pair, "IMAGE=NAME where NAME is a function of the store (hearth store list)"}
		}
		aliases[image] = store.Alias{Image: image, Function: name}
	}
	return aliases, nil
}

// scalePolicy is the policy of functions that say nothing. Each setting is
// read as the label that it stands for.
func (c *Config) scalePolicy() (backends.ScalePolicy, error) {
	labels := map[string]string{}
	for _, setting := range c.ScaleDefault {
		name, value, _ := strings.Cut(setting, "=")
		label := "com.openfaas.scale." + name
		if slices.ContainsFunc(backends.Keys(), func(k backends.KeyDoc) bool { return k.Name == "com.hearth.scale."+name }) {
			label = "com.hearth.scale." + name
		}
		labels[label] = value
	}
	f := backends.Function{Key: backends.Key{Namespace: backends.DefaultNamespace, Name: "default"}, Image: "default", Labels: labels}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if !slices.Contains(backends.ScaleLabels(), label) {
			return backends.ScalePolicy{}, &backends.FieldError{Field: "--scale-default", Value: label,
				Allowed: "NAME=VALUE with a name of " + strings.Join(backends.ScaleLabels(), ", ") + " after scale."}
		}
	}
	if err := f.Validate(); err != nil {
		return backends.ScalePolicy{}, fmt.Errorf("--scale-default: %w", err)
	}
	return backends.ScalePolicyOf(f, backends.DefaultScale)
}
