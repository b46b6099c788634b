package main

import (
	"sync/atomic"

	"hearth/backends"
)

// manyTables feeds several tables as one.
type manyTables []backends.Table

func (m manyTables) Replace(entries []backends.Entry) {
	for _, t := range m {
		t.Replace(entries)
	}
}

func (m manyTables) Set(e backends.Entry) {
	for _, t := range m {
		t.Set(e)
	}
}

func (m manyTables) Delete(key backends.Key) {
	for _, t := range m {
		t.Delete(key)
	}
}

// fedTable is the gateway's table, which tells when it was first filled.
type fedTable struct {
	backends.Table
	fed    chan struct{}
	filled atomic.Bool
}

// Replace is part of backends.Table.
func (t *fedTable) Replace(entries []backends.Entry) {
	t.Table.Replace(entries)
	if t.filled.CompareAndSwap(false, true) {
		close(t.fed)
	}
}

// ready tells why calls cannot be answered yet.
func (t *fedTable) ready() error {
	if !t.filled.Load() {
		return backends.Errorf(backends.ErrUnavailable, "the functions are being loaded")
	}
	return nil
}
