package main

import goruntime "runtime"

// spareProcessor gives the number of CPUs that functions may compute on at
// once, and lets Go run one thread more than that: compiled guests are not
// interrupted, so that without it two of them on two CPUs make timers and the
// network wait for up to 10 ms. A GOMAXPROCS of the user's stays as it is.
func spareProcessor(environ map[string]string) int {
	if environ["GOMAXPROCS"] != "" {
		return goruntime.GOMAXPROCS(0)
	}
	goruntime.SetDefaultGOMAXPROCS()
	cpus := goruntime.GOMAXPROCS(0)
	goruntime.GOMAXPROCS(cpus + 1)
	return cpus
}
