# Everything below needs the Go toolchain; lint and vuln build their tool first.
# `make help` lists the targets.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Modules of go.work are covered by Go's `work` pattern. The others keep their
# dependencies away from the product's and are visited one by one.
TOOLS   := internal/tools
# Vet and lint of Kubernetes' own code would take minutes each time: of this module,
# only the program that builds it is looked at, and go build says whether the rest holds.
CONTROLPLANE := internal/controlplane
OUTSIDE := $(filter-out $(TOOLS) $(CONTROLPLANE),$(patsubst %/go.mod,%,$(wildcard internal/*/go.mod)))

GOLANGCI := bin/golangci-lint
FUZZTIME ?= 30s
# The race detector needs a C compiler; Go says 0 where it finds none.
RACE     := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
# A failing simulation names its seed: put it here, with RUNS=8, to see it again.
SEED     ?= 0
RUNS     ?= 100000
COUNT    ?= 6

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: check
check: fmt vet arch ## What a commit must pass: format, vet, the rules of the tree (no network)

.PHONY: fmt
fmt: ## Fail if gofmt would change a file
	@files=$$(find . -name '*.go' -not -path './.git/*' -print0 | xargs -0 gofmt -l); \
	if [[ -n $$files ]]; then echo "gofmt -w these:"; echo "$$files"; exit 1; fi

.PHONY: vet
vet: ## go vet in every module
	go vet work
	@for m in $(OUTSIDE); do echo "go vet ./... in $$m"; (cd $$m && GOWORK=off go vet ./...); done
	cd $(CONTROLPLANE) && GOWORK=off go vet ./build

.PHONY: arch
arch: ## The rules of the tree: imports, determinism, API listings, documentation
	go test ./internal/archtest

# The modules outside go.work come first, so that the product's results stand last.
.PHONY: test
test: ## All tests, with the race detector where there is a C compiler
	@for m in $(OUTSIDE); do echo "go test ./... in $$m"; \
		(cd $$m && GOWORK=off go test -run . -bench . -benchtime 1x ./...); done
	@$(if $(RACE),,echo "no C compiler: testing without the race detector")
	@$(if $(RACE),echo "the simulations in full size: without the race detector they take a twentieth of the time")
	@$(if $(RACE),go test ./strategy ./strategy/strategytest ./migrate)
	go test $(RACE) -timeout 30m work

.PHONY: schedules
schedules: ## A hundred seeded schedules of faults on a real API server; SEED is the first
	RHEOSTAT_REAL=1 go test ./strategy/kube -run NoSchedule -count 1 -v -seed $(SEED)

.PHONY: controlplane
controlplane: ## Build the Kubernetes control plane that strategy/kube/kubetest starts, once
	@cd $(CONTROLPLANE) && GOWORK=off go run ./build

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (30s)
	@go list -f '{{$$p := .ImportPath}}{{range .TestGoFiles}}{{$$p}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$p}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}' work | \
	while read -r pkg file; do \
		[[ -n $$pkg ]] || continue; \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$file"); do \
			echo "== $$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg" </dev/null; \
		done; \
	done

.PHONY: sim
sim: ## The simulations of a rollout that anything may happen to; SEED= is the first seed, RUNS= how many
	go test $(RACE) -count 1 -v -run "Crash|Fault|Drift|Simulat" ./strategy/strategytest -args -seed $(SEED) -runs $(RUNS)

.PHONY: mutants
mutants: ## Take the guard of each promise away, one at a time, and see a test go red
	RHEOSTAT_MUTANTS=1 go test -count 1 -v -timeout 30m -run Guard ./internal/mutants

.PHONY: bench
bench: ## Benchmarks of every module, COUNT times (6), for benchstat
	go test -run '^$$' -bench . -benchmem -count $(COUNT) work
	@for m in $(OUTSIDE); do (cd $$m && GOWORK=off go test -run '^$$' -bench . -benchmem -count $(COUNT) ./...); done

.PHONY: api
api: ## Rewrite the listings of the exported API under api/
	go test ./internal/archtest -count 1 -run "TestTheExportedAPI|TestWhatEachPackageLinks" -update
	@git status --short api 2>/dev/null || true

.PHONY: generate
generate: ## go generate in every module
	go generate work

.PHONY: tidy
tidy: ## go mod tidy in every module
	@find . -name go.mod -not -path './.git/*' -exec dirname {} \; | sort | while read -r m; do \
		echo "go mod tidy in $$m"; (cd "$$m" && GOWORK=off go mod tidy); done

.PHONY: lint
lint: $(GOLANGCI) ## golangci-lint with .golangci.yml
	$(GOLANGCI) config verify
	$(GOLANGCI) run $$(go list -f '{{.Dir}}' -m | sed 's|$$|/...|')
	@for m in $(OUTSIDE); do (cd $$m && GOWORK=off $(CURDIR)/$(GOLANGCI) run ./...); done
	cd $(CONTROLPLANE) && GOWORK=off $(CURDIR)/$(GOLANGCI) run ./build

# Built when its pinned version changes. The first build takes some minutes; Go's
# build cache keeps the parts.
$(GOLANGCI): $(TOOLS)/go.sum
	GOWORK=off go build -C $(TOOLS) -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: vuln
vuln: ## govulncheck over the product (optional, needs the network)
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

.PHONY: cover
cover: ## Coverage of the product by its own tests, as cover.out and a summary
	go test -coverprofile cover.out -coverpkg ./... ./...
	@go tool cover -func cover.out | tail -n 1
