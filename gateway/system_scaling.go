package gateway

import (
	"net/http"

	"hearth/backends"
)

// scaling tells why a function has the replicas it has (GET
// /system/scaling/NAME, ours): a backends.Scaling.
func (s *system) scaling(c *call) error {
	key, err := c.key("")
	if err != nil {
		return err
	}
	if s.cfg.Scaling == nil {
		return backends.Errorf(backends.ErrUnsupported, "the autoscaler is switched off")
	}
	scaling, ok := s.cfg.Scaling(key)
	if !ok {
		return backends.Errorf(backends.ErrNotFound, "function %s not found", key)
	}
	return c.json(http.StatusOK, scaling)
}
