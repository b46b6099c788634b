// Package quickjs holds the JavaScript engine that functions written in
// JavaScript run on: QuickJS as WebAssembly, as its authors publish it. It is
// the one binary in this repository that is not built here; see ORIGIN.
package quickjs

import _ "embed" // the files

// Wasm is the engine. Its imports and exports have one- and two-letter names,
// which belong to this very file.
//
//go:embed quickjs.wasm
var Wasm []byte

// Prelude is the script that gives functions their surroundings.
//
//go:embed prelude.js
var Prelude string

// SHA256 is the digest of Wasm, in hex. A test compares them.
const SHA256 = "105c3bed22d457e43e3d1c3c1c6959fda62a8fe06f0fc8a985303c3a2be72232"

// What the engine imports from module "a", and calls itself.
const (
	Module = "a"

	AssertFail    = "b" // (condition, file, line, function)
	FdWrite       = "c"
	FdClose       = "d"
	EnvironGet    = "e"
	EnvironSizes  = "f"
	Normalize     = "g" // a module's name
	LoadModule    = "h"
	Interrupt     = "i"
	SetTimer      = "j"
	ResizeHeap    = "k" // (bytes) -> 1 if there is room
	KeepAlive     = "l"
	LocalTime     = "m" // (seconds i64, struct tm)
	TimeZone      = "n"
	FdSeek        = "o"
	Now           = "p" // () -> milliseconds f64
	Abort         = "q"
	Exit          = "r"
	CallHost      = "s" // (context, this, argc, argv, host function) -> value
	ForgetHostRef = "t"
)

// What it exports. Values, contexts and strings are pointers; a value that is
// returned is the caller's.
const (
	Constructors    = "u"  // once, before anything else
	Malloc          = "v"  // (size) -> pointer
	GetUndefined    = "E"  // () -> value
	NewRuntime      = "K"  // () -> runtime
	Free            = "M"  // (pointer)
	NewContext      = "N"  // (runtime, 0) -> context
	FreeValue       = "P"  // (context, value)
	FreeCString     = "S"  // (context, string)
	NewArrayBuffer  = "X"  // (context, malloc'ed bytes, length) -> value that owns them
	NewString       = "_"  // (context, string) -> value
	GetString       = "$"  // (context, value) -> string
	ArrayBuffer     = "aa" // (context, value) -> bytes, malloc'ed copy
	ArrayBufferSize = "ba" // (context, value) -> length
	RunJobs         = "ga" // (runtime, most, out context) -> value
	GetAt           = "ia" // (context, value, index) -> value
	SetProperty     = "ja" // (context, value, name value, value)
	Call            = "ma" // (context, function, this, argc, array of values) -> value
	Exception       = "na" // (context, value) -> error value, 0 if it is none
	Eval            = "pa" // (context, source, length, file name, 0, flags) -> value
	GlobalObject    = "ua" // (context) -> value
	NewFunction     = "Da" // (context, name, arity, constructor, host function) -> value
	Argument        = "Ea" // (argv, index) -> value, not the caller's
	EvalModule      = 1    // flag of Eval: the source is an ES module, the value its namespace
)
