package runtime

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/api"

	"hearth/backends"
	"hearth/runtime/quickjs"
	"hearth/runtime/rewrite"
)

// A function can be the source of a JavaScript module (docs/abi/javascript.md). All of them run on one engine, compiled once; a
// function is an image of that engine after it has evaluated the source.

// maxScript bounds a source.
const maxScript = 8 << 20

var defaultExport = regexp.MustCompile(`(?m)(^|[;}\s])export\s+default\b|\bas\s+default\b`)

// isScript tells whether what was given as a module is the source of one in JavaScript.
func isScript(source []byte) bool {
	return len(source) <= maxScript && !bytes.HasPrefix(source, []byte("\x00asm")) && bytes.IndexByte(source, 0) < 0 &&
		utf8.Valid(source) && defaultExport.Match(source)
}

// isEngine tells whether a module is the JavaScript engine itself, which is no function.
func isEngine(wasm []byte) bool { return bytes.Equal(wasm, quickjs.Wasm) }

// scriptBudget bounds the evaluation of a source at deploy.
const scriptBudget = 10 * time.Second

// tryScript evaluates a source as the first call would. ErrInvalid says what is wrong with it.
func (e *Engine) tryScript(ctx context.Context, source []byte) error {
	m, err := e.Load(ctx, source, Spec{})
	if err != nil {
		return err
	}
	defer m.Close()
	ctx, cancel := context.WithTimeout(ctx, scriptBudget)
	defer cancel()
	if !e.slots.acquire(ctx, &m.lane, false) {
		return backends.Errorf(backends.ErrUnavailable, "no time to evaluate the script")
	}
	w := &worker{}
	c := &w.call
	c.begin(ctx, m, &backends.Request{Start: time.Now()}, nil)
	c.slot, c.running = true, time.Now()
	err = m.ready(w)
	slot := c.slot
	c.end()
	m.give(w)
	if slot {
		e.slots.release(&m.lane)
	}
	if err != nil {
		return backends.Errorf(backends.ErrInvalid, "the script cannot be a function: %w", err)
	}
	return nil
}

// script is where in the engine's memory a function is. Values and contexts are pointers.
type script struct {
	runtime, context, undefined       uint32
	handle, finish, binary, use, show uint32
	arguments                         uint32 // room for three values
}

// engine is what is called of an instance.
type engine struct {
	malloc, newString, newBuffer, getString, call, exception, runJobs api.Function
	buffer, bufferSize, free, freeValue, freeText                     api.Function
	stack                                                             [8]uint64
}

func bindEngine(mod api.Module) engine {
	f := mod.ExportedFunction
	return engine{
		malloc: f(quickjs.Malloc), newString: f(quickjs.NewString), newBuffer: f(quickjs.NewArrayBuffer), getString: f(quickjs.GetString),
		call: f(quickjs.Call), exception: f(quickjs.Exception), runJobs: f(quickjs.RunJobs),
		buffer: f(quickjs.ArrayBuffer), bufferSize: f(quickjs.ArrayBufferSize),
		free: f(quickjs.Free), freeValue: f(quickjs.FreeValue), freeText: f(quickjs.FreeCString),
	}
}

// invoke calls a function of the engine; the result is 0 for one without.
func (w *worker) invoke(f api.Function, params ...uint32) (uint32, error) {
	e := &w.reactor.engine
	for i, p := range params {
		e.stack[i] = uint64(p)
	}
	if err := f.CallWithStack(&w.call, e.stack[:max(len(params), 1)]); err != nil {
		return 0, err
	}
	return uint32(e.stack[0]), nil
}

// hold copies bytes and a NUL into the engine's memory.
func (w *worker) hold(p []byte) (uint32, error) {
	if len(p) >= math.MaxInt32 {
		return 0, &halt{backends.Errorf(backends.ErrTooLarge, "a request of %d bytes is more than a module can take", len(p))}
	}
	at, err := w.invoke(w.reactor.engine.malloc, uint32(len(p))+1)
	if err != nil {
		return 0, err
	}
	room, ok := part(*w.state.buffer, at, uint32(len(p))+1)
	if !ok || at == 0 {
		return 0, &halt{backends.Errorf(backends.ErrFunction, "the function has no memory left for its request (limits.memory)")}
	}
	copy(room, p)
	room[len(p)] = 0
	return at, nil
}

// value makes a string of the engine.
func (w *worker) value(context uint32, p []byte) (uint32, error) {
	at, err := w.hold(p)
	if err != nil {
		return 0, err
	}
	w.own(ownedBlock, at)
	v, err := w.invoke(w.reactor.engine.newString, context, at)
	w.own(ownedValue, v)
	return v, err
}

// text reads a value as a string; it is valid until the engine runs again.
func (w *worker) text(context, value uint32) ([]byte, error) {
	at, err := w.invoke(w.reactor.engine.getString, context, value)
	if err != nil || at == 0 {
		return nil, err
	}
	w.own(ownedText, at)
	return cString(*w.state.buffer, at), nil
}

// cString is the text at a place in memory, up to its NUL.
func cString(mem []byte, at uint32) []byte {
	if uint64(at) >= uint64(len(mem)) {
		return nil
	}
	text := mem[at:]
	if n := bytes.IndexByte(text, 0); n >= 0 {
		return text[:n]
	}
	return text
}

// apply calls a function of the prelude and gives its result; an exception becomes an error, and is explained in the log.
func (w *worker) apply(s *script, f uint32, args ...uint32) (uint32, error) {
	room, ok := part(*w.state.buffer, s.arguments, uint32(4*len(args)))
	if !ok {
		return 0, errEngineBroken
	}
	for i, a := range args {
		binary.LittleEndian.PutUint32(room[4*i:], a)
	}
	result, err := w.invoke(w.reactor.engine.call, s.context, f, s.undefined, uint32(len(args)), s.arguments)
	if err != nil {
		return 0, err
	}
	w.own(ownedValue, result)
	return result, w.raised(s, result)
}

var errEngineBroken = &halt{backends.Errorf(backends.ErrFunction, "the JavaScript engine is not what it should be")}

// raised is the error that a value stands for, if it does.
func (w *worker) raised(s *script, value uint32) error {
	thrown, err := w.invoke(w.reactor.engine.exception, s.context, value)
	if err != nil || thrown == 0 {
		return err
	}
	if s.show == 0 {
		return errEngineBroken // in the prelude itself
	}
	w.threw = true
	w.own(ownedValue, thrown)
	room, ok := part(*w.state.buffer, s.arguments, 4)
	if !ok {
		return errEngineBroken
	}
	binary.LittleEndian.PutUint32(room, thrown)
	shown, err := w.invoke(w.reactor.engine.call, s.context, s.show, s.undefined, 1, s.arguments)
	if err != nil {
		return err
	}
	w.own(ownedValue, shown)
	text, err := w.text(s.context, shown)
	if err != nil {
		return err
	}
	w.call.log.finish()
	w.call.log.write(append(bytes.Clone(bytes.TrimSpace(text)), '\n'))
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return &halt{backends.Errorf(backends.ErrFunction, "the function failed: %.300s", first)}
}

// evaluate runs the prelude and the function's source in a new instance of the engine.
func (m *Module) evaluate(w *worker) (s script, err error) {
	w.reactor.engine = bindEngine(w.mod)
	do := func(name string, params ...uint32) (v uint32) {
		if err == nil {
			v, err = w.invoke(w.mod.ExportedFunction(name), params...)
		}
		return v
	}
	hold := func(text string) (at uint32) {
		if err == nil {
			at, err = w.hold([]byte(text))
		}
		return at
	}
	do(quickjs.Constructors)
	s.runtime = do(quickjs.NewRuntime)
	s.context = do(quickjs.NewContext, s.runtime, 0)
	s.undefined = do(quickjs.GetUndefined)
	s.arguments = do(quickjs.Malloc, 16)
	host := do(quickjs.NewFunction, s.context, hold("host"), 2, 0, hostReference)
	do(quickjs.SetProperty, s.context, do(quickjs.GlobalObject, s.context), do(quickjs.NewString, s.context, hold("__host")), host)
	functions := do(quickjs.Eval, s.context, hold(quickjs.Prelude), uint32(len(quickjs.Prelude)), hold("prelude.js"), 0, 0)
	if err == nil {
		err = w.raised(&s, functions)
	}
	for i, into := range []*uint32{&s.handle, &s.finish, &s.binary, &s.use, &s.show} {
		*into = do(quickjs.GetAt, s.context, functions, uint32(i))
	}
	source := do(quickjs.Eval, s.context, hold(string(m.source)), uint32(len(m.source)), hold("function.js"), 0, quickjs.EvalModule)
	settings, e := json.Marshal(map[string]any{"env": m.spec.Env, "secrets": texts(m.spec.Secrets)})
	if err == nil {
		err = e
	}
	if err == nil {
		err = w.raised(&s, source)
	}
	if err == nil {
		var v uint32
		if v, err = w.value(s.context, settings); err == nil {
			_, err = w.apply(&s, s.use, source, v)
		}
	}
	return s, err
}

func texts(secrets map[string][]byte) map[string]string {
	m := make(map[string]string, len(secrets))
	for name, value := range secrets {
		m[name] = string(value)
	}
	return m
}

// evaluateCall lets the function answer the request of the worker's call.
func (w *worker) evaluateCall() error {
	w.reactor.owned.keeps = w.call.module.spec.Keep
	err := w.answerCall()
	if w.reactor.owned.keeps && (err == nil || w.threw) {
		if e := w.disown(); e != nil {
			w.threw = false // it is no instance to go on with
			err = e
		}
	}
	return err
}

func (w *worker) answerCall() error {
	r, c := &w.reactor, &w.call
	s, q := &r.script, c.req
	r.header = append(append(append(r.header[:0], q.Method...), '\n'), q.Path...)
	r.header = append(append(append(r.header, '\n'), q.Query...), '\n')
	if q.Header != nil {
		q.Header.Visit(r.visit)
	}
	head, err := w.value(s.context, r.header)
	if err != nil {
		return err
	}
	text, raw := s.undefined, s.undefined
	if utf8.Valid(q.Body) && bytes.IndexByte(q.Body, 0) < 0 {
		text, err = w.value(s.context, q.Body)
	} else if raw, err = w.hold(q.Body); err == nil {
		raw, err = w.invoke(r.engine.newBuffer, s.context, raw, uint32(len(q.Body)))
		w.own(ownedValue, raw)
	}
	if err != nil {
		return err
	}
	result, err := w.apply(s, s.handle, head, text, raw)
	if err != nil {
		return err
	}
	answer, err := w.text(s.context, result)
	if err == nil && bytes.Equal(answer, []byte("P")) {
		answer, err = w.settle(s)
	}
	if err != nil {
		return err
	}
	return w.scriptAnswer(s, answer)
}

// settle runs what the function's promise waits for. There are no timers and nothing else to wait for, so a promise that is not settled
// then never will be.
func (w *worker) settle(s *script) ([]byte, error) {
	failed, err := w.invoke(w.reactor.engine.runJobs, s.runtime, math.MaxUint32, s.arguments)
	if err == nil {
		w.own(ownedValue, failed)
		err = w.raised(s, failed)
	}
	if err != nil {
		return nil, err
	}
	result, err := w.apply(s, s.finish)
	if err != nil {
		return nil, err
	}
	answer, err := w.text(s.context, result)
	if err == nil && bytes.Equal(answer, []byte("P")) {
		err = &halt{backends.Errorf(backends.ErrFunction, "the function's promise is never settled")}
	}
	return answer, err
}

var (
	contentType = []byte("Content-Type")
	plainText   = []byte("text/plain; charset=utf-8")
	jsonText    = []byte("application/json")
)

// scriptAnswer takes what the prelude made of the function's answer.
func (w *worker) scriptAnswer(s *script, answer []byte) error {
	a := &w.call.answer
	if len(answer) == 0 {
		return errEngineBroken
	}
	kind, rest := answer[0], answer[1:]
	switch kind {
	case 'T':
		a.resp.SetHeader(contentType, plainText)
		return halted(a.put(rest))
	case 'J':
		a.resp.SetHeader(contentType, jsonText)
		return halted(a.put(rest))
	}
	status, rest, ok := bytes.Cut(rest, []byte("\n"))
	code, err := strconv.Atoi(string(status))
	if err != nil || code < 200 || code > 599 {
		return &halt{backends.Errorf(backends.ErrFunction, "the function answered with the status %.40q, 200 to 599 are allowed", status)}
	}
	head := bytes.IndexByte(rest, '\n') // an empty line ends the header, perhaps at once
	if head != 0 {
		head = bytes.Index(rest, []byte("\n\n")) + 1
	}
	if !ok || head < 0 || len(rest) == 0 {
		return errEngineBroken
	}
	if err := setHeader(a.resp, rest[:head]); err != nil {
		return &halt{err}
	}
	a.resp.SetStatus(code)
	if kind == 'R' {
		return halted(a.put(rest[head+1:]))
	}
	value, err := w.apply(s, s.binary)
	if err != nil {
		return err
	}
	size, err := w.invoke(w.reactor.engine.bufferSize, s.context, value)
	if err != nil {
		return err
	}
	at, err := w.invoke(w.reactor.engine.buffer, s.context, value)
	if err != nil {
		return err
	}
	w.own(ownedBlock, at)
	body, ok := part(*w.state.buffer, at, size)
	if !ok {
		return errEngineBroken
	}
	return halted(a.put(body))
}

func halted(err error) error {
	if err == nil {
		return nil
	}
	return &halt{err}
}

// hostReference is the number under which the prelude reaches scriptHost.
const hostReference = 1

// provideScripts makes known what the JavaScript engine imports. It has no files, no timers and no modules to load; its time zone is UTC.
func (e *Engine) provideScripts(ctx context.Context) error {
	type body = api.GoModuleFunc
	parsed, err := rewrite.Parse(quickjs.Wasm, rewrite.DefaultLimits())
	if err != nil {
		return fmt.Errorf("the JavaScript engine: %w", err)
	}
	nothing := func(_ context.Context, _ api.Module, stack []uint64) {
		if len(stack) > 0 {
			stack[0] = 0
		}
	}
	abort := func(context.Context, api.Module, []uint64) {
		panic(&halt{backends.Errorf(backends.ErrFunction, "the JavaScript engine gave up: it has no memory left (limits.memory), or a fault")})
	}
	bodies := map[string]body{
		quickjs.AssertFail: abort, quickjs.Abort: abort, quickjs.Exit: abort,
		quickjs.ResizeHeap: resizeHeap, quickjs.LocalTime: localTime, quickjs.TimeZone: timeZone, quickjs.CallHost: scriptHost,
		quickjs.Now: func(_ context.Context, _ api.Module, stack []uint64) {
			stack[0] = api.EncodeF64(float64(time.Now().UnixMilli()))
		},
	}
	builder := e.wasm.NewHostModuleBuilder(quickjs.Module)
	facts := parsed.Facts()
	for i := range facts.Imports {
		im := &facts.Imports[i]
		if im.Kind != rewrite.KindFunction {
			continue
		}
		run := bodies[string(im.Name)]
		if run == nil {
			run = nothing
		}
		builder.NewFunctionBuilder().WithGoModuleFunction(run, im.Type.Params, im.Type.Results).Export(string(im.Name))
	}
	_, err = builder.Instantiate(ctx)
	return err
}

// resizeHeap(bytes) -> 1 if the memory now has them.
func resizeHeap(ctx context.Context, guest api.Module, stack []uint64) {
	mem, want := guest.Memory(), uint32(stack[0])
	stack[0] = 0
	if have := mem.Size(); want > have {
		if _, ok := mem.Grow((want - have + wasmPage - 1) / wasmPage); !ok {
			callOf(ctx).starved = true
			return
		}
	}
	stack[0] = 1
}

// localTime(seconds, struct tm) fills the struct with the time in UTC.
func localTime(_ context.Context, guest api.Module, stack []uint64) {
	t := time.Unix(int64(stack[0]), 0).UTC()
	fields := [...]int{t.Second(), t.Minute(), t.Hour(), t.Day(), int(t.Month()) - 1, t.Year() - 1900, int(t.Weekday()), t.YearDay() - 1, 0, 0}
	for i, v := range fields {
		guest.Memory().WriteUint32Le(uint32(stack[1])+uint32(4*i), uint32(int32(v)))
	}
}

// timeZone(offset, daylight, standard name, daylight name) says UTC.
func timeZone(_ context.Context, guest api.Module, stack []uint64) {
	mem := guest.Memory()
	mem.WriteUint32Le(uint32(stack[0]), 0)
	mem.WriteUint32Le(uint32(stack[1]), 0)
	mem.WriteString(uint32(stack[2]), "UTC\x00")
	mem.WriteString(uint32(stack[3]), "UTC\x00")
}

// scriptFetch calls out: head is method, address and header lines, body an ArrayBuffer, and so is the answer.
func scriptFetch(c *call, guest api.Module, engine func(name string, params ...uint64) uint64, context uint64, head []byte, value uint64) uint64 {
	size, at := engine(quickjs.ArrayBufferSize, context, value), engine(quickjs.ArrayBuffer, context, value)
	body, _ := guest.Memory().Read(uint32(at), uint32(size))
	body = bytes.Clone(body)
	if at != 0 {
		engine(quickjs.Free, at)
	}
	method, rest, _ := bytes.Cut(head, []byte("\n"))
	address, header, _ := bytes.Cut(rest, []byte("\n"))
	frame := c.fetch(method, address, header, body)
	at = engine(quickjs.Malloc, uint64(len(frame)))
	if at == 0 || !guest.Memory().Write(uint32(at), frame) {
		panic(&halt{backends.Errorf(backends.ErrFunction, "the function has no memory left for an answer of %d bytes (limits.memory)", len(frame))})
	}
	return engine(quickjs.NewArrayBuffer, context, at, uint64(len(frame)))
}

// scriptHost(context, this, argc, argv, reference) -> value is what the prelude asks of the host: log a line, random numbers, or to call out.
func scriptHost(ctx context.Context, guest api.Module, stack []uint64) {
	c, context, argv := callOf(ctx), stack[0], stack[3]
	stack[0] = 0 // undefined
	call := func(name string, params ...uint64) uint64 {
		results, err := guest.ExportedFunction(name).Call(ctx, params...)
		if err != nil {
			panic(err)
		}
		if len(results) == 0 {
			return 0
		}
		return results[0]
	}
	argument := func(i uint64) []byte {
		at := call(quickjs.GetString, context, call(quickjs.Argument, argv, i))
		mem, _ := guest.Memory().Read(0, guest.Memory().Size())
		text := bytes.Clone(cString(mem, uint32(at)))
		call(quickjs.FreeCString, context, at)
		return text
	}
	switch string(argument(0)) {
	case "fetch":
		stack[0] = scriptFetch(c, guest, call, context, argument(1), call(quickjs.Argument, argv, 2))
	case "log":
		line := argument(1)
		c.log.write(line)
		c.log.write([]byte("\n"))
	case "random":
		var seed [16]byte
		_, _ = rand.Read(seed[:]) // never fails
		text := make([]byte, 0, 64)
		for i := range 4 {
			text = strconv.AppendInt(text, int64(int32(binary.LittleEndian.Uint32(seed[4*i:]))), 10)
			text = append(text, ' ')
		}
		at := call(quickjs.Malloc, uint64(len(text)))
		text[len(text)-1] = 0
		guest.Memory().Write(uint32(at), text)
		stack[0] = call(quickjs.NewString, context, at)
		call(quickjs.Free, at)
	}
}
