// A function of the reactor ABI in Go. It answers with its body in capitals, a
// random number and the time, which must be the call's own.
//
// Build: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
	"unsafe"
)

var (
	request, answer []byte // kept, so that the collector leaves them
	calls           int
)

//go:wasmexport alloc
func alloc(size uint32) uint32 {
	request = make([]byte, size)
	return uint32(uintptr(unsafe.Pointer(&request[0])))
}

//go:wasmexport handle
func handle(_, _ uint32) uint64 {
	calls++
	parts, rest := [5][]byte{}, request[20:]
	for i := range parts {
		n := binary.LittleEndian.Uint32(request[4*i:])
		parts[i], rest = rest[:n], rest[n:]
	}
	header := fmt.Sprintf("X-Random: %d\nX-Time: %d\nX-Calls: %d\nX-Env: %s\n", rand.Uint64(), time.Now().UnixNano(), calls, os.Getenv("COLOUR"))
	body := bytes.ToUpper(parts[4])
	answer = binary.LittleEndian.AppendUint32(answer[:0], 200)
	answer = binary.LittleEndian.AppendUint32(answer, uint32(len(header)))
	answer = binary.LittleEndian.AppendUint32(answer, uint32(len(body)))
	answer = append(append(answer, header...), body...)
	return uint64(uintptr(unsafe.Pointer(&answer[0])))<<32 | uint64(len(answer))
}

func main() {}
