package gateway

import (
	"crypto/tls"
	"net"
)

// overTLS makes every connection of ln one of TLS, unless cfg is nil. Nothing
// but HTTP/1.1 is offered, and nothing older than TLS 1.2 is spoken.
func overTLS(ln net.Listener, cfg *tls.Config) net.Listener {
	if cfg == nil {
		return ln
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	return tls.NewListener(ln, cfg)
}
