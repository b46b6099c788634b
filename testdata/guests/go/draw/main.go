// Command draw answers its input with what differs between two runs of a Go
// program: random numbers of each kind, the order of a map, and the time.
package main

import (
	crand "crypto/rand"
	"fmt"
	"io"
	"maps"
	"math/rand"
	randv2 "math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

var keys = map[string]int{}

func init() {
	for i := range 64 {
		keys[fmt.Sprint(i)] = i
	}
}

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	switch words := strings.Fields(string(body)); {
	case len(words) == 0 || words[0] != "draw":
		_, _ = os.Stdout.Write(body)
	default:
		var secret [8]byte
		_, _ = crand.Read(secret[:])
		fmt.Printf("v1=%d v2=%d crypto=%x order=%v time=%d greeting=%s\n", rand.Int63(), randv2.Uint64(), secret,
			slices.Collect(maps.Keys(keys))[:8], time.Now().UnixNano(), os.Getenv("greeting"))
	}
}
