package rewrite

// The instruction set of WebAssembly 2.0 (chapter 5.4 of the specification, appendix A.7), and of the proposals whose
// instructions we want to refuse by name.

const (
	costLoad = 4  // a load or store that misses the caches costs far more, most cost less
	costDiv  = 8  // division, remainder, square root
	costCall = 4  // the call itself; the callee pays for its body
	costHost = 32 // leaves compiled code for a moment: memory.grow, table operations
)

var coreFamilies = []family{
	{0x00, immNone, 1, "unreachable", 0},
	{0x01, immNone, 0, "nop", 0},
	{0x02, immBlock, 0, "block loop", 0},
	{0x04, immBlock, 1, "if", 0},
	{0x05, immNone, 0, "else", 0},
	{0x06, immBlock, 1, "try catch", FeatureLegacyExceptions},
	{0x08, immNone, 1, "throw", FeatureExceptions},
	{0x09, immNone, 1, "rethrow", FeatureLegacyExceptions},
	{0x0a, immNone, 1, "throw_ref", FeatureExceptions},
	{0x0b, immNone, 0, "end", 0},
	{0x0c, immLabel, 1, "br br_if", 0},
	{0x0e, immLabels, 2, "br_table", 0},
	{0x0f, immNone, 1, "return", 0},
	{0x10, immFunction, costCall, "call", 0},
	{0x11, immIndirect, costCall + 4, "call_indirect", 0},
	{0x12, immFunction, costCall, "return_call", FeatureTailCall},
	{0x13, immIndirect, costCall + 4, "return_call_indirect", FeatureTailCall},
	{0x14, immNone, 1, "call_ref return_call_ref", FeatureTypedReferences},
	{0x18, immNone, 1, "delegate catch_all", FeatureLegacyExceptions},
	{0x1a, immNone, 0, "drop", 0},
	{0x1b, immNone, 1, "select", 0},
	{0x1c, immSelect, 1, "select", 0},
	{0x1f, immNone, 1, "try_table", FeatureExceptions},
	{0x20, immLocal, 0, "local.get", 0},
	{0x21, immLocal, 1, "local.set local.tee", 0},
	{0x23, immGlobal, 1, "global.get global.set", 0},
	{0x25, immTable, costLoad, "table.get table.set", 0},
	{0x28, immMemArg, costLoad, `i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u
		i64.load8_s i64.load8_u i64.load16_s i64.load16_u i64.load32_s i64.load32_u
		i32.store i64.store f32.store f64.store i32.store8 i32.store16 i64.store8 i64.store16 i64.store32`, 0},
	{0x3f, immMemory, 1, "memory.size", 0},
	{0x40, immMemory, costHost, "memory.grow", 0},
	{0x41, immI32, 0, "i32.const", 0},
	{0x42, immI64, 0, "i64.const", 0},
	{0x43, immF32, 0, "f32.const", 0},
	{0x44, immF64, 0, "f64.const", 0},
	{0x45, immNone, 1, `i32.eqz i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u
		i64.eqz i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u
		f32.eq f32.ne f32.lt f32.gt f32.le f32.ge f64.eq f64.ne f64.lt f64.gt f64.le f64.ge`, 0},
	{0x67, immNone, 1, "i32.clz i32.ctz i32.popcnt i32.add i32.sub i32.mul", 0},
	{0x6d, immNone, costDiv, "i32.div_s i32.div_u i32.rem_s i32.rem_u", 0},
	{0x71, immNone, 1, "i32.and i32.or i32.xor i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr", 0},
	{0x79, immNone, 1, "i64.clz i64.ctz i64.popcnt i64.add i64.sub i64.mul", 0},
	{0x7f, immNone, costDiv, "i64.div_s i64.div_u i64.rem_s i64.rem_u", 0},
	{0x83, immNone, 1, "i64.and i64.or i64.xor i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr", 0},
	{0x8b, immNone, 2, "f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest", 0},
	{0x91, immNone, costDiv, "f32.sqrt", 0},
	{0x92, immNone, 2, "f32.add f32.sub f32.mul", 0},
	{0x95, immNone, costDiv, "f32.div", 0},
	{0x96, immNone, 2, "f32.min f32.max f32.copysign", 0},
	{0x99, immNone, 2, "f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest", 0},
	{0x9f, immNone, costDiv, "f64.sqrt", 0},
	{0xa0, immNone, 2, "f64.add f64.sub f64.mul", 0},
	{0xa3, immNone, costDiv, "f64.div", 0},
	{0xa4, immNone, 2, "f64.min f64.max f64.copysign", 0},
	{0xa7, immNone, 1, "i32.wrap_i64", 0},
	{0xa8, immNone, 4, "i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u", 0},
	{0xac, immNone, 1, "i64.extend_i32_s i64.extend_i32_u", 0},
	{0xae, immNone, 4, "i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u", 0},
	{0xb2, immNone, 2, `f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64
		f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32
		i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64`, 0},
	{0xc0, immNone, 1, "i32.extend8_s i32.extend16_s i64.extend8_s i64.extend16_s i64.extend32_s", 0},
	{0xd0, immRefType, 1, "ref.null", 0},
	{0xd1, immNone, 1, "ref.is_null", 0},
	{0xd2, immFunction, 2, "ref.func", 0},
	{0xd3, immNone, 1, "ref.eq", FeatureGC},
	{0xd4, immNone, 1, "ref.as_non_null br_on_null br_on_non_null", FeatureTypedReferences},
	{0xfb, immNone, 1, "gc", FeatureGC},
	{0xfe, immNone, 1, "atomic", FeatureThreads},
}

var numericFamilies = []family{
	{0xfc00, immNone, 4, `i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u
		i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u`, 0},
	{0xfc08, immDataMemory, costHost, "memory.init", 0},
	{0xfc09, immData, costLoad, "data.drop", 0},
	{0xfc0a, immMemories, costHost, "memory.copy", 0},
	{0xfc0b, immMemory, costHost, "memory.fill", 0},
	{0xfc0c, immElemTable, costHost, "table.init", 0},
	{0xfc0d, immElem, costLoad, "elem.drop", 0},
	{0xfc0e, immTables, costHost, "table.copy", 0},
	{0xfc0f, immTable, costHost, "table.grow", 0},
	{0xfc10, immTable, 1, "table.size", 0},
	{0xfc11, immTable, costHost, "table.fill", 0},
	{0xfc12, immNone, 1, "memory.discard", FeatureMemory64},
	{0xfc13, immNone, 1, "i64.add128 i64.sub128 i64.mul_wide_s i64.mul_wide_u", FeatureWideArithmetic},
}

var vectorFamilies = []family{
	{0xfd00, immMemArg, costLoad, `v128.load v128.load8x8_s v128.load8x8_u v128.load16x4_s v128.load16x4_u v128.load32x2_s
		v128.load32x2_u v128.load8_splat v128.load16_splat v128.load32_splat v128.load64_splat v128.store`, 0},
	{0xfd0c, immV128, 1, "v128.const", 0},
	{0xfd0d, immShuffle, 2, "i8x16.shuffle", 0},
	{0xfd0e, immNone, 2, "i8x16.swizzle i8x16.splat i16x8.splat i32x4.splat i64x2.splat f32x4.splat f64x2.splat", 0},
	{0xfd15, immLane, 2, `i8x16.extract_lane_s i8x16.extract_lane_u i8x16.replace_lane i16x8.extract_lane_s
		i16x8.extract_lane_u i16x8.replace_lane i32x4.extract_lane i32x4.replace_lane i64x2.extract_lane
		i64x2.replace_lane f32x4.extract_lane f32x4.replace_lane f64x2.extract_lane f64x2.replace_lane`, 0},
	{0xfd23, immNone, 2, `i8x16.eq i8x16.ne i8x16.lt_s i8x16.lt_u i8x16.gt_s i8x16.gt_u i8x16.le_s i8x16.le_u i8x16.ge_s
		i8x16.ge_u i16x8.eq i16x8.ne i16x8.lt_s i16x8.lt_u i16x8.gt_s i16x8.gt_u i16x8.le_s i16x8.le_u i16x8.ge_s i16x8.ge_u
		i32x4.eq i32x4.ne i32x4.lt_s i32x4.lt_u i32x4.gt_s i32x4.gt_u i32x4.le_s i32x4.le_u i32x4.ge_s i32x4.ge_u
		f32x4.eq f32x4.ne f32x4.lt f32x4.gt f32x4.le f32x4.ge f64x2.eq f64x2.ne f64x2.lt f64x2.gt f64x2.le f64x2.ge
		v128.not v128.and v128.andnot v128.or v128.xor v128.bitselect v128.any_true`, 0},
	{0xfd54, immMemArgLane, costLoad, `v128.load8_lane v128.load16_lane v128.load32_lane v128.load64_lane
		v128.store8_lane v128.store16_lane v128.store32_lane v128.store64_lane`, 0},
	{0xfd5c, immMemArg, costLoad, "v128.load32_zero v128.load64_zero", 0},
	{0xfd5e, immNone, 3, `f32x4.demote_f64x2_zero f64x2.promote_low_f32x4 i8x16.abs i8x16.neg i8x16.popcnt i8x16.all_true
		i8x16.bitmask i8x16.narrow_i16x8_s i8x16.narrow_i16x8_u f32x4.ceil f32x4.floor f32x4.trunc f32x4.nearest
		i8x16.shl i8x16.shr_s i8x16.shr_u i8x16.add i8x16.add_sat_s i8x16.add_sat_u i8x16.sub i8x16.sub_sat_s
		i8x16.sub_sat_u f64x2.ceil f64x2.floor i8x16.min_s i8x16.min_u i8x16.max_s i8x16.max_u f64x2.trunc i8x16.avgr_u
		i16x8.extadd_pairwise_i8x16_s i16x8.extadd_pairwise_i8x16_u i32x4.extadd_pairwise_i16x8_s
		i32x4.extadd_pairwise_i16x8_u`, 0},
	{0xfd80, immNone, 3, `i16x8.abs i16x8.neg i16x8.q15mulr_sat_s i16x8.all_true i16x8.bitmask i16x8.narrow_i32x4_s
		i16x8.narrow_i32x4_u i16x8.extend_low_i8x16_s i16x8.extend_high_i8x16_s i16x8.extend_low_i8x16_u
		i16x8.extend_high_i8x16_u i16x8.shl i16x8.shr_s i16x8.shr_u i16x8.add i16x8.add_sat_s i16x8.add_sat_u i16x8.sub
		i16x8.sub_sat_s i16x8.sub_sat_u f64x2.nearest i16x8.mul i16x8.min_s i16x8.min_u i16x8.max_s i16x8.max_u - i16x8.avgr_u
		i16x8.extmul_low_i8x16_s i16x8.extmul_high_i8x16_s i16x8.extmul_low_i8x16_u i16x8.extmul_high_i8x16_u`, 0},
	{0xfda0, immNone, 3, `i32x4.abs i32x4.neg - i32x4.all_true i32x4.bitmask - - i32x4.extend_low_i16x8_s
		i32x4.extend_high_i16x8_s i32x4.extend_low_i16x8_u i32x4.extend_high_i16x8_u i32x4.shl i32x4.shr_s i32x4.shr_u
		i32x4.add - - i32x4.sub - - - i32x4.mul i32x4.min_s i32x4.min_u i32x4.max_s i32x4.max_u i32x4.dot_i16x8_s -
		i32x4.extmul_low_i16x8_s i32x4.extmul_high_i16x8_s i32x4.extmul_low_i16x8_u i32x4.extmul_high_i16x8_u`, 0},
	{0xfdc0, immNone, 3, `i64x2.abs i64x2.neg - i64x2.all_true i64x2.bitmask - - i64x2.extend_low_i32x4_s
		i64x2.extend_high_i32x4_s i64x2.extend_low_i32x4_u i64x2.extend_high_i32x4_u i64x2.shl i64x2.shr_s i64x2.shr_u
		i64x2.add - - i64x2.sub - - - i64x2.mul i64x2.eq i64x2.ne i64x2.lt_s i64x2.gt_s i64x2.le_s i64x2.ge_s
		i64x2.extmul_low_i32x4_s i64x2.extmul_high_i32x4_s i64x2.extmul_low_i32x4_u i64x2.extmul_high_i32x4_u`, 0},
	{0xfde0, immNone, 4, `f32x4.abs f32x4.neg - f32x4.sqrt f32x4.add f32x4.sub f32x4.mul f32x4.div f32x4.min f32x4.max
		f32x4.pmin f32x4.pmax f64x2.abs f64x2.neg - f64x2.sqrt f64x2.add f64x2.sub f64x2.mul f64x2.div f64x2.min f64x2.max
		f64x2.pmin f64x2.pmax i32x4.trunc_sat_f32x4_s i32x4.trunc_sat_f32x4_u f32x4.convert_i32x4_s f32x4.convert_i32x4_u
		i32x4.trunc_sat_f64x2_s_zero i32x4.trunc_sat_f64x2_u_zero f64x2.convert_low_i32x4_s f64x2.convert_low_i32x4_u`, 0},
}
