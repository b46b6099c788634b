package runtime

import "math"

// What the host makes in the JavaScript engine's memory is gone with the call when the instance is restored. One that keeps its state
// has to be given it back.

type ownedKind uint8

const (
	ownedBlock ownedKind = iota // malloc'ed
	ownedText                   // a C string of the engine
	ownedValue
)

// owned lists what the host has to free at the end of a call.
type owned struct {
	keeps bool // the instance keeps its state; otherwise nothing is listed
	list  []ownedThing
}

type ownedThing struct {
	kind ownedKind
	at   uint32
}

// own makes the host free what is at a place, at the end of the call.
func (w *worker) own(kind ownedKind, at uint32) {
	if o := &w.reactor.owned; o.keeps && at != 0 {
		o.list = append(o.list, ownedThing{kind, at})
	}
}

// disown runs the jobs that the function left, which belong to this call, and frees what is listed. Values may be there for others too:
// the engine counts.
func (w *worker) disown() error {
	r := &w.reactor
	s := &r.script
	done, err := w.invoke(r.engine.runJobs, s.runtime, math.MaxUint32, s.arguments)
	w.own(ownedValue, done)
	for _, o := range r.owned.list {
		if err != nil || o.at == s.undefined {
			continue
		}
		switch o.kind {
		case ownedBlock:
			_, err = w.invoke(r.engine.free, o.at)
		case ownedText:
			_, err = w.invoke(r.engine.freeText, s.context, o.at)
		case ownedValue:
			_, err = w.invoke(r.engine.freeValue, s.context, o.at)
		}
	}
	r.owned.list = r.owned.list[:0]
	return err
}
