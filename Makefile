# Diecast. `make help` lists the targets; `make test` and `make demo` are all that a newcomer needs.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# What is installed is kept for every checkout of this user, in folders named after the lock files' content.
export DIECAST_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/diecast
PYTHON_KEY := $(shell cksum < requirements.txt | cut -d ' ' -f 1)
PYTHON_HOME := $(DIECAST_CACHE)/python-$(PYTHON_KEY)
export DIECAST_PYTHON ?= $(PYTHON_HOME)/bin/python
PYTHON_BIN := $(dir $(DIECAST_PYTHON))

# One set of build flags for everything: other flags compile the million lines of CDK anew.
export GOFLAGS :=
# jsii reads these when its kernel starts, too late for Go code to set them.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 18,20
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := true

PROFILES := lean standard prod course

# Packages that import CDK link 100 MB and start a Node kernel; those that start engines take seconds each.
CDK_PACKAGES := diecast diecast/stacks diecast/constructs/% diecast/test/templates
ENGINE_PACKAGES := diecast/internal/awsdb diecast/internal/classicmodels diecast/internal/embeddings diecast/internal/onnx \
	diecast/internal/local/% diecast/lambda/% diecast/cmd/% diecast/test/contracts
ALL_PACKAGES = $(shell go list ./...)
PLAIN_PACKAGES = $(filter-out $(CDK_PACKAGES),$(ALL_PACKAGES))
FAST_PACKAGES = $(filter-out $(ENGINE_PACKAGES),$(PLAIN_PACKAGES))

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(PYTHON_HOME)/.complete node_modules/.complete ## Install what the tests and the laptop run need (once; `test` does it too)

$(PYTHON_HOME)/.complete: requirements.txt
	@echo "setup: Python tools and engines -> $(PYTHON_HOME)"
	@rm -rf "$(PYTHON_HOME)" && mkdir -p "$(DIECAST_CACHE)"
	@python3 -m venv "$(PYTHON_HOME)"
	@"$(PYTHON_HOME)/bin/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@ln -sfn "python-$(PYTHON_KEY)" "$(DIECAST_CACHE)/python"
	@touch $@

node_modules/.complete: package-lock.json
	@echo "setup: Node tools -> node_modules"
	@npm ci --silent
	@touch $@

.PHONY: synth
synth: node_modules/.complete ## Write the CloudFormation templates of cdk.json's profile to cdk.out, validated
	@rm -rf cdk.out
	@npx cdk synth --strict --quiet

.PHONY: check
check: setup ## The fast part of `test`: formatting, vet, lint and the tests without CDK and engines
	@$(MAKE) --no-print-directory format-check
	go vet $(PLAIN_PACKAGES)
	go tool staticcheck $(PLAIN_PACKAGES)
	go test $(FAST_PACKAGES)

.PHONY: format-check
format-check:
	@unformatted=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w mends them):"; echo "$$unformatted"; exit 1; fi
	$(PYTHON_BIN)ruff format --check --quiet .
	$(PYTHON_BIN)ruff check --quiet .

.PHONY: test
test: check ## Everything that must hold: `check`, every engine, every template, every policy
	go vet $(filter $(CDK_PACKAGES),$(ALL_PACKAGES))
	go tool staticcheck $(filter $(CDK_PACKAGES),$(ALL_PACKAGES))
	go test -timeout 20m $(filter $(ENGINE_PACKAGES),$(PLAIN_PACKAGES))
	CDK_VALIDATION=false go test -timeout 20m ./test/templates
	@$(MAKE) --no-print-directory validate

.PHONY: validate
validate: node_modules/.complete
	@for profile in $(PROFILES); do \
		echo "cdk synth --strict -c profile=$$profile"; \
		rm -rf cdk.out/validate; \
		npx cdk synth --strict --quiet -c profile=$$profile --output cdk.out/validate; \
	done

.PHONY: snapshots
snapshots: ## Accept the templates as they are now, printing what changed
	@CDK_VALIDATION=false go test ./test/templates -run '^TestSnapshots$$' -update -count=1 -v | grep -v -E '^(=== |--- |    --- |PASS|ok )' || true

.PHONY: bench
bench: setup ## Measure and print a table with the machine's description
	@go run ./test/bench

.PHONY: clean
clean: ## Remove what was built here; installed tools stay in the cache
	rm -rf bin cdk.out .local node_modules
