package rewrite

// assembler writes instructions.
type assembler []byte

// op writes an instruction with its indexes.
func (a *assembler) op(code opcode, indexes ...uint32) {
	if code >= 0x100 {
		*a = appendU32(append(*a, byte(code>>8)), uint32(code&0xff))
	} else {
		*a = append(*a, byte(code))
	}
	for _, i := range indexes {
		*a = appendU32(*a, i)
	}
}

func (a *assembler) i32(v int32) { *a = appendS64(append(*a, byte(opI32Const)), int64(v)) }

func (a *assembler) i64(v int64) { *a = appendS64(append(*a, byte(opI64Const)), v) }

// open starts a block, loop or if without parameters and results.
func (a *assembler) open(code opcode) { *a = append(*a, byte(code), 0x40) }

// get pushes locals.
func (a *assembler) get(locals ...uint32) {
	for _, l := range locals {
		a.op(opLocalGet, l)
	}
}

// body completes a function body with the given number of additional i32 locals.
func (a *assembler) body(locals uint32) []byte {
	var out []byte
	if locals == 0 {
		out = appendU32(out, 0)
	} else {
		out = append(appendU32(appendU32(out, 1), locals), byte(I32))
	}
	out = append(out, *a...)
	return append(out, byte(opEnd))
}
