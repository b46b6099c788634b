package gateway

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"hearth/backends"
)

const (
	defaultMaxModule = 64 << 20 // bytes
	// moduleTimeout bounds an upload: 64 MiB over a line of 1 Mbit/s.
	moduleTimeout = 10 * time.Minute
	storeVersion  = "0.2.1" // of the document that faas-cli reads
)

// putModule stores the body as a module and answers the name by which a
// function can have it as its image. The body is not kept in memory.
func (s *system) putModule(c *call) error {
	modules := s.cfg.Backend.Powers().Modules
	if modules == nil {
		return s.without("modules")
	}
	body, err := newLimitedBody(c.RequestCtx, cmp.Or(s.cfg.MaxModule, defaultMaxModule))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), moduleTimeout)
	defer cancel()
	module, err := modules.Put(ctx, body)
	if err != nil {
		return err
	}
	s.log.Info("module stored", "image", module.Image, "bytes", module.Size)
	return c.json(http.StatusCreated, module)
}

// storeDocument is what faas-cli store reads.
type storeDocument struct {
	Version   string                   `json:"version"`
	Functions []backends.StoreFunction `json:"functions"`
}

// listStore answers the functions that can be deployed by name.
func (s *system) listStore(c *call) error {
	store := s.cfg.Backend.Powers().Store
	if store == nil {
		return s.without("function store")
	}
	return c.json(http.StatusOK, storeDocument{storeVersion, append([]backends.StoreFunction{}, store.StoreFunctions()...)})
}
