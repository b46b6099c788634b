package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"hearth/backends"
)

// openFaaSName is a name of the environment of OpenFaaS' gateway.
type openFaaSName struct {
	env  string
	flag string // acts as this flag; empty: see note and refuse
	// note says why it does not act. With refuse it cannot be ignored, because
	// what it asks for would silently be missing.
	note   string
	refuse bool
	toBool func(string) bool // how OpenFaaS reads it; nil = as it is
}

func (n openFaaSName) convert(v string) string {
	if n.toBool == nil {
		return v
	}
	if n.toBool(v) {
		return "true"
	}
	return "false"
}

// openFaaSNames lists every name of the OpenFaaS gateway and its chart.
func openFaaSNames() []openFaaSName {
	isTrue := func(v string) bool { return v == "true" }
	isSet := func(string) bool { return true }
	const elsewhere = "the gateway finds functions itself"
	return []openFaaSName{
		{env: "upstream_timeout", flag: "timeout"},
		{env: "read_timeout", flag: "header-timeout"},
		{env: "write_timeout", flag: "write-timeout"},
		{env: "basic_auth", flag: "basic-auth", toBool: isTrue},
		{env: "secret_mount_path", flag: "secret-mount-path"},
		{env: "scale_from_zero", flag: "scale-from-zero", toBool: isTrue},
		{env: "function_namespace", flag: "function-namespace"},
		{env: "write_request_uri", flag: "call-log", toBool: isSet},

		{env: "functions_provider_url", flag: "provider-url"},
		{env: "auth_proxy_url", refuse: true, note: "a proxy that checks users, which Hearth does not ask: use basic auth and unset it"},

		{env: "auth_proxy_pass_body", note: "there is no auth proxy"},
		{env: "logs_provider_url", note: "the gateway keeps the logs itself"},
		{env: "faas_nats_address", note: "this build has no asynchronous calls"},
		{env: "faas_nats_port", note: "this build has no asynchronous calls"},
		{env: "faas_nats_cluster_name", note: "this build has no asynchronous calls"},
		{env: "faas_nats_channel", note: "this build has no asynchronous calls"},
		{env: "faas_prometheus_host", note: "the gateway counts calls itself"},
		{env: "faas_prometheus_port", note: "the gateway counts calls itself"},
		{env: "max_idle_conns", note: "functions run in this process"},
		{env: "max_idle_conns_per_host", note: "functions run in this process"},
		{env: "direct_functions", note: elsewhere},
		{env: "direct_functions_suffix", note: elsewhere},
		{env: "probe_functions", note: elsewhere},
		{env: "probe_interval", note: elsewhere},
		{env: "probe_count", note: elsewhere},
	}
}

// checkEnviron refuses names that mean nothing to us but look as if they did,
// and notes OpenFaaS' names that do not act.
func (l *layers) checkEnviron(faults *backends.Faults) {
	for _, n := range openFaaSNames() {
		value, ok := l.environ[n.env]
		switch {
		case ok && n.refuse:
			faults.Add(n.env, value, "not "+n.note)
		case ok && n.flag == "":
			l.warnings = append(l.warnings, "the environment variable "+n.env+" is ignored: "+n.note)
		}
	}
	known := map[string]bool{}
	for _, s := range settings() {
		known[envName(s.flag)] = s.flag != "print-config"
	}
	for _, name := range slices.Sorted(maps.Keys(l.environ)) {
		if strings.HasPrefix(name, "HEARTH_") && !known[name] && !serviceLink(name) {
			faults.Add("environment variable", name, "HEARTH_ followed by a flag's name in capitals: "+settingNames())
		}
	}
}

// serviceLink reports whether Kubernetes sets a variable of that name in every
// pod because of a Service named hearth or hearth-SOMETHING.
func serviceLink(name string) bool {
	return strings.HasPrefix(name, "HEARTH_PORT") || strings.HasPrefix(name, "HEARTH_SERVICE_") ||
		regexp.MustCompile(`^HEARTH_[A-Z0-9_]+_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$`).MatchString(name)
}
