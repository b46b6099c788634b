package gateway

import (
	"cmp"
	"net/http"
	"runtime"

	"hearth/backends"
)

// info names gateway and backend. No part of it is ever null or empty: clients
// dereference the objects and conformance asks for the texts.
func (s *system) info(c *call) error {
	version := s.cfg.Version
	version.Release = cmp.Or(version.Release, "dev")
	version.SHA = cmp.Or(version.SHA, "unknown")
	backend := s.cfg.Backend.Info()
	return c.json(http.StatusOK, backends.GatewayInfo{
		Provider: backends.ProviderInfo{
			Provider:      cmp.Or(backend.Name, "hearth"),
			Version:       version,
			Orchestration: cmp.Or(backend.Orchestration, backend.Name, "hearth"),
		},
		Version: version,
		Arch:    arch(runtime.GOARCH),
	})
}

// arch is an architecture in the words of store documents, by which a client
// picks an image.
func arch(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86_64"
	case "arm":
		return "armhf"
	}
	return goarch
}
