package gateway

import "hearth/backends"

// Loads appends what was counted of every function that was ever called, for
// the autoscaler.
func (g *Gateway) Loads(into []backends.Load) []backends.Load {
	for name, r := range *g.table.routes.Load() {
		if r.started.Load() == 0 || (r.key.Namespace == backends.DefaultNamespace && name == r.key.Name) {
			continue // never called, or the short name of a function listed anyway
		}
		load := backends.Load{Key: r.key, Completed: r.ended(), Started: r.started.Load()}
		load.InFlight = int(r.inflight.Load())
		into = append(into, load)
	}
	return into
}

// ended is how many calls have ended.
func (c *counts) ended() (n uint64) {
	for _, o := range c.list() {
		for i := range o.buckets {
			n += o.buckets[i].Load()
		}
	}
	return n
}
