package local

import (
	"context"

	"hearth/backends"
)

// watcher is one table being fed.
type watcher struct{ table backends.Table }

// Watch feeds a table until ctx ends. It takes turns with changes: the table
// gets each change after Replace exactly once and in order, before the call
// that made the change returns. After Close it ends with ErrUnavailable.
func (l *Local) Watch(ctx context.Context, t backends.Table) error {
	w := &watcher{t}
	err := l.change(ctx, "watch", func() error {
		t.Replace(l.entries())
		l.watchers[w] = struct{}{}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() {
		l.turn <- struct{}{}
		delete(l.watchers, w)
		<-l.turn
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed:
		return errClosed()
	}
}

// publish tells every watched table, as part of a change.
func (l *Local) publish(tell func(backends.Table)) {
	for w := range l.watchers {
		tell(w.table)
	}
}

// entries gives all functions sorted by key, as part of a change.
func (l *Local) entries() []backends.Entry {
	list := make([]backends.Status, 0, len(l.functions))
	for _, s := range l.functions {
		list = append(list, s)
	}
	backends.SortStatuses(list)
	entries := make([]backends.Entry, len(list))
	for i, s := range list {
		entries[i] = entry(s)
	}
	return entries
}

func entry(s backends.Status) backends.Entry {
	s.Function = s.Function.Clone()
	return backends.Entry{Status: s}
}
