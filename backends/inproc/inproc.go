// Package inproc runs WebAssembly functions in this process for any backend.
//
// Host.Backend wraps a backend: images that are modules are resolved, checked
// and compiled before the backend hears of them, their digest is kept with
// the function, and the table that Watch feeds gets a Handler for each. All
// else goes to the backend as it came.
//
// It promises that a function serves the bytes that were deployed, after a
// restart too; that the generation before serves until the new one is ready;
// and that what one function stores or logs is bounded and goes with it. It
// decides neither how many replicas a function has nor who may call it.
package inproc
