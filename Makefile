# Sallyport. `make help` lists the targets.
GO      ?= go
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 5s
SUDO    := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: help build demo test unit integration race fuzz shortfuzz bench check docs peers clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

build: ## build bin/sallyport
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/sallyport ./cmd/sallyport

demo: build ## a whole federation on loopback: legacy server, gate, partner, stranger
	./bin/sallyport demo

test: build peers unit shortfuzz integration ## all tests: units with the race detector, short fuzzing, real servers in network namespaces

unit: ## unit tests, race detector on, shuffled
	$(GO) test -race -shuffle=on -timeout 10m $$($(GO) list ./... | grep -v internal/integration)

integration: build peers ## real servers through the gate, in network namespaces (needs root)
	SALLYPORT_BIN=$(CURDIR)/bin/sallyport $(GO) test -count=1 -timeout 15m ./internal/integration/...

race: ## unit tests twice under the race detector
	$(GO) test -race -shuffle=on -count=2 ./...

# internal/config links the policy engine, whose instrumented build takes minutes: its fuzz target runs in `make fuzz` alone,
# and its corpus in the unit tests.
SHORTFUZZ := ./internal/jid ./internal/stanza ./internal/stream ./internal/resolve ./dialback ./certs ./audit
FUZZ      := $(SHORTFUZZ) ./internal/config

fuzz: ## run each fuzz target for FUZZTIME (default 5s)
	@$(call fuzzing,$(FUZZ))

shortfuzz:
	@$(call fuzzing,$(SHORTFUZZ))

fuzzing = set -e; for p in $(1); do for t in $$(cat $$p/*_test.go | grep -oE '^func Fuzz[A-Za-z0-9_]+' | cut -c6-); do \
	echo "fuzz $$p $$t"; $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) $$p >fuzz.out 2>&1 || { cat fuzz.out; exit 1; }; done; done; rm -f fuzz.out

bench: build ## speed and memory: micro-benchmarks, then the load generator against the gate and real servers
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 0.5s ./internal/stanza ./internal/jid ./policy ./audit ./dialback ./proxy
	$(GO) run ./internal/load/bench -sallyport ./bin/sallyport

check: ## formatting, vet, static analysis, tidy modules, generated documents
	@test -z "$$(gofmt -s -l $$(git ls-files '*.go'))" || { gofmt -s -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) test -count=1 ./internal/house ./internal/config ./audit -run 'House|Reference|Generated|Floor|Docs|Cit|Teach|Trust|Main|Exits'

docs: ## regenerate docs/reference
	$(GO) test ./internal/config ./audit ./proxy -run 'Reference' -update

peers: ## install the real servers that the tests talk to (Debian packages; root)
	@if [ "$$(id -u)" = 0 ] || [ -n "$$CI" ]; then $(SUDO) sh internal/xmpptest/lab/install.sh; else echo "not root: the real servers are not installed, their tests will say that they are skipped"; fi

clean: ## remove what was built
	rm -rf bin
