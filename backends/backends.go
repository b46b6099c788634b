// Package backends is the vocabulary of the system.
package backends
