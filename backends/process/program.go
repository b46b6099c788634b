package process

import (
	"fmt"
	"slices"

	"hearth/backends"
)

// program is one function that is a program. hosted.mu guards it.
type program struct {
	hosted  *hosted
	key     backends.Key
	status  backends.Status // what is to run
	current []*replica      // of that
	before  []*replica      // of the version before, until those are ready
	leaving []*replica      // to be ended once the tables know
	gone    bool
}

// maxChildren is how many replicas of one function run at most: more help
// nobody on one machine, and a slip of a digit must not fill it.
const maxChildren = 100

// update takes what the backend says about the function.
func (p *program) update(s backends.Status) {
	known := p.status.Generation != 0
	changed := known && (p.status.Generation != s.Generation || !p.status.Created.Equal(s.Created))
	p.status, p.gone = s, false
	if p.hosted.host.refusal() != "" {
		return
	}
	if changed {
		for _, r := range p.current {
			if r.ready {
				p.before = append(p.before, r)
			} else {
				p.leaving = append(p.leaving, r)
			}
		}
		p.current = nil
	}
	want := min(s.Replicas, maxChildren)
	for len(p.current) < want {
		r := p.hosted.host.newReplica(p, s.Function, s.Generation)
		if r == nil {
			break // closing
		}
		p.current = append(p.current, r)
	}
	if len(p.current) > want {
		// The ready ones stay, of those the oldest.
		slices.SortStableFunc(p.current, func(a, b *replica) int { return rank(a) - rank(b) })
		p.leaving = append(p.leaving, p.current[want:]...)
		p.current = p.current[:want:want]
	}
	p.settle()
}

func rank(r *replica) int {
	if r.ready {
		return 0
	}
	return 1
}

// settle lets the version before go when the new one is ready, or when it
// cannot answer either.
func (p *program) settle() {
	if p.ready(p.current) == len(p.current) || p.ready(p.before) == 0 {
		p.leaving = append(p.leaving, p.before...)
		p.before = nil
	}
}

// end lets all replicas go.
func (p *program) end() {
	p.gone = true
	p.leaving = slices.Concat(p.leaving, p.current, p.before)
	p.current, p.before = nil, nil
	p.status = backends.Status{}
}

func (p *program) ready(list []*replica) (n int) {
	for _, r := range list {
		if r.ready {
			n++
		}
	}
	return n
}

// answering gives the replicas that calls go to.
func (p *program) answering() []*replica {
	if len(p.before) > 0 {
		return p.before
	}
	return p.current
}

// shown is an entry as the table is to hold it.
func (p *program) shown(e backends.Entry) backends.Entry {
	e.Handler, e.Endpoints = nil, nil
	for _, r := range p.answering() {
		if r.ready {
			e.Endpoints = append(e.Endpoints, backends.Endpoint{Network: "unix", Addr: r.socket, Instance: r.instance})
		}
	}
	p.describe(&e.Status)
	return e
}

// describe fills in how many replicas can answer.
func (p *program) describe(s *backends.Status) {
	s.Available, s.Problem = min(p.ready(p.answering()), s.Replicas), p.hosted.host.refusal()
	if s.Problem != "" {
		return
	}
	if s.Replicas > maxChildren {
		s.Problem = fmt.Sprintf("of a program of this machine at most %d replicas run", maxChildren)
	}
	for _, r := range p.current {
		if r.problem != "" {
			s.Problem = r.problem
		}
	}
	if s.Problem != "" && len(p.before) > 0 {
		s.Problem = fmt.Sprintf("the latest version is not ready, the one before answers: %s", s.Problem)
	}
}

// changed tells the tables what has become of a replica.
func (p *program) changed() {
	if p.gone {
		return
	}
	p.settle()
	for v := range p.hosted.views {
		if e, ok := v.entries[p.key]; ok {
			v.table.Set(p.shown(e))
		}
	}
	p.hosted.retire()
}
