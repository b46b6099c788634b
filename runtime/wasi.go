package runtime

import (
	"context"
	"strings"

	"github.com/tetratelabs/wazero/api"
)

// wasiModule is the name WASI preview 1 is imported under.
const wasiModule = "wasi_snapshot_preview1"

// hostFunction is one function of the host: its name, its signature, a letter per value (i = i32, I = i64), and its body. The stack holds
// the parameters.
type hostFunction struct {
	name    string
	params  string
	results string
	call    func(c *call, mem api.Memory, stack []uint64) errno
}

// hostFunctions lists WASI preview 1, all of it: a module links whether or not it calls what a function cannot have.
func hostFunctions() []hostFunction {
	return []hostFunction{
		{"args_get", "ii", "i", (*call).argsGet},
		{"args_sizes_get", "ii", "i", (*call).argsSizesGet},
		{"environ_get", "ii", "i", (*call).environGet},
		{"environ_sizes_get", "ii", "i", (*call).environSizesGet},
		{"clock_res_get", "ii", "i", (*call).clockResGet},
		{"clock_time_get", "iIi", "i", (*call).clockTimeGet},
		{"random_get", "ii", "i", (*call).randomGet},
		{"sched_yield", "", "i", (*call).schedYield},
		{"poll_oneoff", "iiii", "i", (*call).pollOneoff},
		{"proc_exit", "i", "", (*call).procExit},
		{"proc_raise", "i", "i", (*call).procRaise},

		{"fd_advise", "iIIi", "i", (*call).fdAdvise},
		{"fd_allocate", "iII", "i", (*call).fdReadOnly},
		{"fd_close", "i", "i", (*call).fdClose},
		{"fd_datasync", "i", "i", (*call).fdSync},
		{"fd_fdstat_get", "ii", "i", (*call).fdFdstatGet},
		{"fd_fdstat_set_flags", "ii", "i", (*call).fdFdstatSetFlags},
		{"fd_fdstat_set_rights", "iII", "i", (*call).fdFdstatSetRights},
		{"fd_filestat_get", "ii", "i", (*call).fdFilestatGet},
		{"fd_filestat_set_size", "iI", "i", (*call).fdReadOnly},
		{"fd_filestat_set_times", "iIIi", "i", (*call).fdReadOnly},
		{"fd_pread", "iiiIi", "i", (*call).fdPread},
		{"fd_prestat_dir_name", "iii", "i", (*call).fdPrestatDirName},
		{"fd_prestat_get", "ii", "i", (*call).fdPrestatGet},
		{"fd_pwrite", "iiiIi", "i", (*call).fdPwrite},
		{"fd_read", "iiii", "i", (*call).fdRead},
		{"fd_readdir", "iiiIi", "i", (*call).fdReaddir},
		{"fd_renumber", "ii", "i", (*call).fdRenumber},
		{"fd_seek", "iIii", "i", (*call).fdSeek},
		{"fd_sync", "i", "i", (*call).fdSync},
		{"fd_tell", "ii", "i", (*call).fdTell},
		{"fd_write", "iiii", "i", (*call).fdWrite},

		{"path_create_directory", "iii", "i", (*call).pathReadOnly},
		{"path_filestat_get", "iiiii", "i", (*call).pathFilestatGet},
		{"path_filestat_set_times", "iiiiIIi", "i", (*call).pathSetTimes},
		{"path_link", "iiiiiii", "i", (*call).pathLink},
		{"path_open", "iiiiiIIii", "i", (*call).pathOpen},
		{"path_readlink", "iiiiii", "i", (*call).pathReadlink},
		{"path_remove_directory", "iii", "i", (*call).pathReadOnly},
		{"path_rename", "iiiiii", "i", (*call).pathReadOnly},
		{"path_symlink", "iiiii", "i", (*call).pathSymlink},
		{"path_unlink_file", "iii", "i", (*call).pathReadOnly},

		{"sock_accept", "iii", "i", (*call).sock},
		{"sock_recv", "iiiiii", "i", (*call).sock},
		{"sock_send", "iiiii", "i", (*call).sock},
		{"sock_shutdown", "ii", "i", (*call).sock},
	}
}

// provideWASI makes the host functions known to the engine.
func (e *Engine) provideWASI(ctx context.Context) error {
	builder := e.wasm.NewHostModuleBuilder(wasiModule)
	for _, h := range hostFunctions() {
		builder.NewFunctionBuilder().WithGoModuleFunction(h.body(), valueTypes(h.params), valueTypes(h.results)).Export(h.name)
	}
	_, err := builder.Instantiate(ctx)
	return err
}

// body adapts a host function: the state of the call comes in the context that the guest was entered with.
func (h hostFunction) body() api.GoModuleFunc {
	run, same := h.call, constancyOf(h.name)
	if h.results == "" {
		return func(ctx context.Context, guest api.Module, stack []uint64) {
			c := callOf(ctx)
			if c.freezing != nil && c.freezing.early != initialising {
				c.freeze(ctx, run, stack)
			}
			run(c, guest.Memory(), stack)
		}
	}
	return func(ctx context.Context, guest api.Module, stack []uint64) {
		c := callOf(ctx)
		if c.freezing != nil && same.freezes(c, stack) {
			c.freeze(ctx, run, stack)
		}
		stack[0] = uint64(run(c, guest.Memory(), stack))
	}
}

func valueTypes(letters string) []api.ValueType {
	types := make([]api.ValueType, len(letters))
	for i, l := range letters {
		types[i] = api.ValueTypeI32
		if l == 'I' {
			types[i] = api.ValueTypeI64
		}
	}
	return types
}

// signature prints a host function's type as package rewrite does: (i32 i64)->(i32).
func signature(params, results string) string {
	list := func(letters string) string {
		names := make([]string, len(letters))
		for i, l := range letters {
			names[i] = "i32"
			if l == 'I' {
				names[i] = "i64"
			}
		}
		return "(" + strings.Join(names, " ") + ")"
	}
	return list(params) + "->" + list(results)
}
