package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// hearth runs one command in this process and gives what it printed.
func hearth(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p := process{args: args, environ: environ, stdin: strings.NewReader(""), stdout: &out, stderr: &errs}
	code = p.run(t.Context())
	return code, out.String(), errs.String()
}

func TestEveryWrongSettingIsRefusedInOneLineThatNamesFieldValueAndWhatIsAllowed(t *testing.T) {
	t.Chdir(t.TempDir()) // errors cut long paths
	const dir = "."
	cert, key := writeCertificate(t, dir)
	file := func(content string) string {
		path := filepath.Join(dir, strings.NewReplacer(" ", "", ":", "", "\n", "", "[", "", "{", "", "/", "").Replace(content)+".yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := filepath.Join(dir, "missing")
	tests := []struct {
		name    string
		args    []string
		environ []string
		want    []string // parts of the one line
	}{
		{"an unknown flag", []string{"--lisen", ":1"}, nil, []string{"--lisen", "--listen"}},
		{"an unexpected argument", []string{"serve", "now"}, nil, []string{"now"}},
		{"an address without a port", []string{"--listen", "localhost"}, nil, []string{"--listen", `"localhost"`, "HOST:PORT"}},
		{"a port above 65535", []string{"--listen", ":70000"}, nil, []string{"--listen", ":70000", "65535"}},
		{"a named port", []string{"--metrics-listen", ":http"}, nil, []string{"--metrics-listen", ":http", "65535"}},
		{"one port for both listeners", []string{"--listen", "127.0.0.1:9", "--metrics-listen", ":9"}, nil, []string{"--metrics-listen", ":9", "another port"}},
		{"an unknown backend", []string{"--backend", "swarm"}, nil, []string{"--backend", "swarm", "local"}},
		{"no credentials for other machines", []string{"--no-basic-auth", "--listen", ":8080"}, nil, []string{"--basic-auth", "--insecure-no-auth"}},
		{"basic auth and none", []string{"--basic-auth", "--insecure-no-auth"}, nil, []string{"--insecure-no-auth", "basic auth"}},
		{"a certificate without a key", []string{"--tls-cert", cert}, nil, []string{"--tls-cert", cert, "--tls-key"}},
		{"a key without a certificate", []string{"--tls-key", key}, nil, []string{"--tls-cert", "--tls-key"}},
		{"a certificate that is not there", []string{"--tls-cert", missing, "--tls-key", key}, nil, []string{"--tls-cert", missing, "no such file"}},
		{"a key in place of a certificate", []string{"--tls-cert", key, "--tls-key", key}, nil, []string{"--tls-cert", key, "PEM"}},
		{"a directory that is not there", []string{"--module-dir", missing}, nil, []string{"--module-dir", missing, "no such file"}},
		{"a file in place of a directory", []string{"--module-dir", cert}, nil, []string{"--module-dir", cert, "directory"}},
		{"credentials that are not there", []string{"--secret-mount-path", missing}, nil, []string{"--secret-mount-path", missing}},
		{"a network that is none", []string{"--trusted-proxies", "10.0.0.0/8,proxy"}, nil, []string{"--trusted-proxies", "proxy", "10.0.0.0/8"}},
		{"a host with a scheme", []string{"--allowed-hosts", "http://x"}, nil, []string{"--allowed-hosts", "http://x", "host names"}},
		{"an alias without a function", []string{"--alias", "functions/x"}, nil, []string{"--alias", "functions/x", "IMAGE=NAME"}},
		{"an alias of an unknown function", []string{"--alias", "functions/x=nope"}, nil, []string{"--alias", "nope", "store"}},
		{"another namespace than the only one", []string{"--function-namespace", "fn"}, nil, []string{"--function-namespace", `"fn"`, "openfaas-fn"}},
		{"a duration without a unit that is no number", []string{"--timeout", "1 minute"}, nil, []string{"--timeout", "1 minute", "30s"}},
		{"a duration of nothing", []string{"--timeout", "0"}, nil, []string{"--timeout", `"0"`, "above 0"}},
		{"a negative duration", []string{"--header-timeout=-5s"}, nil, []string{"--header-timeout", "-5s", "above 0"}},
		{"a duration above a day", []string{"--idle-timeout", "25h"}, nil, []string{"--idle-timeout", "25h", "24h"}},
		{"a write timeout that is none", []string{"--write-timeout", "x"}, nil, []string{"--write-timeout", `"x"`}},
		{"a drain timeout that is none", []string{"--drain-timeout", "x"}, nil, []string{"--drain-timeout", `"x"`}},
		{"a drain delay above an hour", []string{"--drain-delay", "2h"}, nil, []string{"--drain-delay", `"2h"`, "up to 1h"}},
		{"a size that is none", []string{"--max-body", "big"}, nil, []string{"--max-body", "big", "16Mi"}},
		{"a negative size", []string{"--max-answer=-1"}, nil, []string{"--max-answer", "-1", "16Mi"}},
		{"a size too small to use", []string{"--max-module", "1"}, nil, []string{"--max-module", "1", "1Ki"}},
		{"no size", []string{"--function-log", "0"}, nil, []string{"--function-log", "0", "1Ki"}},
		{"a log size in words", []string{"--function-log-all", "lots"}, nil, []string{"--function-log-all", "lots"}},
		{"less disk than a module", []string{"--module-disk", "1Mi"}, nil, []string{"--module-disk", "1Mi", "64Mi"}},
		{"too little memory for anything", []string{"--memory", "1Mi"}, nil, []string{"--memory", "1Mi", "64Mi"}},
		{"slots below none", []string{"--run-slots=-1"}, nil, []string{"--run-slots", "-1", "0 to 4096"}},
		{"slots in words", []string{"--run-slots", "all"}, nil, []string{"--run-slots", "all"}},
		{"an unknown log format", []string{"--log-format", "xml"}, nil, []string{"--log-format", "xml", "text, json"}},
		{"an unknown log level", []string{"--log-level", "loud"}, nil, []string{"--log-level", "loud", "debug, info, warn, error"}},
		{"a scale policy that is none", []string{"--scale-default", "targets=5"}, nil, []string{"--scale-default", "targets", "target"}},
		{"a scale policy with a wrong value", []string{"--scale-default", "target=x"}, nil, []string{"--scale-default", `"x"`, "a number above 0"}},
		{"an autoscaler that is neither on nor off", []string{"--autoscale=perhaps"}, nil, []string{"--autoscale", "perhaps", "true"}},
		{"a provider's credentials that are not there", []string{"--provider-credentials", missing}, nil, []string{"--provider-credentials", missing, "no such file"}},
		{"programs without credentials", []string{"--allow-exec", "--basic-auth=false"}, nil, []string{"--allow-exec", "basic auth", "credentials"}},
		{"programs on another backend", []string{"--allow-exec", "--backend=provider", "--provider-url=http://x"}, nil, []string{"--allow-exec", "--backend local"}},
		{"a switch that is neither", []string{"--scale-from-zero=maybe"}, nil, []string{"--scale-from-zero", "maybe", "true"}},

		{"an unknown name of ours in the environment", nil, []string{"HEARTH_TIMEOUTS=1"}, []string{"HEARTH_TIMEOUTS", "timeout"}},
		{"a wrong value in the environment", nil, []string{"HEARTH_MAX_BODY=big"}, []string{"HEARTH_MAX_BODY", "big", "16Mi"}},
		{"a wrong switch in the environment", nil, []string{"HEARTH_CALL_LOG=yes"}, []string{"HEARTH_CALL_LOG", "yes", "true or false"}},
		{"a wrong number in the environment", nil, []string{"HEARTH_RUN_SLOTS=2.5"}, []string{"HEARTH_RUN_SLOTS", "2.5", "whole number"}},
		{"a wrong combination in the environment", nil, []string{"HEARTH_BASIC_AUTH=false", "HEARTH_LISTEN=:80"}, []string{"HEARTH_BASIC_AUTH", "--insecure-no-auth"}},
		{"a wrong duration under OpenFaaS' name", nil, []string{"upstream_timeout=soon"}, []string{"upstream_timeout", "soon", "30s"}},
		{"a provider's address without its backend", nil, []string{"functions_provider_url=http://x:8081/"}, []string{"functions_provider_url", "http://x:8081/", "--backend provider"}},
		{"a provider without an address", []string{"--backend=provider"}, nil, []string{"--provider-url", "http:// or https://"}},
		{"a provider's address that is none", []string{"--backend=provider", "--provider-url=x:1"}, nil, []string{"--provider-url", "x:1"}},
		{"an auth proxy", nil, []string{"auth_proxy_url=http://x"}, []string{"auth_proxy_url", "http://x", "unset"}},

		{"a file that is not there", []string{"--config", missing}, nil, []string{"--config", missing, "no such file"}},
		{"a file named in the environment that is not there", nil, []string{"HEARTH_CONFIG=" + missing}, []string{"HEARTH_CONFIG", missing, "no such file"}},
		{"a file that is not YAML", []string{"--config", file("timeout: [")}, nil, []string{"--config", "YAML"}},
		{"a key twice", []string{"--config", file("timeout: 1s\ntimeout: 2s\n")}, nil, []string{"--config", "YAML", "timeout"}},
		{"an unknown key", []string{"--config", file("timeouts: 1s\n")}, nil, []string{"timeouts", "one of", "timeout"}},
		{"a wrong value in the file", []string{"--config", file("timeout: soon\n")}, nil, []string{"timeout in ", "soon", "30s"}},
		{"a nested value in the file", []string{"--config", file("listen: {host: {a: b}}\n")}, nil, []string{"listen in ", "one value"}},
		{"a wrong combination in the file", []string{"--config", file("basic-auth: false\nlisten: 0.0.0.0:80\n")}, nil, []string{"basic-auth in ", "--insecure-no-auth"}},
		{"a file named in a file", []string{"--config", file("config: other.yaml\n")}, nil, []string{`"config"`, "one of"}},
	}
	var tried strings.Builder
	for _, tt := range tests {
		fmt.Fprintln(&tried, tt.args, tt.environ)
	}
	for _, s := range settings() {
		free := map[string]bool{"config": true, "print-config": true, "data-dir": true, "call-log": true} // any value goes, or other tests try them
		if !free[s.flag] && !regexp.MustCompile(`--(no-)?`+s.flag+`\b`).MatchString(tried.String()) {
			t.Errorf("no wrong value of --%s is tried", s.flag)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := hearth(t, tt.environ, tt.args...)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d and output %q, want %d and none", code, stdout, exitUsage)
			}
			if strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "hearth: ") {
				t.Errorf("want one line, got %q", stderr)
			}
			for _, part := range tt.want {
				if !strings.Contains(stderr, part) {
					t.Errorf("%q is not in %q", part, stderr)
				}
			}
		})
	}
}

func TestFlagsBeatEnvironmentBeatsOpenFaaSNamesBeatFileBeatsDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hearth.yaml")
	content := "timeout: 11s\nheader-timeout: 12s\nidle-timeout: 13s\nmax-body: 1Mi\nalias: {functions/x: hello}\ntrusted-proxies: [10.0.0.0/8, 192.168.0.1]\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"upstream_timeout=21", "read_timeout=22s", "HEARTH_TIMEOUT=31s", "HEARTH_PORT=tcp://10.0.0.1:8080",
		"HEARTH_SERVICE_HOST=10.0.0.1", "HEARTH_METRICS_PORT_8082_TCP_ADDR=10.0.0.2", "max_idle_conns=7", "write_request_uri="}
	code, stdout, stderr := hearth(t, environ, "--config", path, "--timeout", "41s", "--print-config")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	got := map[string]string{}
	for line := range strings.Lines(stdout) {
		setting, origin, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " # ")
		name, value, _ := strings.Cut(setting, ": ")
		got[name] = strings.TrimSpace(value) + " | " + origin
	}
	for name, want := range map[string]string{
		"timeout":         "41s | --timeout",
		"header-timeout":  "22s | read_timeout",
		"idle-timeout":    "13s | idle-timeout in " + path,
		"write-timeout":   "41s | from timeout",
		"max-body":        "1Mi | max-body in " + path,
		"max-answer":      "32Mi | default",
		"call-log":        "true | write_request_uri",
		"alias":           `["functions/x=hello"] | alias in ` + path,
		"trusted-proxies": `["10.0.0.0/8", "192.168.0.1"] | trusted-proxies in ` + path,
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if !strings.Contains(stderr, "max_idle_conns is ignored") {
		t.Errorf("an ignored name of OpenFaaS is not warned of: %q", stderr)
	}
}

func TestThePrintedConfigurationIsAFileThatMakesTheSameOne(t *testing.T) {
	_, first, _ := hearth(t, nil, "--timeout", "90s", "--max-body", "3Mi", "--listen", "127.0.0.1:0", "--alias", "functions/x=hello", "--print-config")
	path := filepath.Join(t.TempDir(), "hearth.yaml")
	if err := os.WriteFile(path, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	code, second, stderr := hearth(t, nil, "--config", path, "--print-config")
	if code != exitOK {
		t.Fatal(stderr)
	}
	if values(first) != values(second) {
		t.Errorf("first:\n%s\nsecond:\n%s", first, second)
	}
}

func TestPrintedConfigurationHidesPasswordsOfURLs(t *testing.T) {
	if got := redact(`"nats://hearth:s3cret@queue:4222"`); strings.Contains(got, "s3cret") || !strings.Contains(got, "queue:4222") {
		t.Errorf("got %s", got)
	}
}

// values drops the origins of a printed configuration.
func values(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		setting, _, _ := strings.Cut(line, " # ")
		b.WriteString(strings.TrimSpace(setting) + "\n")
	}
	return b.String()
}

// writeCertificate makes a self-signed certificate for 127.0.0.1.
func writeCertificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
