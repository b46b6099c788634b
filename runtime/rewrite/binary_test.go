package rewrite

import "bytes"

// The functions below write binaries by hand: wasm(sec(secType, vec(fn("", ""))), ...).

func wasm(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

func sec(id byte, parts ...[]byte) []byte { return appendSection(nil, id, bytes.Join(parts, nil)) }

func vec(items ...[]byte) []byte { return appendVector(nil, len(items), bytes.Join(items, nil)) }

func custom(name string, payload []byte) []byte { return sec(secCustom, str(name), payload) }

func str(s string) []byte { return appendName(nil, s) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func num(n uint32) []byte { return appendU32(nil, n) }

// types turns "i32 i64" into value types.
func valtypes(s string) []byte {
	var out []byte
	for _, f := range bytes.Fields([]byte(s)) {
		for t, n := range map[ValueType]string{I32: "i32", I64: "i64", F32: "f32", F64: "f64", V128: "v128",
			FuncRef: "funcref", ExternRef: "externref"} {
			if n == string(f) {
				out = append(out, byte(t))
			}
		}
	}
	return out
}

// fn is a function type.
func fn(params, results string) []byte {
	p, r := valtypes(params), valtypes(results)
	return cat([]byte{0x60}, num(uint32(len(p))), p, num(uint32(len(r))), r)
}

// code is a body without locals; the final end is added.
func code(instructions ...byte) []byte { return codeLocals(nil, instructions...) }

// codeLocals is a body with the given local declarations (pairs of count and type).
func codeLocals(locals []byte, instructions ...byte) []byte {
	b := cat(num(uint32(len(locals)/2)), locals, instructions, []byte{byte(opEnd)})
	return cat(num(uint32(len(b))), b)
}

// one is a module of a single function of type ()->() with the given body, a memory and a funcref table.
func one(instructions ...byte) []byte {
	return wasm(
		sec(secType, vec(fn("", ""), fn("i32", "i32"))),
		sec(secFunction, vec(num(0))),
		sec(secTable, vec([]byte{byte(FuncRef), 0, 1})),
		sec(secMemory, vec([]byte{0, 1})),
		sec(secGlobal, vec([]byte{byte(I32), 0, byte(opI32Const), 0, byte(opEnd)})),
		sec(secCode, vec(code(instructions...))),
	)
}
