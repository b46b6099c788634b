package main

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
)

// greet prints where the server answers and what to try first.
func (s *server) greet(w io.Writer) {
	url, aside := s.url(), "http://"+reachable(s.aside.Addr().String())
	s.log.Info("serving", "listen", s.api.Addr().String(), "metrics", s.aside.Addr().String(), "data", s.data.path, "release", release)
	fmt.Fprintf(w, "Hearth %s\n  functions and API  %s\n  metrics, health    %s/metrics %[3]s/readyz\n  state              %s\n", release, url, aside, s.data.path)
	user := ""
	if s.credentials != nil {
		path := filepath.Join(s.credentialsDir(), passwordFile)
		fmt.Fprintf(w, "  user, password     %s, in %s\n", s.credentials.User, path)
		fmt.Fprintf(w, "\nLog in with faas-cli:\n  faas-cli login --gateway %s --username %s --password-stdin < %s\n", url, s.credentials.User, path)
		user = fmt.Sprintf(` -u "%s:$(cat %s)"`, s.credentials.User, path)
	}
	if s.tls != nil {
		user = " -k" + user
	}
	fmt.Fprintf(w, "\nTry:\n  curl%s %s/system/functions -d '{\"service\":\"hello\",\"image\":\"store/hello\"}'\n", user, url)
	fmt.Fprintf(w, "  curl%s %s/function/hello -d you\n", tlsOnly(s), url)
	fmt.Fprintf(w, "  curl%s %s/system/functions\n\n", user, url)
}

func tlsOnly(s *server) string {
	if s.tls != nil {
		return " -k"
	}
	return ""
}

// credentialsDir is where the credentials lie.
func (s *server) credentialsDir() string {
	if s.cfg.SecretMountPath != "" {
		return s.cfg.SecretMountPath
	}
	return s.data.in("credentials")
}

// url is the base URL of the API for somebody on this machine.
func (s *server) url() string {
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	return scheme + reachable(s.api.Addr().String())
}

// reachable replaces an address that means all interfaces by one to connect to.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
