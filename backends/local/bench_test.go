package local

import (
	"context"
	"fmt"
	"testing"

	"hearth/backends"
)

// many deploys n functions.
func many(b *testing.B, l *Local, n int) {
	b.Helper()
	for i := range n {
		f := backends.Function{Key: backends.Key{Namespace: backends.DefaultNamespace, Name: fmt.Sprintf("f%d", i)}, Image: "hello"}
		if err := l.Deploy(context.Background(), f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is a start with 1,000 functions.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	l, err := Open(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	many(b, l, 1000)
	for b.Loop() {
		if _, err := Open(Config{Dir: dir}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScale is the change that is made most often, with its two syncs.
func BenchmarkScale(b *testing.B) {
	l, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	many(b, l, 1)
	key, n := backends.Key{Namespace: backends.DefaultNamespace, Name: "f0"}, 0
	for b.Loop() {
		if n++; l.Scale(context.Background(), key, n%100) != nil {
			b.Fatal("scale failed")
		}
	}
}

// BenchmarkList is the list of 1,000 functions.
func BenchmarkList(b *testing.B) {
	l, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	many(b, l, 1000)
	for b.Loop() {
		if list, err := l.List(context.Background(), ""); err != nil || len(list) != 1000 {
			b.Fatal(len(list), err)
		}
	}
}
