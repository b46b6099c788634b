package runtime

// SetCompileBudget bounds the CPU time of compile children, so that tests need not wait for the real budget.
func (e *Engine) SetCompileBudget(cpuSeconds uint64) { e.compiler.order.CPUSeconds = cpuSeconds }
