package runtime

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
)

// stringList is what WASI hands over as argv or environ: strings one after another, each ended by a NUL.
type stringList struct {
	bytes []byte
	count int
}

func (l *stringList) reset() { l.bytes, l.count = l.bytes[:0], 0 }

// add appends a string; one with a NUL in it cannot be told to a program and is left out.
func (l *stringList) add(s string) {
	if bytes.IndexByte([]byte(s), 0) < 0 {
		l.bytes = append(append(l.bytes, s...), 0)
		l.count++
	}
}

// variable appends NAME=value unless the name is there already.
func (l *stringList) variable(name string, value []byte) {
	at := len(l.bytes)
	l.bytes = append(append(l.bytes, name...), '=')
	l.finish(at, value)
}

// header appends Http_NAME=value with '_' for every '-' of the name, unless it is there already. Proxy would become HTTP_PROXY to
// programs that ignore case, so it never is a variable.
func (l *stringList) header(name, value []byte) {
	if bytes.EqualFold(name, []byte("Proxy")) || bytes.IndexByte(name, '=') >= 0 || bytes.IndexByte(name, 0) >= 0 {
		return
	}
	at := len(l.bytes)
	l.bytes = append(l.bytes, "Http_"...)
	for _, b := range name {
		if b == '-' {
			b = '_'
		}
		l.bytes = append(l.bytes, b)
	}
	l.bytes = append(l.bytes, '=')
	l.finish(at, value)
}

// finish completes the variable whose name and '=' lie at the end of the list, or takes them back.
func (l *stringList) finish(at int, value []byte) {
	if name := l.bytes[at:]; bytes.IndexByte(value, 0) >= 0 || l.has(l.bytes[:at], name) {
		l.bytes = l.bytes[:at]
		return
	}
	l.bytes = append(append(l.bytes, value...), 0)
	l.count++
}

// has tells whether one of the strings begins with prefix.
func (l *stringList) has(list, prefix []byte) bool {
	for len(list) > 0 {
		if bytes.HasPrefix(list, prefix) {
			return true
		}
		list = list[bytes.IndexByte(list, 0)+1:]
	}
	return false
}

// newArgs makes argv: the given arguments, or the function's name alone.
func newArgs(args []string, name string) (l stringList) {
	if len(args) == 0 {
		args = []string{name}
	}
	for _, a := range args {
		l.add(a)
	}
	return l
}

// newEnviron makes the function's own environment, in order of names.
func newEnviron(env map[string]string) (l stringList) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		l.add(name + "=" + env[name])
	}
	return l
}

// environ makes the environment of the call when the guest first asks for it: the variables both OpenFaaS watchdogs make of a request,
// then the function's own. The first of a name counts, as it does for getenv; a header comes after what the platform itself says.
func (c *call) environ() *stringList {
	if c.freezing != nil || c.module.code.abi != command { // early: there is no request yet; a reactor gets it otherwise
		return &c.module.env
	}
	l := &c.env
	if l.count > 0 {
		return l
	}
	r := c.req
	l.variable("Http_Method", r.Method)
	l.variable("Http_Path", r.Path)
	if len(r.Query) > 0 {
		l.variable("Http_Query", r.Query)
	}
	l.variable("Http_Host", r.Host)
	var digits [20]byte
	length := strconv.AppendInt(digits[:0], int64(len(r.Body)), 10)
	l.variable("Http_ContentLength", length)
	l.variable("Http_Content_Length", length)
	if r.Header != nil {
		if c.addHeader == nil { // once: a new one for every call would have to be allocated
			c.addHeader = func(name, value []byte) bool {
				c.env.header(name, value)
				return true
			}
		}
		r.Header.Visit(c.addHeader)
	}
	l.bytes = append(l.bytes, c.module.env.bytes...)
	l.count += c.module.env.count
	return l
}
