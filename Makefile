# Diecast. `make help` lists the targets; `make test` and `make demo` are all that a newcomer needs.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Of the caller's shell, what runs here gets: where programs, the user's home and Java are; how the network is reached
# and who is trusted there; where Go, pip, npm and Maven fetch packages and keep them; and what is said to Diecast
# itself.
PASSED := HOME PATH USER LOGNAME SHELL TERM CI JAVA_HOME XDG_% DIECAST_% MAKEFLAGS MAKELEVEL MFLAGS \
	http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY \
	SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO NETRC \
	SSH_AUTH_SOCK \
	GOPROXY GONOPROXY GOPRIVATE GOSUMDB GONOSUMDB GOINSECURE GOAUTH GOVCS GOPATH GOCACHE GOMODCACHE GOTOOLCHAIN \
	PIP_CONFIG_FILE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_TRUSTED_HOST PIP_CERT PIP_CLIENT_CERT PIP_PROXY \
	PIP_DEFAULT_TIMEOUT PIP_RETRIES PIP_CACHE_DIR PIP_NO_INDEX \
	$(foreach setting,registry userconfig cache cafile ca proxy https_proxy noproxy strict_ssl,npm_config_$(setting)) \
	$(foreach setting,REGISTRY USERCONFIG CACHE CAFILE CA PROXY HTTPS_PROXY NOPROXY STRICT_SSL,NPM_CONFIG_$(setting)) \
	MAVEN_OPTS MAVEN_ARGS
CALLERS := $(foreach name,$(.VARIABLES),$(if $(filter environment%,$(origin $(name))),$(name)))
unexport $(filter-out $(PASSED),$(CALLERS))
# A folder for temporary files counts where something can be written in it.
ifneq ($(TMPDIR),)
ifneq ($(shell [ -d "$$TMPDIR" ] && [ -w "$$TMPDIR" ] && echo yes),)
export TMPDIR
endif
endif
export LC_ALL := C.UTF-8

# Of Go's file of settings counts what it says of fetching and keeping modules, as in internal/surroundings: any other
# line would change what is compiled, or stop every go command. It is read here, for a go command refuses to.
SETTINGS := $(or $(GOENV),$(or $(XDG_CONFIG_HOME),$(HOME)/.config)/go/env)
export GOENV := off
setting = $(shell sed -n 's/^$(1)=//p' '$(subst ','\'',$(SETTINGS))' 2> /dev/null | tail -n 1)
ifneq ($(SETTINGS),off)
$(foreach name,GOPROXY GONOPROXY GOPRIVATE GOSUMDB GONOSUMDB GOINSECURE GOAUTH GOVCS GOPATH GOCACHE GOMODCACHE, \
	$(if $($(name)),,$(eval found := $$(call setting,$(name)))$(if $(found),$(eval export $(name) := $$(found)))))
endif

# make takes a space for the end of a name, and other signs for its own: rules cannot name such a folder. A checkout may
# lie anywhere: here its files are named from where they are.
quoted = '$(subst ','\'',$(value $(1)))'
CACHE_FOLDER := $(or $(value DIECAST_CACHE),$(or $(value XDG_CACHE_HOME),$(value HOME)/.cache)/diecast)
CACHE_FOLDER := $(if $(filter /%,$(firstword $(CACHE_FOLDER))),,$(CURDIR)/)$(CACHE_FOLDER)
ODD := $(shell for path in $(foreach name,CACHE_FOLDER DIECAST_PYTHON DIECAST_GLUE_PYTHON DIECAST_TRAINING_PYTHON, \
	$(call quoted,$(name))); do \
	rest="$$(printf %s "$$path" | LC_ALL=C tr -d 'A-Za-z0-9/._+@,~\200-\377-'; echo .)"; \
	[ "$$rest" = . ] || { printf %s "$$path" | tr '\n' ' '; break; }; done)
ifneq ($(filter-out help clean,$(or $(MAKECMDGOALS),help)),)
ifneq ($(ODD),)
$(error $(ODD) has a sign in its name that make cannot handle, such as a space or a quote: name a folder of letters, \
	digits and /._+@,~- in DIECAST_CACHE, as in `DIECAST_CACHE=/var/tmp/diecast make demo`, and programs in such \
	folders in DIECAST_PYTHON, DIECAST_GLUE_PYTHON and DIECAST_TRAINING_PYTHON)
endif
endif

# What is installed is kept for every checkout of this user, in folders named after the lock files' content. What a
# caller sets to nothing is not set: `$(DIECAST_PYTHON) -m pytest` would begin with the dash by which make ignores that
# a line fails.
override export DIECAST_CACHE := $(if $(ODD),nowhere,$(CACHE_FOLDER))
PYTHON_KEY := $(shell cksum < requirements.txt | cut -d ' ' -f 1)
PYTHON_HOME := $(DIECAST_CACHE)/python-$(PYTHON_KEY)
override export DIECAST_PYTHON := $(or $(DIECAST_PYTHON),$(PYTHON_HOME)/bin/python)
PYTHON_BIN := $(dir $(DIECAST_PYTHON))
# PyTorch brings gigabytes: only `train` and the trainer's tests install it.
TRAINING_KEY := $(shell cksum < training/requirements.txt | cut -d ' ' -f 1)
TRAINING_HOME := $(DIECAST_CACHE)/python-training-$(TRAINING_KEY)
override export DIECAST_TRAINING_PYTHON := $(or $(DIECAST_TRAINING_PYTHON),$(TRAINING_HOME)/bin/python)
MARIADB_HOME := $(DIECAST_CACHE)/mariadb-$(shell cat internal/local/mariadb/VERSION)
# The ETL job runs with what Glue has of Python, in an environment of its own, and with Glue's jars.
GLUE_KEY := $(shell cksum < glue-scripts/requirements.txt | cut -d ' ' -f 1)
GLUE_HOME := $(DIECAST_CACHE)/python-glue-$(GLUE_KEY)
override export DIECAST_GLUE_PYTHON := $(or $(DIECAST_GLUE_PYTHON),$(GLUE_HOME)/bin/python)
GLUE_JARS := $(DIECAST_CACHE)/glue-jars-1

# One set of build flags for everything: other flags compile the million lines of CDK anew. Without version control
# state, because git tells none of a checkout of another user.
export GOFLAGS := -buildvcs=false
export GOWORK := off
export GOOS := $(shell env -u GOROOT -u GOEXPERIMENT GOENV=off GOFLAGS= GOTOOLCHAIN=local go env GOHOSTOS)
export GOARCH := $(shell env -u GOROOT -u GOEXPERIMENT GOENV=off GOFLAGS= GOTOOLCHAIN=local go env GOHOSTARCH)
# jsii reads these when its kernel starts, too late for Go code to set them.
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 18,20
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := true

PROFILES := lean standard prod course

# What depends on CDK links 100 MB and starts a Node process: `check` leaves it out. test/boundaries says what may.
# A shell of a recipe lists them: one of make's own would have the caller's variables.
PLAIN_PACKAGES := $$(go list -f '{{.ImportPath}} {{.Deps}} {{.TestImports}} {{.XTestImports}}' ./... | \
	grep -v -e jsii-runtime-go -e diecast/stacks | cut -d ' ' -f 1)
# Whoever a checkout belongs to, its files are listed.
GIT := git -c safe.directory='*'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(PYTHON_HOME)/.complete node_modules/.complete $(MARIADB_HOME) $(GLUE_HOME)/.complete $(GLUE_JARS) ## Install what the tests and the laptop run need (once; `test` does it too)

# Python compiles a module when it is first used, and keeps it: pip would compile millions of lines, most never used.
# The ETL job's interpreter keeps none: there pip compiles.
PIP := -m pip install --quiet --disable-pip-version-check
LAZY_PIP := $(PIP) --no-compile

# The folder's name holds the lock file's content: it is complete or it is not, whenever the file was checked out.
$(PYTHON_HOME)/.complete:
	@echo "setup: Python tools and engines, 200 MB to download, once for all checkouts -> $(PYTHON_HOME)"
	@rm -rf "$(PYTHON_HOME)" && mkdir -p "$(DIECAST_CACHE)"
	@python3 -m venv "$(PYTHON_HOME)"
	@"$(PYTHON_HOME)/bin/python" $(LAZY_PIP) --requirement requirements.txt
	@ln -sfn "python-$(PYTHON_KEY)" "$(DIECAST_CACHE)/python"
	@touch $@

$(TRAINING_HOME)/.complete:
	@echo "setup: PyTorch for the trainer, 3 GB to download and 5.8 GB on disk, once for all checkouts -> $(TRAINING_HOME)"
	@rm -rf "$(TRAINING_HOME)" && mkdir -p "$(DIECAST_CACHE)"
	@python3 -m venv "$(TRAINING_HOME)"
	@"$(TRAINING_HOME)/bin/python" $(LAZY_PIP) --requirement training/requirements.txt
	@ln -sfn "python-training-$(TRAINING_KEY)" "$(DIECAST_CACHE)/python-training"
	@touch $@

$(GLUE_HOME)/.complete:
	@echo "setup: PySpark and what Glue has of Python, 0.4 GB to download and 0.6 GB on disk, once for all checkouts -> $(GLUE_HOME)"
	@rm -rf "$(GLUE_HOME)" && mkdir -p "$(DIECAST_CACHE)"
	@python3 -m venv "$(GLUE_HOME)"
	@"$(GLUE_HOME)/bin/python" $(PIP) --requirement glue-scripts/requirements.txt
	@ln -sfn "python-glue-$(GLUE_KEY)" "$(DIECAST_CACHE)/python-glue"
	@touch $@

$(GLUE_JARS):
	@echo "setup: MySQL's and S3's jars, 11 MB to download, once for all checkouts -> $@"
	@glue-scripts/install_jars.sh "$(DIECAST_CACHE)"

$(MARIADB_HOME):
	@echo "setup: MariaDB, 150 MB to download, once for all checkouts -> $@"
	@internal/local/mariadb/install.sh "$(DIECAST_CACHE)"

node_modules/.complete: package-lock.json
	@echo "setup: the CDK command line, Node engines and a browser for tests, 100 MB to download, once for this checkout -> node_modules"
	@[ ! -L node_modules ] || { echo "node_modules is a link: npm ci would empty the folder that it leads to"; exit 1; }
	@npm ci --silent --include=dev
	@touch $@

.PHONY: synth
synth: node_modules/.complete $(GLUE_JARS) ## Write the CloudFormation templates of cdk.json's profile to cdk.out, validated
	@[ -x bin/app ] || echo "synth: compiling the app with CDK's million lines, once: a minute or two"
	@rm -rf cdk.out
	@npx cdk synth --strict --quiet

.PHONY: demo
demo: setup synth bin/diecast ## Run the platform on this machine, send it events, run its ETL job, account for both, stop
	@bin/diecast local run --buffers 1s --advance 30 --events 1200 --rate 30 --profile spike

.PHONY: up
up: setup synth bin/diecast ## Run the platform on this machine until Ctrl-C
	@bin/diecast local up

# A picture differs with every machine's fonts: it is made where somebody wants another one.
.PHONY: screenshots
screenshots: setup ## Run the platform with a browser, and make the pictures of the docs anew
	@CDK_VALIDATION=false go test -count=1 ./test/platform -run '^TestAClickInTheShopIsRecommendedUpon$$' -v \
		-args -pictures "$(CURDIR)/docs/images"

# The CDK command line calls this before it runs the app, whoever called it.
.PHONY: bin/app
bin/app:
	@go build -o $@ .

.PHONY: bin/diecast
bin/diecast:
	@go build -o $@ ./cmd/diecast

.PHONY: check
check: setup ## The fast part of `test`: formatting, vet, lint and the tests that start no engine, without CDK
	@$(MAKE) --no-print-directory format-check
	@echo "check: go vet, staticcheck"
	@go vet $(PLAIN_PACKAGES)
	@go tool staticcheck $(PLAIN_PACKAGES)
	@echo "check: tests that start no engine"
	@go test -short $(PLAIN_PACKAGES)

.PHONY: format-check
format-check: $(PYTHON_HOME)/.complete
	@echo "check: formatting"
	@unformatted=$$($(GIT) ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w mends them):"; echo "$$unformatted"; exit 1; fi
	@$(PYTHON_BIN)ruff format --check --quiet .
	@$(PYTHON_BIN)ruff check --quiet .

.PHONY: test
test: ## Everything that must hold: what `check` looks at, every engine, template and policy
	@# What is to be installed downloads beside each other, and beside CDK's first compile, which needs none of it. Spark's
	@# tests wait for its driver most of the time, the trainer's for a download: they run beside Go's.
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=line \
		lint format-check setup test-etl test-go test-etl-spark4 test-training test-contracts validate

# The first to compile CDK's million lines: whatever else does, waits for it.
.PHONY: lint
lint:
	@echo "test: go vet, staticcheck of what depends on CDK (its million lines compile once, in a minute or two)"
	@go vet ./...
	@go tool staticcheck ./...

# The packages that take longest begin first. They wait for engines much of the time: one more than
# there are processors keeps these busy.
.PHONY: test-go
test-go: lint setup
	@echo "test: engines and templates"
	@# lint has vetted everything by all rules: go test would vet by some of them again, CDK's lines, too.
	@CDK_VALIDATION=false go test -vet=off -p "$$(( $$(getconf _NPROCESSORS_ONLN) + 1 ))" -timeout 30m \
		./test/platform ./test/templates ./test/faults ./test/browser ./web/api ./...

.PHONY: test-contracts
test-contracts: $(PYTHON_HOME)/.complete
	@echo "test: contracts from Python"
	@$(PYTHON_BIN)python -m pytest -q test/contracts

.PHONY: test-training
test-training: $(TRAINING_HOME)/.complete
	@echo "test: trainer"
	@$(DIECAST_TRAINING_PYTHON) -m mypy --config-file training/pyproject.toml training
	@$(DIECAST_TRAINING_PYTHON) -m pytest -q training

test-etl bench-etl: $(PYTHON_HOME)/.complete $(GLUE_HOME)/.complete $(GLUE_JARS) $(MARIADB_HOME)

.PHONY: test-etl
test-etl: ## The ETL job's tests: Spark, MariaDB over TLS, S3
	@echo "test: ETL job"
	@cd glue-scripts && $(DIECAST_GLUE_PYTHON) -m mypy --config-file pyproject.toml .
	@cd glue-scripts && $(DIECAST_GLUE_PYTHON) -m pytest -q

# Glue 6.0 has Spark 4.1, whose ANSI mode raises where 3.5 gives null.
GLUE6_HOME := $(DIECAST_CACHE)/python-glue6-$(GLUE_KEY)

$(GLUE6_HOME)/.complete:
	@echo "setup: PySpark 4.1, 0.7 GB -> $(GLUE6_HOME)"
	@rm -rf "$(GLUE6_HOME)" && mkdir -p "$(DIECAST_CACHE)"
	@python3 -m venv "$(GLUE6_HOME)"
	@grep -v -e '^pyspark==' -e '^py4j==' glue-scripts/requirements.txt | "$(GLUE6_HOME)/bin/python" $(LAZY_PIP) \
		--requirement /dev/stdin pyspark==4.1.1 py4j==0.10.9.9
	@touch $@

.PHONY: test-etl-spark4
test-etl-spark4: $(PYTHON_HOME)/.complete $(GLUE6_HOME)/.complete $(GLUE_JARS)
	@echo "test: ETL job's transformations under Spark 4.1"
	@cd glue-scripts && "$(GLUE6_HOME)/bin/python" -m pytest -q tests/test_transformations.py tests/test_settings.py

.PHONY: bench-etl
bench-etl:
	@cd glue-scripts && $(DIECAST_GLUE_PYTHON) -m tests.bench

.PHONY: validate
validate: lint setup
	@for profile in $(PROFILES); do \
		echo "cdk synth --strict -c profile=$$profile"; \
		rm -rf cdk.out/validate; \
		npx cdk synth --strict --quiet -c profile=$$profile --output cdk.out/validate; \
	done

.PHONY: accept
accept: $(PYTHON_HOME)/.complete $(GLUE_JARS) ## Accept what is generated as it is now: templates, tables of docs; prints what changed in templates
	@go test ./config -run '^(TestConfigurationIsDocumented|TestRegionsAreDocumented|TestSizesAreDocumented)$$' -update -count=1
	@go test ./internal/classicmodels -run '^TestScaleOneKeepsItsBytes$$' -update -count=1
	@go test ./test/faults -run '^TestFaultsAreDocumented$$' -update -count=1
	@cd test/templates && CDK_VALIDATION=false go test -timeout 20m -run '^(TestSnapshots|TestKeys|TestProfiles|TestLeftovers)' -update -count=1
	@$(GIT) status --short -- docs test/templates/snapshots internal/classicmodels/testdata

# SEED draws what an earlier run drew, ONLY tries the faults whose names it matches.
.PHONY: faults
faults: setup synth bin/diecast ## Prove what a run promises when things go wrong: a table of faults, each held or not (ten minutes)
	@go run ./test/faults $(if $(SEED),-seed '$(SEED)') $(if $(ONLY),-only '$(ONLY)')

# ONLY tries those whose names it matches.
.PHONY: load
load: setup synth bin/diecast ## Prove what holds under load: 1,000 events a second, a burst, a reshard, a hot session, a stopped store (a quarter of an hour)
	@go run ./test/faults -load $(if $(SEED),-seed '$(SEED)') $(if $(ONLY),-only '$(ONLY)')

.PHONY: train
train: $(TRAINING_HOME)/.complete ## Train the shipped model anew on the generated sample at scale 1
	rm -rf .local/train
	go run ./cmd/diecast generate --format training-set --seed 1 --scale 1 --out .local/train/set
	$(DIECAST_TRAINING_PYTHON) -m training --data .local/train/set --out .local/train/out --seed 1 --origin shipped
	rm -rf training/artifacts/models && cp -R .local/train/out/models training/artifacts/models

.PHONY: bench
bench: setup ## Measure and print a table with the machine's description
	@go run ./test/bench $$($(GIT) grep -l '^func Benchmark' -- '*_test.go' | xargs -n 1 dirname | sort -u | sed 's,^,./,')
	@$(MAKE) --no-print-directory bench-etl bench-vectors

# The builds of two indexes of a million items take most of it: a quarter of an hour on two idle cores.
.PHONY: bench-vectors
bench-vectors: $(PYTHON_HOME)/.complete
	@go run ./test/bench/vectors 100000 1000000

.PHONY: clean
clean: ## Remove what was built here; installed tools stay in the cache
	rm -rf bin cdk.out .local node_modules
