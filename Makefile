# Sallyport. `make help` lists the targets.
GO      ?= go
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 1m
SUDO    := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: help build demo test unit integration race fuzz shortfuzz crash bench archive check docs peers clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## build bin/sallyport
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/sallyport ./cmd/sallyport

demo: build ## a whole federation on loopback: legacy server, gate, partner, stranger
	./bin/sallyport demo

test: build peers unit shortfuzz integration ## all tests: units with the race detector, short fuzzing, real servers in network namespaces

unit: build ## unit tests, race detector on, shuffled
	SALLYPORT_BIN=$(CURDIR)/bin/sallyport $(GO) test -race -shuffle=on -timeout 10m $$($(GO) list ./... | grep -v internal/integration)
	$(GO) test -run 'Alloc|IdleLinks' ./internal/stanza ./internal/jid ./policy ./audit ./proxy  # what the race detector distorts

integration: build peers ## real servers through the gate, in network namespaces (needs root)
	SALLYPORT_BIN=$(CURDIR)/bin/sallyport $(GO) test -count=1 -timeout 15m ./internal/integration/...

crash: build ## kill the gate under load, 200 times, and hold the record against what was delivered
	SALLYPORT_BIN=$(CURDIR)/bin/sallyport $(GO) test -count=1 -timeout 30m -v ./internal/crash -kills 200

race: ## unit tests twice under the race detector
	$(GO) test -race -shuffle=on -count=2 -timeout 20m $$($(GO) list ./... | grep -v internal/integration)

# policy holds the engine, and internal/config links it; their build with instruments for fuzzing takes minutes. What reads the configuration is fuzzed in
# internal/config/document each time, the whole of it in `make fuzz` alone.
SHORTFUZZ := ./internal/jid ./internal/stanza ./internal/content ./internal/transform ./internal/stream ./internal/resolve ./internal/config/document ./dialback ./certs ./audit
FUZZ      := $(SHORTFUZZ) ./internal/config ./policy ./proxy

fuzz: ## search with each fuzz target for FUZZTIME (default 1m)
	@$(call fuzzing,$(FUZZ),$(FUZZTIME))

# So many inputs and not so long: what it looks at shall not depend on the machine, and a search that goes deeper is a work of its own.
shortfuzz: ## a short run of those that are part of `make test`
	@$(call fuzzing,$(SHORTFUZZ),3000x)

# An input that reaches something new is not made shorter for long, which would take all of a short run. The go command at times takes the end of its own time for a failure; then there is no failing input.
fuzzing = set -e; out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	for p in $(1); do for t in $$(cat $$p/*_test.go | grep -oE '^func Fuzz[A-Za-z0-9_]+' | cut -c6-); do \
	echo "fuzz $$p $$t"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(2) -fuzzminimizetime 10x $$p >"$$out" 2>&1 || \
	{ grep -q "^    context deadline exceeded" "$$out" && ! grep -q "Failing input" "$$out"; } || { cat "$$out"; exit 1; }; done; done

# Benchmarks of what a stanza meets on its way; a link's are in the load generator.
BENCHMARKS := Reload|Full$$|Ready$$|Scan|Batch|AppendTo|Cache|Memoised|Encode|Append|BareSync|Lone|Sealed|Verify|FastPath

bench: build peers ## speed and memory: micro-benchmarks, then the load generator against the gate and real servers
	$(GO) test -run '^$$' -bench '$(BENCHMARKS)' -benchmem -benchtime 0.3s ./internal/stanza ./internal/jid ./policy ./audit ./dialback ./proxy
	$(GO) test -run '^$$' -bench Sustained -benchtime 1x ./audit -args -sustain 10s
	$(GO) test -run '^$$' -bench Sinks -benchtime 1x ./audit/sink
	$(GO) run ./internal/load/bench -sallyport ./bin/sallyport

ARCHIVE_EVENTS ?= 10000000

# Twice: the memory of the second run is that of the searches alone. It is made on the disk of the checkout, for /tmp may be memory.
archive: ## searches in a record of ARCHIVE_EVENTS events, ten million by default; takes long
	@dir=$$(mktemp -d ./archive-XXXXXX) && dir=$$(realpath $$dir) && trap 'rm -rf "$$dir"' EXIT && for run in 1 2; do \
	$(GO) test ./audit -run '^$$' -bench Archive -archive "$$dir/audit" -archive-events $(ARCHIVE_EVENTS) -timeout 1h || exit 1; done

# Not in go.mod: a tool's modules are not the program's.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

check: ## formatting, vet, static analysis, tidy modules, the rules of the house, generated documents, examples
	@test -z "$$(gofmt -s -l $$(git ls-files '*.go'))" || { gofmt -s -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	GOARCH=386 $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff
	$(GO) test -count=1 ./internal/house ./examples
	$(GO) test -count=1 -run Reference $(REFERENCES)

# The packages whose tests write a page of docs when they are told to.
REFERENCES := ./internal/config ./audit ./proxy ./internal/integration

docs: ## write docs/reference and docs/interop.md anew from the code
	$(GO) test -count=1 -run Reference $(REFERENCES) -update

peers: ## install the real servers that the tests talk to (Debian packages; root)
	@if [ "$$(id -u)" = 0 ] || [ -n "$$CI" ]; then $(SUDO) sh internal/xmpptest/lab/install.sh; else echo "not root: the real servers are not installed, their tests will say that they are skipped"; fi

clean: ## remove what was built
	rm -rf bin
