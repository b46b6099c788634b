# Every target works on a machine with Go and make alone, except guests, guests-check and bench, which name what they need.
export GOFLAGS := -trimpath -buildvcs=false
GO          ?= go
FUZZTIME    ?= 10s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT      := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS     := -X main.release=$(VERSION) -X main.commit=$(COMMIT)

.PHONY: help build test race lint fuzz bench bench-check guests guests-check vendor-js check full release

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | sort | expand -t 20

build: ## ./hearth
	$(GO) build -ldflags "$(LDFLAGS)" -o hearth .

test: ## every test
	$(GO) test ./...

race: ## every test under the race detector
	$(GO) test -race -timeout 30m ./...

lint: ## format, module file, vet, staticcheck
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "gofmt -w these:"; echo "$$bad"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./... ./testdata/bench
	GOROOT=$$($(GO) env GOROOT) $(GO) run $(STATICCHECK) ./... ./testdata/bench

# The toolchain now and then reports the end of the time itself as a failure; a real one has written its input.
fuzz: ## every fuzz target for FUZZTIME (10s)
	@$(GO) list -f '{{if .TestGoFiles}}{{.Dir}}{{end}}{{if .XTestGoFiles}} {{.Dir}}{{end}}' ./... | tr ' ' '\n' | sort -u | while read -r dir; do \
		[ -n "$$dir" ] || continue; \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$dir/*_test.go); do \
			if out=$$(cd $$dir && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x . 2>&1); then \
				echo "$$target: $$(echo "$$out" | grep -o 'execs: [0-9]*' | tail -1)"; \
			elif echo "$$out" | grep -q '^ *context deadline exceeded' && ! echo "$$out" | grep -q 'Failing input'; then \
				echo "$$target: $$(echo "$$out" | grep -o 'execs: [0-9]*' | tail -1), time is up"; \
			else \
				echo "$$out"; exit 1; \
			fi; \
		done; \
	done

bench: ## figures of SPECIFICATION.md on this machine; needs wrk and hey
	$(GO) run ./testdata/bench

bench-check: ## fail when a figure is below its floor; needs wrk and hey
	$(GO) run ./testdata/bench -check

guests: ## rebuild the committed WebAssembly modules from their C and WAT sources
	testdata/guests/build.sh

guests-check: ## fail when a committed WebAssembly module differs from what its source builds
	testdata/guests/build.sh --check

vendor-js: ## fail when the vendored JavaScript engine is not the one its authors published; needs npm
	@dir=$$(mktemp -d) && cd $$dir && npm pack --silent @jitl/quickjs-wasmfile-release-sync@0.32.0 >/dev/null && tar xzf *.tgz && \
		cmp package/dist/emscripten-module.wasm $(CURDIR)/runtime/quickjs/quickjs.wasm && cmp package/LICENSE $(CURDIR)/runtime/quickjs/LICENSE && \
		echo "vendor-js: quickjs.wasm is the published one"; status=$$?; rm -rf $$dir; exit $$status

check: lint test race fuzz guests-check ## what CI runs

full: ## check at full scale (200 kills and the like); takes an hour
	CHECK_SCALE=10 FUZZTIME=2m $(MAKE) check bench-check

release: ## static stripped binaries for Linux with checksums, in dist/
	rm -rf dist && mkdir dist
	for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -ldflags "-s -w $(LDFLAGS)" -o dist/hearth-linux-$$arch . && \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -tags nethttpomithttp2 -ldflags "-s -w -X main.version=$(VERSION)" -o dist/fwatchdog-linux-$$arch ./watchdog/fwatchdog || exit 1; \
	done
	cd dist && ls -l && sha256sum hearth-linux-* fwatchdog-linux-* | tee SHA256SUMS
	@for f in dist/fwatchdog-linux-*; do [ $$(stat -c %s $$f) -le $$((15 << 20)) ] || { echo "$$f is larger than 15 MiB"; exit 1; }; done
