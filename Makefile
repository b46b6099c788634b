.PHONY: help guests guests-check

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | sort | expand -t 20

guests: ## rebuild the committed WebAssembly modules from their C and WAT sources
	testdata/guests/build.sh

guests-check: ## fail when a committed WebAssembly module differs from what its source builds
	testdata/guests/build.sh --check
