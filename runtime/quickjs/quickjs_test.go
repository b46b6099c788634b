package quickjs

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

func TestTheEngineIsTheOnePublished(t *testing.T) {
	sum := sha256.Sum256(Wasm)
	if got := hex.EncodeToString(sum[:]); got != SHA256 {
		t.Errorf("the digest of quickjs.wasm is %s, want %s", got, SHA256)
	}
}
