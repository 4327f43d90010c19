# `make help` lists the targets. Everything works from a clean checkout with Go alone.

BIN     := bin/homeserver
VERSION := $(shell git describe --tags --long --always --dirty 2>/dev/null)
LDFLAGS := -X homeserver/internal/server/buildinfo.version=$(VERSION)
GOLANGCI_LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# Like golangci-lint these are not tools of go.mod, where their dependencies would choose the server's versions.
STATICCHECK_VERSION := v0.7.0
GOVULNCHECK_VERSION := v1.3.0
GO_DIRS := clients cmd examples internal migrations testserver
# One of the tests has a real crypto client, whose Olm is in Go by this tag, and else in C.
TEST_TAGS := -tags goolm

# $(call announce,ENVIRONMENT,FLAGS) says it where Go would be silent for long: with them, it has not compiled the
# modules yet.
define announce
@if [ -n "$$($(1) go list $(2) -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' github.com/jackc/pgx/v5 2>&1)" ]; then \
	echo "Go fetches and compiles all modules first, which takes one to five minutes, once." >&2; fi
endef

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: postgres build ## Build and start the server; ARGS="--listen localhost:9000" adds flags
	@exec ./$(BIN) $(ARGS)

.PHONY: build
build: ## Build the server: bin/homeserver
	$(call announce,CGO_ENABLED=0,-trimpath)
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/homeserver

.PHONY: postgres
postgres: ## Make sure that PostgreSQL's server programs are installed
	@scripts/ensure-postgres

.PHONY: browser
browser: # Say it where the tests of the pages will be skipped
	@for program in chromium chromium-browser google-chrome google-chrome-stable chrome; do \
		command -v $$program >/dev/null && exit 0; \
	done; \
	echo "There is no Chromium: the tests of the pages in a browser are skipped. Debian's package is chromium." >&2

# The most that the tests of one package may take, on a slow machine with much else to do. A test that
# waits gives up long before that, and says for what it has waited.
TEST_TIMEOUT := 45m

.PHONY: test
test: postgres browser ## Run the tests that a change needs: three minutes on two processors
	$(call announce,,)
	go test $(TEST_TAGS) -short -timeout $(TEST_TIMEOUT) ./...

.PHONY: test-all
test-all: postgres browser ## Run all tests, as CI does: ten minutes
	$(call announce,,)
	go test $(TEST_TAGS) -timeout $(TEST_TIMEOUT) ./...

.PHONY: test-clients
test-clients: postgres build ## Test what clients/ and examples/ have in Python and JavaScript, with the server that was built
	cd clients/python && HOMESERVER_BIN=$(CURDIR)/$(BIN) python3 -m unittest
	cd examples/python-bot && HOMESERVER_BIN=$(CURDIR)/$(BIN) python3 -m unittest
	cd clients/javascript && HOMESERVER_BIN=$(CURDIR)/$(BIN) node --test
	cd examples/javascript-client && HOMESERVER_BIN=$(CURDIR)/$(BIN) node --test

.PHONY: test-js-sdk
test-js-sdk: postgres browser build ## Test the server with matrix-js-sdk in Chromium: sign-in by OAuth, sliding sync
	cd clients/matrix-js-sdk && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build
	HOMESERVER_BIN=$(CURDIR)/$(BIN) go test $(TEST_TAGS),jssdk -timeout $(TEST_TIMEOUT) ./clients/matrix-js-sdk

.PHONY: race
race: postgres browser ## Run all tests with the race detector
	$(call announce,,-race)
	go test $(TEST_TAGS) -race -timeout $(TEST_TIMEOUT) ./...

.PHONY: lint
lint: ## Check format and words, run go vet, for macOS too, and golangci-lint
	@unformatted=$$(gofmt -l $(GO_DIRS)); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:"; echo "$$unformatted"; exit 1; fi
	@scripts/words
	go vet $(TEST_TAGS),jssdk ./...
	@echo "go vet for macOS: the first run compiles all modules for it, which takes a minute or two" >&2
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go vet $(TEST_TAGS),jssdk ./...
	@echo "golangci-lint: the first run compiles it and looks at all modules, which takes up to ten minutes" >&2
	$(GOLANGCI_LINT) run --allow-parallel-runners ./...

.PHONY: staticcheck
staticcheck: ## Run staticcheck alone, with its own choice of checks
	go run honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION) $(TEST_TAGS) ./...

.PHONY: vuln
vuln: ## Look for known weaknesses in what the server uses; asks vuln.go.dev
	@scripts/vuln $(GOVULNCHECK_VERSION)

.PHONY: fmt
fmt: ## Format the code
	gofmt -w $(GO_DIRS)

.PHONY: api-docs
api-docs: ## Write docs/api.md and the counts in README.md anew, from the route table
	go test ./internal/api -run '^(TestEndpointsDocument|TestReadmeCountsEndpoints)$$' -update

.PHONY: bench
bench: postgres build ## Measure the server beside its ceilings, for minutes; ARGS="--only send" chooses cases
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o $(BIN)-bench ./cmd/homeserver-bench
	@./$(BIN)-bench --server $(BIN) $(ARGS)

.PHONY: gobench
gobench: postgres ## Run the benchmarks of single functions; BENCH=Commit chooses some
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./...

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (1m)
	scripts/fuzz $(or $(FUZZTIME),1m)

.PHONY: release
release: ## Build what is published of a version: archives, Debian packages and checksums in dist/
	@scripts/release

.PHONY: test-deb
test-deb: postgres ## Install, run and remove the Debian package of this machine, as root; leaves nothing behind
	@scripts/test-deb

.PHONY: image
image: ## Build the container image homeserver:latest
	docker build --build-arg VERSION=$(VERSION) -t homeserver:latest .

.PHONY: image-dev
image-dev: ## Build the container image homeserver-dev:latest, for tests of clients and bots
	docker build --target dev --build-arg VERSION=$(VERSION) -t homeserver-dev:latest .

.PHONY: compose-check
compose-check: ## Check docker-compose.yml with Docker's own parser
	docker compose config --quiet

.PHONY: clean
clean: ## Remove what was built; the data stays
	rm -rf bin dist
