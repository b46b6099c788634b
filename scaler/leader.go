package scaler

import (
	"context"
	"time"

	"hearth/backends"
)

const (
	leaseName = "scaler"
	// leaseMargin must be left of a lease for an order to be given: an order
	// that takes longer than the lease is cut before another can lead.
	leaseMargin = 2 * time.Second
	// leaseRetry is the pause after an attempt to lead that failed.
	leaseRetry = time.Second
)

// lead holds the lease whenever it can be had, until ctx ends, and then gives
// it back so that the next one need not wait for it to run out.
func (s *Scaler) lead(ctx context.Context) {
	for ctx.Err() == nil {
		lease, err := s.cfg.Leaser.Acquire(ctx, leaseName)
		if err != nil {
			s.cfg.Logger.Debug("no lease", "error", err)
			wait(ctx, leaseRetry)
			continue
		}
		s.cfg.Logger.Info("leading the scaling", "term", lease.Term())
		s.lease.Store(&lease)
		select {
		case <-ctx.Done():
		case <-lease.Lost():
			s.cfg.Logger.Warn("no longer leading the scaling", "term", lease.Term())
		}
		s.lease.Store(nil)
		s.release(lease)
	}
}

// release gives a lease back, also when ctx has ended already.
func (s *Scaler) release(lease backends.Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseMargin)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		s.cfg.Logger.Debug("lease not released", "error", err)
	}
}

// mayOrder tells whether this gateway leads, and until when.
func (s *Scaler) mayOrder(now time.Time) (until time.Time, ok bool) {
	if s.cfg.Leaser == nil {
		return now.Add(orderTimeout), true
	}
	lease := s.lease.Load()
	if lease == nil {
		return time.Time{}, false
	}
	select {
	case <-(*lease).Lost():
		return time.Time{}, false
	default:
	}
	until = (*lease).Expires().Add(-leaseMargin)
	return until, now.Before(until)
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
