package inproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"hearth/backends"
	"hearth/backends/inproc/store"
)

// defaults are what an image says about a function that does not say it itself.
type defaults struct {
	process     []string
	environment map[string]string
	annotations map[string]string
	classicLog  bool
}

// image is what an image's name stands for here. None of digest, path and
// wasm means that it is no module: a container, which others run.
type image struct {
	digest   string // of an uploaded module
	path     string // below the module directory
	wasm     []byte // of the store
	defaults defaults
}

func (i image) isModule() bool { return i.digest != "" || i.path != "" || i.wasm != nil }

// parseImage reads an image's name. ErrInvalid for a name that can only be
// meant for a module and is wrong.
func (h *Host) parseImage(name string) (image, error) {
	if alias, ok := h.alias(name); ok {
		return h.parseAlias(name, alias)
	}
	if digest, ok := strings.CutPrefix(name, imagePrefix); ok {
		if !isDigest(digest) {
			return image{}, &backends.FieldError{Field: "image", Value: name, Allowed: "module@sha256: and 64 lower case hexadecimal digits"}
		}
		return image{digest: digest}, nil
	}
	if path, ok := modulePath(name); ok {
		if h.cfg.ModuleDir == "" {
			return image{}, &backends.FieldError{Field: "image", Value: name, Allowed: "paths are read only with --module-dir; without it upload the module (PUT /system/modules, or hearth deploy) and name it module@sha256:..."}
		}
		return image{path: path}, nil
	}
	if f, ok := store.Resolve(name); ok {
		return fromStore(f), nil
	}
	if strings.HasPrefix(name, store.Prefix) {
		return image{}, &backends.FieldError{Field: "image", Value: name, Allowed: "a function of the store, see GET /system/store"}
	}
	return image{}, nil
}

func fromStore(f store.Function) image {
	return image{wasm: f.Wasm, defaults: defaults{f.Process, f.Environment, f.Annotations, f.ClassicLog}}
}

// modulePath says whether an image's name is a path, and which.
func modulePath(name string) (string, bool) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		return path, true
	}
	ok := strings.HasPrefix(name, "/") || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../") || strings.HasSuffix(name, moduleSuffix) || strings.HasSuffix(name, ".js") || strings.HasSuffix(name, ".mjs")
	return name, ok
}

// alias finds the operator's alias of an image, by its whole name or without
// its tag.
func (h *Host) alias(name string) (store.Alias, bool) {
	if a, ok := h.cfg.Aliases[name]; ok {
		return a, true
	}
	if strings.Contains(name, "@") {
		return store.Alias{}, false // these very bytes
	}
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name = name[:colon]
	}
	if a, ok := h.cfg.Aliases[name]; ok {
		return a, true
	}
	a, ok := h.cfg.Aliases[strings.TrimPrefix(name, "docker.io/")]
	return a, ok
}

// parseAlias follows an operator's alias, which names a function of the store,
// an uploaded module or a path.
func (h *Host) parseAlias(name string, a store.Alias) (image, error) {
	var i image
	if f, ok := store.Lookup(strings.TrimPrefix(a.Function, store.Prefix)); ok {
		i = fromStore(f)
	} else if digest, ok := strings.CutPrefix(a.Function, imagePrefix); ok && isDigest(digest) {
		i.digest = digest
	} else if path, ok := modulePath(a.Function); ok && h.cfg.ModuleDir != "" {
		i.path = path
	} else {
		return image{}, &backends.FieldError{Field: "alias of " + name, Value: a.Function, Allowed: "a function of the store, module@sha256:..., or a path below --module-dir"}
	}
	if a.Process != nil {
		i.defaults.process = a.Process
	}
	i.defaults.annotations = merged(i.defaults.annotations, a.Annotations)
	i.defaults.classicLog = a.ClassicLog
	return i, nil
}

// merged gives base with over's entries put over it.
func merged(base, over map[string]string) map[string]string {
	all := make(map[string]string, len(base)+len(over))
	maps.Copy(all, base)
	maps.Copy(all, over)
	return all
}

// fetch gives the bytes of a module's image, stored so that its digest is
// enough from now on.
func (h *Host) fetch(ctx context.Context, name string, i image) (wasm []byte, digest string, unpin func(), err error) {
	digest, wasm = i.digest, i.wasm
	if i.path != "" {
		if wasm, err = h.readPath(name, i.path); err != nil {
			return nil, "", nil, err
		}
	}
	if wasm != nil {
		digest = digestOf(wasm)
	}
	unpin = h.modules.pin(digest)
	if wasm == nil {
		wasm, err = h.modules.read(digest)
	} else {
		err = h.modules.keep(ctx, wasm, h.accepts)
	}
	switch {
	case errors.Is(err, backends.ErrNotFound):
		err = backends.Errorf(backends.ErrInvalid, "image %s: %v", name, err) // not %w: what is not found is not the function
	case err != nil:
		err = fmt.Errorf("image %s: %w", name, err)
	}
	if err != nil {
		unpin()
		return nil, "", nil, err
	}
	return wasm, digest, unpin, nil
}

// readPath reads a file below the module directory, which no link leads out of.
func (h *Host) readPath(name, path string) ([]byte, error) {
	root, err := os.OpenRoot(h.cfg.ModuleDir)
	if err != nil {
		return nil, backends.Errorf(backends.ErrUnavailable, "image %s: the module directory cannot be opened: %w", name, err)
	}
	defer root.Close()
	path = strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(h.cfg.ModuleDir, "/")+"/"), "./")
	f, err := root.Open(path)
	if err != nil {
		allowed := "a file below --module-dir"
		if errors.Is(err, fs.ErrNotExist) {
			allowed = "an existing file below --module-dir"
		}
		return nil, &backends.FieldError{Field: "image", Value: name, Allowed: allowed}
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, &backends.FieldError{Field: "image", Value: name, Allowed: "a regular file"}
	}
	wasm, err := io.ReadAll(io.LimitReader(f, h.cfg.MaxModule+1))
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", name, err)
	}
	if int64(len(wasm)) > h.cfg.MaxModule {
		return nil, backends.Errorf(backends.ErrTooLarge, "image %s: the module is larger than %d bytes", name, h.cfg.MaxModule)
	}
	return wasm, nil
}
