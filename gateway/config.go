// Package gateway is HTTP in, HTTP out: it speaks the OpenFaaS API, admits
// calls, and hands them to functions. It reads a copy-on-write table that a
// backend feeds; no lock, no JSON and no backend call is on the way of a call.
package gateway

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hearth/backends"
)

// Config is everything a Gateway needs. The zero value of a field means what
// its comment says.
type Config struct {
	Backend  backends.Backend
	Call     backends.CallPolicy  // of functions that say nothing
	Scale    backends.ScalePolicy // of functions that say nothing
	Version  backends.VersionInfo
	Logger   *slog.Logger
	Registry *prometheus.Registry // /metrics; ours and whatever main adds

	Credentials *Credentials // nil: /system is open
	TLS         *tls.Config  // nil: plain HTTP

	MaxBody       int64         // bytes of a buffered request body; above it 413
	MaxAnswer     int64         // bytes of a function's answer; above it 502
	MaxModule     int64         // bytes of an uploaded module; above it 413
	SpillDir      string        // where bodies above 1 MiB are spilled to unlinked files
	HeaderTimeout time.Duration // from the first byte of a request to the end of its header
	IdleTimeout   time.Duration // of a kept-alive connection between requests
	DrainDelay    time.Duration // from /readyz saying 503 to refusing connections, for balancers to notice
	WriteTimeout  time.Duration // of one write to a client that does not read

	// TrustedProxies may set X-Forwarded-For and X-Forwarded-Host; from anybody
	// else these headers are replaced.
	TrustedProxies []netip.Prefix
	// AllowedHosts are names, besides the listener's own addresses and
	// localhost, that /system answers to in a browser (Host and Origin check).
	AllowedHosts []string
	// ScaleFromZero wakes a function at zero replicas; without it such a call
	// is answered with 503.
	ScaleFromZero bool
	// Scaling tells what the autoscaler knows of a function; nil: there is none.
	Scaling func(backends.Key) (backends.Scaling, bool)
	// CallLog writes one line per call to Logger.
	CallLog bool
	// Ready reports why the process cannot do its work yet or any more; nil
	// error = ready. It answers /readyz.
	Ready func(ctx context.Context) error
}

// Credentials are the one basic-auth user of the API.
type Credentials struct{ User, Password string }
