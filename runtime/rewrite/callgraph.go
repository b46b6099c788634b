package rewrite

// cheap is how much work a function may do without charging for it at its entry: whoever calls it pays instead.
const cheap = 512

// metering says who pays for what a function does.
type metering struct {
	charged   []bool   // by defined function: charges fuel at its entry
	recursive []bool   // ... and can be on the stack twice: charges stack as well
	work      []uint32 // by node of the call graph: what a caller has to pay for it
	sigOf     []int32  // by type index: the node of indirect calls, -1 = there are none
}

// metering decides which functions charge at their entry: those that can reach themselves through calls, and those
// that do much in one go, what they call included. For the others their callers pay. Loops charge for themselves.
func (m *Module) metering() metering {
	g := newCallGraph(m)
	for f := range g.nodes {
		if g.order[f] == 0 {
			g.visit(int32(f))
		}
	}
	return metering{charged: g.charged, recursive: g.recursive, work: g.cost, sigOf: g.sigOf}
}

// callGraph has a node for every defined function and, behind these, one for every signature that is called
// indirectly: its successors are the functions of that signature whose reference escapes.
type callGraph struct {
	m         *Module
	nodes     int
	functions int
	sigOf     []int32   // by type index: the signature's node, -1 = never called indirectly
	members   [][]int32 // by signature node - functions

	order, low []int32 // of Tarjan's algorithm, 0 = not seen
	onStack    []bool
	stack      []int32
	frames     []graphFrame
	last       int32

	charged, recursive []bool   // by function
	cost               []uint32 // uncharged work of a call of the node
}

type graphFrame struct{ node, next int32 }

func newCallGraph(m *Module) *callGraph {
	g := &callGraph{m: m, functions: len(m.bodies)}
	g.signatures()
	g.nodes = g.functions + len(g.members)
	g.order, g.low = make([]int32, g.nodes), make([]int32, g.nodes)
	g.onStack, g.cost = make([]bool, g.nodes), make([]uint32, g.nodes)
	g.charged, g.recursive = make([]bool, g.functions), make([]bool, g.functions)
	return g
}

// signatures makes the nodes of indirect calls.
func (g *callGraph) signatures() {
	m := g.m
	g.sigOf = make([]int32, len(m.types))
	nodes := make(map[string]int32)
	for _, t := range m.indirect {
		nodes[m.types[t].key()] = -1
	}
	for t := range m.types {
		n, called := nodes[m.types[t].key()]
		switch {
		case !called:
			n = -1
		case n < 0:
			n = int32(g.functions + len(g.members))
			nodes[m.types[t].key()] = n
			g.members = append(g.members, nil)
		}
		g.sigOf[t] = n
	}
	seen := make([]bool, len(m.funcs))
	for _, f := range m.escaped {
		if n := g.sigOf[m.funcs[f]]; f >= m.importedFuncs && n >= 0 && !seen[f] {
			seen[f] = true
			list := &g.members[int(n)-g.functions]
			*list = append(*list, int32(f-m.importedFuncs))
		}
	}
}

// successor returns the i-th node that n calls, false behind the last; -1 stands for an imported function.
func (g *callGraph) successor(n, i int32) (int32, bool) {
	if int(n) >= g.functions {
		list := g.members[int(n)-g.functions]
		if int(i) >= len(list) {
			return 0, false
		}
		return list[i], true
	}
	b := &g.m.bodies[n]
	direct := int32(b.calls.len())
	switch {
	case i < direct:
		return int32(g.m.calls[b.calls.start+int(i)]) - int32(g.m.importedFuncs), true
	case int(i-direct) < b.indirect.len():
		return g.sigOf[g.m.indirect[b.indirect.start+int(i-direct)]], true
	}
	return 0, false
}

// visit finds the components reachable from root, callees first (Tarjan), without recursion of our own.
func (g *callGraph) visit(root int32) {
	g.enter(root)
	for len(g.frames) > 0 {
		top := &g.frames[len(g.frames)-1]
		n := top.node
		to, more := g.successor(n, top.next)
		top.next++
		switch {
		case !more:
			g.frames = g.frames[:len(g.frames)-1]
			if len(g.frames) > 0 {
				up := g.frames[len(g.frames)-1].node
				g.low[up] = min(g.low[up], g.low[n])
			}
			if g.low[n] == g.order[n] {
				g.component(n)
			}
		case to < 0:
		case g.order[to] == 0:
			g.enter(to)
		case g.onStack[to]:
			g.low[n] = min(g.low[n], g.order[to])
		}
	}
}

func (g *callGraph) enter(n int32) {
	g.last++
	g.order[n], g.low[n] = g.last, g.last
	g.onStack[n] = true
	g.stack = append(g.stack, n)
	g.frames = append(g.frames, graphFrame{node: n})
}

// component decides about the nodes of a finished component, which lie on the stack from its root on.
func (g *callGraph) component(root int32) {
	first := len(g.stack) - 1
	for g.stack[first] != root {
		first--
	}
	nodes := g.stack[first:]
	g.stack = g.stack[:first]
	for _, n := range nodes {
		g.onStack[n] = false
	}
	if len(nodes) == 1 && !g.callsItself(root) {
		g.weigh(root)
		return
	}
	for _, n := range nodes {
		if int(n) < g.functions {
			g.charged[n], g.recursive[n] = true, true
		}
	}
}

func (g *callGraph) callsItself(n int32) bool {
	for i := int32(0); ; i++ {
		to, more := g.successor(n, i)
		if !more || to == n {
			return more
		}
	}
}

// weigh adds up what a call of n costs that nobody below charges.
func (g *callGraph) weigh(n int32) {
	function := int(n) < g.functions
	total := uint64(0)
	if function {
		total = uint64(g.m.bodies[n].cost)
		if g.m.bodies[n].loops {
			total += loopCredit
		}
	}
	for i := int32(0); ; i++ {
		to, more := g.successor(n, i)
		if !more {
			break
		}
		switch {
		case to < 0:
			total += costImport
		case function:
			total += uint64(g.cost[to])
		default:
			total = max(total, uint64(g.cost[to]))
		}
	}
	if total <= cheap {
		g.cost[n] = uint32(total)
	} else if function {
		g.charged[n] = true
	}
}
