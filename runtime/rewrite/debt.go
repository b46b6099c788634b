package rewrite

// debt follows what a function owes while its body is written, for what the paths to the current instruction have done
// since they last paid. It pays at the back edges of loops and where too much has come together; what is left where
// the function is left, or calls, has been paid at its entry.
//
// Where paths of unlike cost meet, the most of them decides when too much has come together, and their mean what is
// paid at a back edge or entry, but no less than a quarter of the most: a switch in a loop would otherwise pay in every
// turn for all of its cases, and programs full of such loops yield all the time.
type debt struct {
	path   path
	scopes []openBlock
	most   int32 // that was due at an exit or a call
}

// path is what the paths to an instruction have in common.
type path struct {
	owed   int32 // at most; -1 = nothing gets here
	mean   int32
	called bool // on all of them, since the last loop header: a function that charges at its entry
}

var nowhere = path{owed: -1}

// due is what to pay for the path.
func (p path) due() int32 { return max(p.mean, p.owed/4) }

// openBlock is a block that has not ended.
type openBlock struct {
	code   opcode
	params bool // it takes values from the stack
	start  path
	end    path // of the branches to its end
}

func join(a, b path) path {
	switch {
	case a.owed < 0:
		return b
	case b.owed < 0:
		return a
	}
	return path{max(a.owed, b.owed), (a.mean + b.mean + 1) / 2, a.called && b.called}
}

func (d *debt) reset() { *d = debt{scopes: d.scopes[:0]} }

func (d *debt) open(code opcode, params bool) {
	d.scopes = append(d.scopes, openBlock{code, params, d.path, nowhere})
	if code == opLoop {
		d.path.called = false
	}
}

// alternative is the else of an if.
func (d *debt) alternative() {
	s := &d.scopes[len(d.scopes)-1]
	s.code = opElse
	s.end = join(s.end, d.path)
	d.path = s.start
}

// close leaves the innermost block; it returns false at the end of the function.
func (d *debt) close() bool {
	n := len(d.scopes) - 1
	if n < 0 {
		d.leave()
		return false
	}
	s := &d.scopes[n]
	d.path = join(d.path, s.end)
	if s.code == opIf {
		d.path = join(d.path, s.start)
	}
	d.scopes = d.scopes[:n]
	return true
}

// loop returns the block of a label if that is a loop.
func (d *debt) loop(label uint32) *openBlock {
	if i := len(d.scopes) - 1 - int(label); i >= 0 && d.scopes[i].code == opLoop {
		return &d.scopes[i]
	}
	return nil
}

// branch notes that control may go to the end of a block, or leave the function.
func (d *debt) branch(label uint32) {
	switch i := len(d.scopes) - 1 - int(label); {
	case i < 0:
		d.leave()
	case d.scopes[i].code != opLoop:
		d.scopes[i].end = join(d.scopes[i].end, d.path)
	}
}

// leave notes that control leaves the function, for good or into a call.
func (d *debt) leave() { d.most = max(d.most, d.path.due()) }

// stop says that control does not get behind the current instruction.
func (d *debt) stop() { d.path = nowhere }
