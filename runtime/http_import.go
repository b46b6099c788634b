package runtime

import (
	"encoding/binary"

	"github.com/tetratelabs/wazero/api"

	"hearth/runtime/rewrite"
)

// httpFunctions are what commands and reactors import to call out (docs/abi/http.md):
//
//	hearth.http_request(pointer i32, size i32) -> (size i32)   sends a request and gives the size of the answer's frame
//	hearth.http_read(pointer i32, size i32) -> (size i32)      copies what is left of the frame
//
// A request is framed as method, address, header and body lengths (32 bits each, little-endian), then these four; an answer as status,
// header and body lengths, then header and body. Status 0 is no answer: the body says why.
func httpFunctions() []hostFunction {
	return []hostFunction{
		{"http_request", "ii", "i", (*call).httpRequest},
		{"http_read", "ii", "i", (*call).httpRead},
	}
}

const httpModule = rewrite.HostModule

const fetchHead = 4 * 4

func (c *call) httpRequest(mem api.Memory, s []uint64) errno {
	frame, ok := mem.Read(arg(s, 0), arg(s, 1))
	var parts [fetchHead / 4][]byte
	if ok = ok && len(frame) >= fetchHead; ok {
		rest := frame[fetchHead:]
		for i := range parts {
			n := binary.LittleEndian.Uint32(frame[4*i:])
			if ok = ok && uint64(n) <= uint64(len(rest)); ok {
				parts[i], rest = rest[:n], rest[n:]
			}
		}
		ok = ok && len(rest) == 0
	}
	if ok {
		c.fetched = c.fetch(parts[0], parts[1], parts[2], parts[3])
	} else {
		c.fetched = frameOf(0, nil, []byte("the frame of the request is not in memory or its lengths do not add up"))
	}
	return errno(len(c.fetched))
}

func (c *call) httpRead(mem api.Memory, s []uint64) errno {
	n := min(arg(s, 1), uint32(len(c.fetched)))
	if !mem.Write(arg(s, 0), c.fetched[:n]) {
		return 0
	}
	c.fetched = c.fetched[n:]
	return errno(n)
}
