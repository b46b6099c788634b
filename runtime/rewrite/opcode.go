package rewrite

import "strings"

// opcode is an instruction's number: its first byte, or prefix<<8 | second number for the prefixed ones.
type opcode uint16

// The opcodes this package looks at by name; all others are only entries of the table.
const (
	opUnreachable        opcode = 0x00
	opBlock              opcode = 0x02
	opLoop               opcode = 0x03
	opIf                 opcode = 0x04
	opElse               opcode = 0x05
	opEnd                opcode = 0x0b
	opBr                 opcode = 0x0c
	opBrIf               opcode = 0x0d
	opBrTable            opcode = 0x0e
	opReturn             opcode = 0x0f
	opCall               opcode = 0x10
	opCallIndirect       opcode = 0x11
	opReturnCall         opcode = 0x12
	opReturnCallIndirect opcode = 0x13
	opLocalGet           opcode = 0x20
	opLocalSet           opcode = 0x21
	opLocalTee           opcode = 0x22
	opGlobalGet          opcode = 0x23
	opGlobalSet          opcode = 0x24
	opTableSet           opcode = 0x26
	opMemorySize         opcode = 0x3f
	opMemoryGrow         opcode = 0x40
	opI32Const           opcode = 0x41
	opI64Const           opcode = 0x42
	opF32Const           opcode = 0x43
	opF64Const           opcode = 0x44
	opI32LtS             opcode = 0x48
	opI32GtU             opcode = 0x4b
	opI32LeU             opcode = 0x4d
	opI64LtS             opcode = 0x53
	opI64GtU             opcode = 0x56
	opI32GeS             opcode = 0x4e
	opI64Eq              opcode = 0x51
	opI32Add             opcode = 0x6a
	opI32Sub             opcode = 0x6b
	opI32Mul             opcode = 0x6c
	opI32Or              opcode = 0x72
	opI32ShrU            opcode = 0x76
	opI64Add             opcode = 0x7c
	opI64Sub             opcode = 0x7d
	opI64Mul             opcode = 0x7e
	opI64And             opcode = 0x83
	opI64Or              opcode = 0x84
	opI64Shl             opcode = 0x86
	opI32WrapI64         opcode = 0xa7
	opI64ExtendI32U      opcode = 0xad
	opRefNull            opcode = 0xd0
	opRefFunc            opcode = 0xd2

	prefixNumeric opcode = 0xfc00 // saturating truncation, bulk memory, tables
	opMemoryInit  opcode = 0xfc08
	opDataDrop    opcode = 0xfc09
	opMemoryCopy  opcode = 0xfc0a
	opMemoryFill  opcode = 0xfc0b
	opTableInit   opcode = 0xfc0c
	opElemDrop    opcode = 0xfc0d
	opTableCopy   opcode = 0xfc0e
	opTableGrow   opcode = 0xfc0f
	opTableSize   opcode = 0xfc10
	opTableFill   opcode = 0xfc11

	prefixVector opcode = 0xfd00
	opV128Const  opcode = 0xfd0c
)

// immediate says what follows an opcode in the binary.
type immediate uint8

const (
	immNone       immediate = iota
	immBlock                // block type: empty, a value type, or a type index
	immLabel                // label depth
	immLabels               // vector of label depths and a default
	immFunction             // function index
	immIndirect             // type index, table index
	immSelect               // vector of exactly one value type
	immLocal                // local index
	immGlobal               // global index
	immTable                // table index
	immMemArg               // alignment exponent, offset
	immMemArgLane           // the same and a lane
	immMemory               // a zero byte
	immI32                  // signed LEB128
	immI64                  // signed LEB128
	immF32                  // 4 bytes
	immF64                  // 8 bytes
	immRefType              // reference type
	immDataMemory           // data segment, zero byte
	immData                 // data segment
	immMemories             // two zero bytes
	immElemTable            // element segment, table index
	immElem                 // element segment
	immTables               // table index, table index
	immV128                 // 16 bytes
	immShuffle              // 16 lanes below 32
	immLane                 // one lane
)

// operation is one row of the instruction table.
type operation struct {
	name    string // as the specification spells it; empty = no such instruction
	imm     immediate
	cost    uint8 // see weigh: about the cycles a current CPU spends, 0 for what compiles to nothing
	net     int8  // values it leaves on the operand stack less those it takes; see netOf
	lanes   uint8 // for immLane and immMemArgLane: how many lanes there are
	feature Feature
}

// family is a run of consecutive opcodes that share everything but the name. A "-" among the names is a number the
// specification leaves unused.
type family struct {
	first   opcode
	imm     immediate
	cost    uint8
	names   string
	feature Feature
}

// operations are indexed by first byte, numericOps and vectorOps by the number after prefix 0xfc or 0xfd. They are
// built once from the families below and never written again.
var (
	operations = expand(0, coreFamilies)
	numericOps = expand(prefixNumeric, numericFamilies)
	vectorOps  = expand(prefixVector, vectorFamilies)
)

func expand(base opcode, families []family) *[256]operation {
	var t [256]operation
	for _, f := range families {
		at := f.first - base
		for name := range strings.FieldsSeq(f.names) {
			if name != "-" {
				t[at] = operation{name: name, imm: f.imm, cost: f.cost, net: netOf(name, f.imm),
					lanes: lanesOf(name, f.imm), feature: f.feature}
			}
			at++
		}
	}
	return &t
}

// lanesOf reads the number of lanes from an instruction's name: i16x8.extract_lane_s has 8, v128.load32_lane 4.
func lanesOf(name string, imm immediate) uint8 {
	if imm != immLane && imm != immMemArgLane {
		return 0
	}
	for _, s := range [...]struct {
		part  string
		lanes uint8
	}{{"x16.", 16}, {"x8.", 8}, {"x4.", 4}, {"x2.", 2}, {"8_lane", 16}, {"16_lane", 8}, {"32_lane", 4}, {"64_lane", 2}} {
		if strings.Contains(name, s.part) {
			return s.lanes
		}
	}
	return 0
}
