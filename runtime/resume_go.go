package runtime

import (
	"bytes"
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"hearth/runtime/rewrite"
)

// A Go program reads its random seed and its whole environment before it runs any line of its author's: frozen there, nothing would be
// gained. It can be frozen later, at the first thing its own code asks for, if three things hold: it does not look at the variables of a
// request, which are not there yet; its random number generators start elsewhere in every call; and calls that resume it were seen to
// answer like calls that do not.

// looksAtRequest tells whether a Go program may look at variables of the request. All of them are named Http_...: a program that wants
// one has that text, one that lists them all has the function for it, whose name the linker keeps with every function it keeps.
func looksAtRequest(wasm []byte) bool {
	for _, text := range []string{"Http_", "syscall.Environ", "os.Environ", "os.Expand"} {
		if bytes.Contains(wasm, []byte(text)) {
			return true
		}
	}
	return false
}

// goResumable tells whether a module is a Go program that may be frozen after its runtime has started.
func goResumable(f *rewrite.Facts, wasm []byte) bool {
	return f.Language == rewrite.LanguageGo && !looksAtRequest(wasm)
}

// Layout of internal/chacha8rand.State, the generator behind math/rand, map iteration and all other randomness of Go's runtime since 1.22:
// buf [32]uint64, seed [4]uint64, i, n, c uint32. buf holds the random numbers of block c of the stream that seed gives; those from i to
// n are still to be used.
const (
	generatorSeed  = 32 * 8
	generatorNext  = generatorSeed + 4*8
	generatorLimit = generatorNext + 4
	generatorBlock = generatorLimit + 4
	generatorSize  = generatorBlock + 4
)

// findGenerators gives the offsets of the generators in the memory of a Go program. There is no mistake: at each, 224 bytes are what
// ChaCha8 makes of the 32 that follow.
func findGenerators(mem []byte) []int {
	var found []int
	for at := 0; at+generatorSize <= len(mem); at += 8 {
		next := binary.LittleEndian.Uint32(mem[at+generatorNext:])
		limit := binary.LittleEndian.Uint32(mem[at+generatorLimit:])
		block := binary.LittleEndian.Uint32(mem[at+generatorBlock:])
		if limit != 28 && limit != 32 || next > limit || block%4 != 0 || block > 12 {
			continue
		}
		stream := rand.NewChaCha8([32]byte(mem[at+generatorSeed:]))
		for range block / 4 * 32 {
			stream.Uint64()
		}
		equal := true
		for i := 0; i < 28 && equal; i++ {
			equal = stream.Uint64() == binary.LittleEndian.Uint64(mem[at+8*i:])
		}
		if equal {
			found = append(found, at)
		}
	}
	return found
}

// newStream is a source of random numbers that nobody can predict.
func newStream() *rand.ChaCha8 {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	return rand.NewChaCha8(seed)
}

// reseed gives the generator at an offset of mem a new seed from the stream, and leaves it nothing of the old one.
func reseed(mem []byte, at int, stream *rand.ChaCha8) {
	g := mem[at : at+generatorSize]
	for i := range 4 {
		binary.LittleEndian.PutUint64(g[generatorSeed+8*i:], stream.Uint64())
	}
	copy(g[generatorNext:generatorLimit], g[generatorLimit:generatorBlock]) // all of the block is used up
	binary.LittleEndian.PutUint32(g[generatorBlock:], 0)
}
