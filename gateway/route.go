package gateway

import "bytes"

var functionPrefix = []byte("/function/")

// cutCall cuts the target of a request into a function's name, its path and
// its query, as they were sent: nothing is decoded or cleaned, so that no two
// readers can differ. The path is "/" if there is none. ok is false for what is not the
// path of a call.
func cutCall(target []byte) (name, path, query []byte, ok bool) {
	target = originForm(target)
	rest, ok := bytes.CutPrefix(target, functionPrefix)
	if !ok {
		return nil, nil, nil, false
	}
	if i := bytes.IndexByte(rest, '#'); i >= 0 {
		rest = rest[:i]
	}
	rest, query, _ = bytes.Cut(rest, []byte("?"))
	if i := bytes.IndexByte(rest, '/'); i >= 0 {
		return rest[:i], rest[i:], query, true
	}
	return rest, rootPath, query, true
}

var rootPath = []byte("/")

// originForm cuts scheme and authority off a target in absolute form.
func originForm(target []byte) []byte {
	if len(target) == 0 || target[0] == '/' {
		return target
	}
	_, rest, found := bytes.Cut(target, []byte("://"))
	if !found {
		return target
	}
	if i := bytes.IndexAny(rest, "/?#"); i >= 0 && rest[i] == '/' {
		return rest[i:]
	}
	return rootPath
}
