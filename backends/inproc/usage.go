package inproc

import (
	"context"
	"time"

	"hearth/backends"
)

// usageEvery is the shortest time over which use of the CPU is averaged.
const usageEvery = time.Second

// usage is the power to measure functions: ours of modules, the backend's of
// the rest.
type usage struct {
	inner  backends.UsageReader // nil if the backend has none
	hosted *hosted
}

// Usage gives what a function uses here: memory now, and the CPU since it was
// last asked for.
func (u usage) Usage(ctx context.Context, key backends.Key) (backends.Usage, error) {
	s, err := u.hosted.inner.Get(ctx, key)
	if err != nil {
		return backends.Usage{}, err
	}
	if _, ok := moduleOf(s.Function); !ok {
		if u.inner == nil {
			return backends.Usage{}, backends.Errorf(backends.ErrUnavailable, "the backend %s does not measure functions", u.hosted.inner.Info().Name)
		}
		return u.inner.Usage(ctx, key)
	}
	var sum backends.Usage
	for _, v := range u.hosted.tables() {
		one := v.usage(key, time.Now())
		sum.MilliCPU += one.MilliCPU
		sum.MemoryBytes += one.MemoryBytes
	}
	return sum, nil
}

func (v *view) usage(key backends.Key, now time.Time) backends.Usage {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.functions[key]
	if f == nil {
		return backends.Usage{}
	}
	s := f.stats()
	if took := now.Sub(f.sampled); took >= usageEvery {
		f.cpu = 1000 * (s.Busy - f.busy).Seconds() / took.Seconds()
		f.sampled, f.busy = now, s.Busy
	}
	return backends.Usage{MilliCPU: f.cpu, MemoryBytes: float64(s.Memory)}
}
