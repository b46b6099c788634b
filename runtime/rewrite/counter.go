package rewrite

// Counter is a value of the module's counter, the mutable i64 global that Rewrite adds and exports as FuelExport. Its
// lower half counts the fuel spent, its upper half the bytes of native stack in use (an estimate), each from such a
// start that its top bit becomes 1 when the allowance is spent. One addition then charges both, and one test of both
// bits sees either run out.
//
// The life of a call, as the runtime drives it:
//
//	counter.Set(uint64(rewrite.NewCounter(rewrite.Refill, stackBytes)))   // before every call into the guest
//	...
//	yield: c := rewrite.Counter(counter.Get())                            // host function hearth.yield, ()->()
//	       if c.StackSpent() { panic(errStack) }                          // too deep: a trap
//	       if ctx.Err() != nil { panic(errDeadline) }                     // too late: a trap
//	       counter.Set(uint64(c.Refuel(rewrite.Refill)))                  // go on
//
// A trap leaves the counter wherever it was; setting it before the next call resets fuel and depth alike. A host
// function that calls back into the guest leaves the counter alone: the inner call goes on counting.
type Counter uint64

const (
	// Refill is a good amount of fuel between two yields: some 50 microseconds of compiled code that stays in the
	// caches, and 5 milliseconds of code that misses them all with every load; about 5 microseconds of code with many
	// branches, because a path is charged the most it can cost.
	Refill = 200_000
	// DefaultStack is the allowance of native stack in bytes that a fresh instance starts with.
	DefaultStack = 8 << 20

	fuelSpent  Counter = 1 << 31
	stackSpent Counter = 1 << 63
)

// NewCounter returns the value to set before a call: fuel units until the first yield, stack bytes until recursion
// ends; both at most 2^31. One unit of fuel is at most about one cycle of a current CPU.
func NewCounter(fuel, stack uint32) Counter {
	return (stackSpent>>32-Counter(stack))<<32 | (fuelSpent - Counter(fuel))
}

// FuelSpent tells whether the fuel has run out.
func (c Counter) FuelSpent() bool { return c&fuelSpent != 0 }

// StackSpent tells whether the stack allowance has run out. A guest must not go on then.
func (c Counter) StackSpent() bool { return c&stackSpent != 0 }

// Refuel returns the counter with fresh fuel and the depth unchanged.
func (c Counter) Refuel(fuel uint32) Counter {
	return c>>32<<32 | (fuelSpent - Counter(fuel))
}
