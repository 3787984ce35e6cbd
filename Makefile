# millrace: what a developer types. `make` alone lists it.

LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)
FUZZTIME     ?= 30s
TESTS        ?= Crash|Torture|IsKilled|Network|AreDeleted
PKGS         ?= ./...
ARGS         ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## Run all tests, with the race detector; they need make services
	go test -race ./...

.PHONY: services
services: ## Install and start the servers that the tests share
	@internal/servers/install.sh
	@go run ./internal/servers/services up

.PHONY: services-stop
services-stop: ## Stop them, and remove their data
	@go run ./internal/servers/services down

.PHONY: lint
lint: $(LINT) ## Check style, doc comments and who imports whom
	$(LINT) run $(PKGS)

.PHONY: fmt
fmt: $(LINT) ## Format all Go files
	$(LINT) fmt

.PHONY: bench
bench: ## Measure throughput; options in ARGS, such as ARGS="-workload hop"
	go run ./benchmarks $(ARGS)

.PHONY: semantics
semantics: ## Show which tests cite which statements of docs/semantics.md; fail if one is missing
	@go run ./internal/semantics -check

.PHONY: torture
torture: ## Run the long tests of crashes and faults
	MILLRACE_TORTURE=1 go test -count=1 -timeout=60m -run '$(TESTS)' ./...

.PHONY: fuzz
fuzz: ## Fuzz whatever parses, each target for FUZZTIME (30s)
	@grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n1 dirname | sort -u | \
	while read -r pkg; do \
		for f in $$(go test -list '^Fuzz' "$$pkg" | grep '^Fuzz'); do \
			echo "$$pkg $$f"; \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime '$(FUZZTIME)' "$$pkg" || exit 1; \
		done || exit 1; \
	done

.PHONY: ci
ci: ## Run everything that a change must pass
	.ci/run

# The linter, at one version, built by Go and kept in bin.
$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@
