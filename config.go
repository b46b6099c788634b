package main

import (
	"io"
	"time"
)

// Config is everything the server can be told. A field is a flag, an
// environment variable (HEARTH_ and the flag's name) and a key of the YAML
// file (the flag's name); later ones win: default, file, OpenFaaS' environment
// names, HEARTH_, flag.
type Config struct {
	Config      string `placeholder:"FILE" help:"YAML file with the flags' names as keys."`
	PrintConfig bool   `help:"Print the effective values, say where each came from, and exit."`

	Listen        address `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"API and functions (${default}). Port 0 picks a free one."`
	MetricsListen address `default:"127.0.0.1:8082" placeholder:"HOST:PORT" help:"/metrics, /healthz and /readyz (${default})."`
	DataDir       string  `placeholder:"DIR" help:"Functions, modules, secrets and logs. Default: /var/lib/hearth for root, else $$XDG_STATE_HOME/hearth."`
	Backend       string  `default:"local" help:"What runs the functions: local or provider."`

	ProviderURL         string `name:"provider-url" placeholder:"URL" help:"An OpenFaaS provider that runs the functions, with --backend provider."`
	ProviderCredentials string `placeholder:"DIR" help:"Files basic-auth-user and basic-auth-password for the provider; by default the gateway's own."`

	BasicAuth         bool     `default:"true" negatable:"" help:"Ask for user and password on /system and /ui. Off only on a loopback address."`
	InsecureNoAuth    bool     `help:"No credentials on any address: everybody who reaches it can deploy."`
	SecretMountPath   string   `placeholder:"DIR" help:"Read the credentials from basic-auth-user and basic-auth-password in this directory; by default they are made in the data directory."`
	TLSCert           string   `name:"tls-cert" placeholder:"FILE" help:"Certificate chain in PEM; with --tls-key the API is served over TLS."`
	TLSKey            string   `name:"tls-key" placeholder:"FILE" help:"Private key in PEM."`
	TrustedProxies    []string `placeholder:"CIDR" help:"Networks whose X-Forwarded headers count."`
	AllowedHosts      []string `placeholder:"HOST" help:"Names besides localhost under which a browser may use /system and /ui."`
	FunctionNamespace string   `default:"openfaas-fn" help:"What the backend calls the default namespace."`

	ModuleDir      string   `placeholder:"DIR" help:"Functions may name .wasm files in this directory as their image."`
	Alias          []string `placeholder:"IMAGE=NAME" help:"Run this function of the store for that container image."`
	Autoscale      bool     `default:"true" negatable:"" help:"Change replicas by load, as the functions' labels say."`
	ScaleDefault   []string `placeholder:"NAME=VALUE" help:"Scale policy of functions that say nothing: target=10 is the label com.openfaas.scale.target=10, and so on."`
	ScaleFromZero  bool     `default:"true" negatable:"" help:"Wake a function at zero replicas when it is called."`
	Timeout        duration `default:"60s" help:"How long a call may take (${default}); the other timeouts follow from it."`
	HeaderTimeout  duration `placeholder:"DURATION" help:"From a request's first byte to the end of its header. Default: the timeout, at most 10s."`
	IdleTimeout    duration `placeholder:"DURATION" help:"Of a kept-alive connection between calls. Default: twice the timeout."`
	WriteTimeout   duration `placeholder:"DURATION" help:"Of one write to a client that does not read. Default: the timeout."`
	DrainTimeout   duration `placeholder:"DURATION" help:"How long calls in flight may go on after SIGTERM. Default: the timeout."`
	DrainDelay     delay    `default:"0s" help:"After SIGTERM, how long /readyz says 503 before connections are refused, for load balancers to notice (${default})."`
	MaxBody        size     `default:"16Mi" help:"Largest request body of a call (${default})."`
	MaxAnswer      size     `default:"32Mi" help:"Largest answer of a function (${default})."`
	MaxModule      size     `default:"64Mi" help:"Largest uploaded module (${default})."`
	ModuleDisk     size     `default:"10Gi" help:"Disk that stored modules may take (${default})."`
	FunctionLog    size     `default:"10Mi" help:"Size at which a function's log is rotated; three files are kept (${default})."`
	FunctionLogAll size     `default:"1Gi" help:"Disk that all function logs may take (${default})."`
	Memory         size     `default:"0" placeholder:"SIZE" help:"Memory of all instances together; 0 = no bound."`
	AllowExec      bool     `help:"Let functions be programs of this machine, run as this user: whoever may deploy may run anything here."`
	RunSlots       int      `default:"0" placeholder:"N" help:"Functions on a CPU at once; 0 = as many as there are CPUs."`

	LogFormat string `default:"text" help:"text or json."`
	LogLevel  string `default:"info" help:"debug, info, warn or error."`
	CallLog   bool   `help:"Write one line per call to the log."`
}

// derive fills the timeouts that nobody set.
func (c *Config) derive(from *origins) {
	for _, d := range []struct {
		name  string
		into  *duration
		value duration
	}{
		{"header-timeout", &c.HeaderTimeout, min(c.Timeout, duration(10*time.Second))},
		{"idle-timeout", &c.IdleTimeout, 2 * c.Timeout},
		{"write-timeout", &c.WriteTimeout, c.Timeout},
		{"drain-timeout", &c.DrainTimeout, c.Timeout},
	} {
		if !from.given(d.name) {
			*d.into = d.value
			from.note(d.name, "from timeout")
		}
	}
}

// print writes the configuration as a YAML file that would make it, with
// every value's origin behind it.
func (c *Config) print(w io.Writer, from *origins) error {
	return printSettings(w, c, from)
}
