#!/usr/bin/env bash
# build.sh writes every module that is built from C or WAT into the tree; build.sh --check builds them aside and fails when one
# differs from the committed file. The same sources and tool versions give the same bytes on every machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
shopt -s nullglob

missing() {
	echo "guests: $1" >&2
	echo "guests: Debian 12 has what is needed: clang lld wasi-libc libclang-rt-14-dev-wasm32 wabt" >&2
	exit 1
}
CLANG=${CLANG:-clang}
[[ "$("$CLANG" --version 2>&1 | head -1)" == *"clang version 14."* ]] || missing "clang 14 is not installed ($CLANG)"
[[ "$(wasm-ld --version 2>&1)" == *"LLD 14."* ]] || missing "lld 14 is not installed (wasm-ld)"
[ -f /usr/include/wasm32-wasi/wasi/api.h ] || missing "wasi-libc is not installed (/usr/include/wasm32-wasi)"
[ -n "$("$CLANG" --target=wasm32-wasi -print-libgcc-file-name | xargs ls 2>/dev/null)" ] || missing "libclang-rt-14-dev-wasm32 is not installed"
command -v wat2wasm >/dev/null || missing "wabt is not installed (wat2wasm)"

out=.
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
if [ "${1:-}" = --check ]; then
	out=$objects/out
fi

# compile OUTPUT SOURCE...: the stack lies below the data, so that an overflow traps instead of overwriting variables. It links apart
# and without -O, because clang then runs no wasm-opt, whose output depends on whether and which one a machine has.
compile() {
	local target=$1 source list=()
	shift
	mkdir -p "$(dirname "$out/$target")"
	for source in "$@"; do
		list+=("$objects/${#list[@]}.o")
		"$CLANG" --target=wasm32-wasi -O2 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror -c "$source" -o "${list[-1]}"
	done
	"$CLANG" --target=wasm32-wasi "${list[@]}" -Wl,--strip-all,--stack-first,-z,stack-size=32768 -o "$out/$target"
	chmod 644 "$out/$target"
	built+=("$target")
}

built=()
for dir in testdata/guests/store/*/; do
	name=$(basename "$dir")
	[ "$name" = lib ] || compile "backends/inproc/store/wasm/$name.wasm" "$dir"*.c testdata/guests/store/lib/*.c
done
mkdir -p "$out/runtime/rewrite/testdata"
"$CLANG" --target=wasm32 -O2 -std=gnu11 -Wall -Wextra -Werror -ffreestanding -c testdata/guests/kernels/kernels.c -o "$objects/kernels.o"
"$CLANG" --target=wasm32 -nostdlib "$objects/kernels.o" \
	-Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=65536 \
	-o "$out/runtime/rewrite/testdata/kernels.wasm"
chmod 644 "$out/runtime/rewrite/testdata/kernels.wasm"
built+=(runtime/rewrite/testdata/kernels.wasm)
mkdir -p "$out/runtime/testdata/image"
"$CLANG" --target=wasm32 -O2 -std=gnu11 -Wall -Wextra -Werror -ffreestanding -c runtime/testdata/image/reactor.c -o "$objects/reactor.o"
"$CLANG" --target=wasm32 -nostdlib "$objects/reactor.o" \
	-Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=32768 \
	-o "$out/runtime/testdata/image/reactor.wasm"
chmod 644 "$out/runtime/testdata/image/reactor.wasm"
built+=(runtime/testdata/image/reactor.wasm)
compile runtime/testdata/image/draw.wasm runtime/testdata/image/draw.c
for source in testdata/guests/reactor/*.c; do
	mkdir -p "$out/testdata/guests/reactor"
	"$CLANG" --target=wasm32 -O2 -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror -ffreestanding -fno-builtin -c "$source" -o "$objects/reactor.o"
	"$CLANG" --target=wasm32 -nostdlib "$objects/reactor.o" \
		-Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=32768 -o "$out/${source%.c}.wasm"
	chmod 644 "$out/${source%.c}.wasm"
	built+=("${source%.c}.wasm")
done
for source in testdata/guests/hostile/*.c; do
	compile "${source%.c}.wasm" "$source"
done
for source in testdata/guests/hostile/*.wat runtime/testdata/image/*.wat; do
	mkdir -p "$(dirname "$out/$source")"
	wat2wasm --enable-tail-call "$source" -o "$out/${source%.wat}.wasm"
	built+=("${source%.wat}.wasm")
done

# A module without a source is as wrong as a stale one.
status=0
for file in backends/inproc/store/wasm/*.wasm testdata/guests/hostile/*.wasm testdata/guests/reactor/*.wasm; do
	[[ " ${built[*]} " == *" $file "* ]] || { echo "guests: $file has no source" >&2; status=1; }
done
# CORPUS ends with what is built here: all above its last comment is kept as it is.
corpus=testdata/guests/CORPUS
mkdir -p "$out/testdata/guests"
{
	sed '/^# Ours/,$d' "$corpus"
	echo "# Ours, built by build.sh from the C or WAT source of the same name."
	for file in "${built[@]}"; do
		name=$(basename "$file" .wasm)
		echo "$(basename "$(dirname "$file")" | sed s/^wasm$/store/)/$name Apache-2.0 $(sha256sum <"$out/$file" | cut -c1-64) - $file"
	done
} >"$out/$corpus.new"
mv "$out/$corpus.new" "$out/$corpus"
built+=("$corpus")
if [ "$out" != . ]; then
	for file in "${built[@]}"; do
		cmp -s "$out/$file" "$file" || { echo "guests: $file differs from its source; run make guests" >&2; status=1; }
	done
fi
[ $status -ne 0 ] || echo "guests: $((${#built[@]} - 1)) modules, $(cat "${built[@]/#/$out/}" | wc -c) bytes"
exit $status
