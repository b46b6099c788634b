package rewrite

// Feature is a part of WebAssembly beyond its first version, under the name its proposal has.
type Feature uint8

// The features Parse tells apart. Those of WebAssembly 2.0 are always on and need no name here.
const (
	featureCore Feature = iota
	FeatureTailCall
	FeatureThreads
	FeatureExceptions
	FeatureLegacyExceptions
	FeatureGC
	FeatureTypedReferences
	FeatureRelaxedSIMD
	FeatureWideArithmetic
	FeatureMemory64
	FeatureMultiMemory
	FeatureExtendedConst
	FeatureComponents
)

var featureNames = [...]string{
	featureCore:             "WebAssembly 2.0",
	FeatureTailCall:         "tail calls",
	FeatureThreads:          "threads (shared memory and atomics)",
	FeatureExceptions:       "exception handling",
	FeatureLegacyExceptions: "legacy exception handling",
	FeatureGC:               "garbage collection",
	FeatureTypedReferences:  "typed function references",
	FeatureRelaxedSIMD:      "relaxed SIMD",
	FeatureWideArithmetic:   "wide arithmetic",
	FeatureMemory64:         "64-bit memory",
	FeatureMultiMemory:      "multiple memories",
	FeatureExtendedConst:    "extended constant expressions",
	FeatureComponents:       "the component model",
}

// String is the feature's name in plain words.
func (f Feature) String() string { return featureNames[f] }

// advice says how to build the program without the feature; empty when there is no common switch.
func (f Feature) advice() string {
	switch f {
	case FeatureTailCall:
		return "build without -mtail-call"
	case FeatureThreads:
		return "build for one thread: without -pthread, -matomics or a *-threads target"
	case FeatureExceptions, FeatureLegacyExceptions:
		return "build with -fno-exceptions or let the compiler lower exceptions (emscripten: -sDISABLE_EXCEPTION_CATCHING=0 without -fwasm-exceptions)"
	case FeatureGC, FeatureTypedReferences:
		return "pick a compiler target with linear memory"
	case FeatureRelaxedSIMD:
		return "build without -mrelaxed-simd (plain -msimd128 works)"
	case FeatureWideArithmetic:
		return "build without -mwide-arithmetic"
	case FeatureMemory64:
		return "build for wasm32, not wasm64"
	case FeatureMultiMemory:
		return "build without -mmultimemory"
	case FeatureExtendedConst:
		return "build without -mextended-const"
	case FeatureComponents:
		return "build a core module for WASI preview 1 instead: " +
			"Go GOOS=wasip1 GOARCH=wasm, TinyGo -target=wasip1, Rust --target wasm32-wasip1, " +
			"C clang --target=wasm32-wasip1 (or wasm32-wasi)"
	}
	return ""
}
