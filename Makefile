# Every target that people and CI use; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION := 0.1.0
VAR     ?= $(CURDIR)/var
BIN     := bin
MINIOS  := $(VAR)/minios
ENVIRONMENT := $(VAR)/environment

export CGO_ENABLED := 0
# The tree may belong to another user than root, which git then refuses to read.
export GOFLAGS := -buildvcs=false
export KADEPLOY_BIN := $(CURDIR)/$(BIN)
export KADEPLOY_MINIOS := $(MINIOS)
export KADEPLOY_ENVIRONMENT := $(ENVIRONMENT)

# The names of old under which kadeploy is called, too.
NAMES := kadeploy3 kaenv3 kareboot3 kapower3 kaconsole3 kanodes3 karights3 kastat3

# Packages whose tests measure time: one at a time, after all others.
TIMED_TESTS := ./kascade/...

# Packages whose tests boot machines: one at a time, at the end.
VM_TESTS := ./minios/vmtest ./minios/lab/e2e

# All packages but those.
PLAIN_TESTS = $$(go list ./... | grep -v -F -x -f <(go list $(TIMED_TESTS) $(VM_TESTS)))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: packages
packages: ## install the Debian packages that are needed (root)
	@scripts/install-packages.sh

.PHONY: build
build: ## build the programs, static, into bin/
	@mkdir -p $(BIN)
	@go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/ \
		./coordinator/cmd/... ./agent/cmd/... ./kascade/cmd/... ./minios/cmd/... ./minios/lab/cmd/...
	@for name in $(NAMES); do ln -sf kadeploy $(BIN)/$$name; done
	@ln -sf kadeployd $(BIN)/kadeploy3d

.PHONY: man
man: build ## write the manual pages into var/man
	@$(BIN)/kadeploy man $(VAR)/man/man1 && $(BIN)/kadeployd man $(VAR)/man/man8

.PHONY: minios
minios: packages build ## build the lab's mini-OS (kernel and initrd) into var/minios
	@$(BIN)/mkminios --manifest minios/manifest/lab.yaml --agent $(BIN)/kadeploy-agent --output $(MINIOS)

.PHONY: environment
environment: packages build ## build the environment debian12-min into var/environment
	@minios/environment/build $(ENVIRONMENT)

.PHONY: demo
demo: minios environment ## deploy Debian on three network-booted machines (KEEP=1 leaves them up)
	@scripts/demo.sh

.PHONY: test
test: packages build minios environment ## all tests, the lab's too but for some long ones
	go test -timeout 10m $(PLAIN_TESTS)
	go test -timeout 10m -p 1 $(TIMED_TESTS)
	go test -short -timeout 70m -p 1 -count 1 $(VM_TESTS)

.PHONY: test-lab
test-lab: packages build minios environment ## the whole of the tests that boot machines, the long ones too (an hour)
	go test -v -timeout 100m -p 1 -count 1 $(VM_TESTS)

.PHONY: test-unit
test-unit: packages build ## all tests that boot no machine
	go test -timeout 10m $(PLAIN_TESTS)
	go test -timeout 10m -p 1 $(TIMED_TESTS)

.PHONY: bench-rehearse
bench-rehearse: build ## deploy on 100, 1,000 and 5,000 simulated nodes, and on 100 with faults by 100 seeds, beside the goals
	@scripts/bench-rehearse.sh

.PHONY: bench-lab
bench-lab: minios environment ## deploy on three lab machines that are off, then again while they run, beside the goals (root; JSON=1 for JSON)
	@scripts/bench-lab.sh

.PHONY: race
race: build ## the tests that boot no machine, under the race detector (takes long)
	@scripts/install-packages.sh gcc libc6-dev
	CGO_ENABLED=1 go test -race -timeout 20m $(PLAIN_TESTS)
	CGO_ENABLED=1 go test -race -timeout 20m -p 1 $(TIMED_TESTS)

.PHONY: bench-image
bench-image: packages build ## how fast images are extracted, beside GNU tar and others (root; JSON=1 for JSON)
	@scripts/install-packages.sh libarchive-tools pigz lz4
	@$(BIN)/bench-image -dir $(VAR)/bench-image

.PHONY: lint
lint: packages ## formatting, vet, staticcheck, generated code
	@out=$$(gofmt -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); [ -z "$$out" ] || { echo "not formatted (run gofmt -w):"; echo "$$out"; exit 1; }
	go vet ./...
	go tool staticcheck -checks inherit,-ST1005 ./... # many messages are the contract's, capitals and all
	@rm -rf $(VAR)/.proto && mkdir -p $(VAR) && cp -r proto $(VAR)/.proto && scripts/generate.sh && diff -r proto $(VAR)/.proto \
		|| { echo "generated code differs: commit what 'make generate' makes"; exit 1; }
	@rm -rf $(VAR)/.proto

.PHONY: generate
generate: packages ## regenerate code from .proto files
	@scripts/generate.sh

.PHONY: clean
clean: ## remove what was built, caches included
	rm -rf $(BIN) $(VAR)
