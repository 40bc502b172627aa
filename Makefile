# Bare `make` prints this file's targets. CI calls the same ones.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK_ALONE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
LOCK   := $(LOCK_ALONE) pyproject.toml
ENVS   := .cache/envs
FOREIGN := triton kserve bentoml torch sbom
PEERS   := mlserver kserve litserve bentoml mosec
BUNDLE := bundles/breast-cancer
BROWSER := services/browser/node_modules/.done
# In how many processes tests run; JOBS=0 is one that --pdb works in.
JOBS   ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --no-loadscope-reorder
# Where the surroundings forbid it, as images of Python do, every process would compile all that it imports anew.
export PYTHONDONTWRITEBYTECODE :=
HTTP   ?= 127.0.0.1:8000
GRPC   ?= 127.0.0.1:9000

# What the cluster on this machine is made of. A machine without a registry names images and folders of its own.
export KIND_NODE_IMAGE   ?= kindest/node:v1.34.3
export KUBERAY_KUSTOMIZE ?= github.com/ray-project/kuberay/ray-operator/config/default?ref=v1.6.0
export KUBERAY_IMAGE     ?=
export GATEWAY_API_CRDS  ?= https://github.com/kubernetes-sigs/gateway-api/releases/download/v1.6.1/standard-install.yaml
export TRAEFIK_CHART     ?= https://traefik.github.io/charts
export TRAEFIK_VERSION   ?= 37.3.0
export TRAEFIK_IMAGE     ?=

.DEFAULT_GOAL := help
.PHONY: help setup run run-stream run-edge demo load images kind-up kind-kafka kind-keda kind-envoy kind-redis deploy upgrade e2e e2e-full release release-check image-list kind-down status logs doctor test test-full check docs fmt lock generate bench bench-batch bench-stream chaos gate clean
.SUFFIXES:

##@ Use it
help: ## Print this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The page begins with rows of the bundle: those of the demo are public, and this machine alone asks.
run: setup demo ## Set up, train the demo model, serve it: REST on :8000, gRPC on :9000
	@FIVEFOLD_SERVE_BUNDLES=true exec $(BIN)/fivefold serve --model $(BUNDLE) --http $(HTTP) --grpc $(GRPC)

run-stream: setup demo ## Set up, and show a stream on this machine's log: patients in, results out, a dead letter and back
	@BUNDLE=$(BUNDLE) BIN=$(BIN) services/run-stream.sh

run-edge: setup demo ## Set up, and show a device, its hub and a network with a switch [HUB=127.0.0.1:8700]
	@BUNDLE=$(BUNDLE) BIN=$(BIN) GATEWAY=$(HTTP) $(if $(HUB),HUB=$(HUB)) services/run-edge.sh

setup: $(VENV)/.run ## Make .venv with everything that serving and packing need

demo: $(VENV)/.run ## Train the breast-cancer model on real data and pack it
	@$(BIN)/fivefold demo $(BUNDLE)

# The address of gRPC belongs to the local server: to another target it must be given too.
LOAD_GRPC := $(if $(and $(TARGET),$(filter file,$(origin GRPC))),,$(GRPC))
load: export KEY := $(KEY)
load: $(VENV)/.run .cache/bin/k6 ## Load-test TARGET=http://host:8000 [GRPC= PROFILE= RATE= MODEL= SLO_P99_MS= KEY=], or the local server
	@$(BIN)/python -m loadtest.load $(or $(TARGET),http://$(HTTP)) $(if $(LOAD_GRPC),--grpc $(LOAD_GRPC)) $(if $(PROFILE),--profile $(PROFILE)) \
	  $(if $(RATE),--rate $(RATE)) $(if $(MODEL),--model $(MODEL)) $(if $(SLO_P99_MS),--slo-p99-ms $(SLO_P99_MS)) $(ARGS)

##@ Use it on Kubernetes
kind-up: ## Make a cluster on this machine with Docker: kind, a Gateway, KubeRay
	@k8s/up.sh

images: ## Build the images and write what is in them to dist/
	@k8s/images.sh

deploy: export BUNDLES = $(BUNDLE)
deploy: $(if $(CHART),,images) $(if $(wildcard $(BUNDLE)),$(VENV)/.run,demo) ## Install the chart with BUNDLE="dir …", wait, print how to call it [CHART=oci://… RELEASE= DELIVERY=image VERSION= SITE=DIR VALUES= ARGS=]
	@k8s/deploy.sh

upgrade: export BUNDLES = $(BUNDLE)
upgrade: $(VENV)/.run ## Go over to BUNDLE="dir …" while clients keep calling [VERSION= DELIVERY=image SITE=DIR]
	@k8s/deploy.sh

e2e: $(VENV)/.dev $(ENVS)/triton/.done ## Test the cluster from outside, with faults [ARGS="--report FILE --kind-down"]
	$(BIN)/python -m pytest -m "e2e and not rare" tests/e2e $(ARGS)

e2e-full: $(VENV)/.dev $(ENVS)/triton/.done ## Test everything on it, what is rare too: an hour on two cores [ARGS=]
	$(BIN)/python -m pytest -m e2e tests/e2e $(ARGS)

image-list: ## Print every image that VALUES= need, operators' too, for a mirror [CHART= ARGS= OPERATORS="kuberay traefik"]
	@k8s/image-list.sh

kind-kafka: ## Bring a broker into that cluster, for streams: make deploy ARGS="-f k8s/kind/stream.yaml"
	@k8s/kafka.sh

kind-keda: ## Bring KEDA into that cluster, for a stream that scales by its lag (needs Go): ARGS="… -f k8s/kind/stream-scaling.yaml"
	@k8s/keda.sh

kind-envoy: $(VENV)/.run ## Bring Envoy Gateway into it, a second controller (needs Go): make deploy GATEWAY=localhost:8444 ARGS="-f k8s/kind/envoy.yaml"
	@k8s/envoy.sh

kind-redis: ## Bring a Redis into it, for a head that keeps its state: make deploy ARGS="-f k8s/kind/kept-head.yaml"
	@k8s/redis.sh

status: ## What runs in the cluster, and what is wrong with it
	@k8s/status.sh

logs: ## What its pods said of late [TAIL=50]
	@k8s/logs.sh

doctor: $(VENV)/.run ## Name what this machine and its cluster lack
	@$(BIN)/fivefold doctor --cluster

kind-down: ## Delete the cluster on this machine
	@k8s/down.sh

##@ Change it
test: $(VENV)/.dev ## Set up and run the tests that need Python alone [JOBS=2 ARGS=]
	$(PYTEST) -m "not full and not e2e" $(ARGS)

test-full: $(VENV)/.dev $(FOREIGN:%=$(ENVS)/%/.done) ## Run every test, the long ones and those with environments of their own too
	$(ENVS)/torch/bin/python -m pytest tests/matrix/test_torch.py
	$(PYTEST) -m "not e2e" $(ARGS)

check: $(VENV)/.dev .cache/bin/actionlint $(BROWSER) ## Lint, format, types, import rules, generated files, locks and the workflow
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy && PYTHONPATH=k8s $(BIN)/lint-imports
	@if [ -f $(BROWSER) ]; then npm --prefix services/browser run --silent check; fi
	@$(BIN)/python tests/check_generated.py
	@if [ -x .cache/bin/actionlint ]; then .cache/bin/actionlint -shellcheck= -pyflakes=; fi

IMAGES ?= ray stream hub gateway
release: $(VENV)/.run $(ENVS)/sbom/.done .cache/bin/oras ## Push wheel, images, chart and lists to REGISTRY=host[:port][/path], a version once [SIGNING_KEY= IMAGES= VERSION= BASE_IMAGE=]
	@PATH="$(abspath .cache/bin):$$PATH" PYTHONPATH=k8s $(BIN)/python -m releasing publish --registry "$(REGISTRY)" --version "$(VERSION)" --images "$(IMAGES)" \
	  $(if $(SIGNING_KEY),--signing-key "$(SIGNING_KEY)") $(ARGS)

release-check: $(VENV)/.run .cache/bin/oras ## Hold what REGISTRY= has of a release against its digests [PUBLIC_KEY= VERSION=]
	@PATH="$(abspath .cache/bin):$$PATH" PYTHONPATH=k8s $(BIN)/python -m releasing check --registry "$(REGISTRY)" --version "$(VERSION)" \
	  $(if $(PUBLIC_KEY),--public-key "$(PUBLIC_KEY)")

docs: $(ENVS)/docs/.done ## Build README.md and docs/ as a site in dist/docs, and refuse dead links
	@$(ENVS)/docs/bin/python -m mkdocs build --strict --config-file docs/site/mkdocs.yaml

fmt: $(VENV)/.dev ## Format the code and apply the linter's safe fixes
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

generate: $(VENV)/.dev $(BROWSER) ## Write the generated files anew
	$(BIN)/python -m fivefold.serving.grpc.generate
	$(BIN)/python -m fivefold.evolution.rules_page
	$(BIN)/python -m fivefold.exports.contract_page
	$(BIN)/python -m fivefold.exports.contract_file_schema
	$(BIN)/python -m fivefold.commands.settings_page
	$(BIN)/python helm/readme.py
	@if [ -f $(BROWSER) ]; then npm --prefix services/browser run --silent build; fi

lock: $(VENV)/.dev ## Resolve the locks in requirements/ anew
	$(LOCK) --extra run -o requirements/run.txt
	$(LOCK) --extra image -c requirements/run.txt -o requirements/ray.txt
	$(LOCK) --extra stream -c requirements/run.txt -o requirements/stream.txt
	$(LOCK) --extra edge -c requirements/run.txt -o requirements/gateway.txt
	$(LOCK) --extra hub --extra stream -c requirements/run.txt -o requirements/hub.txt
	$(LOCK_ALONE) requirements/build.in -c requirements/run.txt -o requirements/build.txt
	$(LOCK) --extra all --group dev -o requirements/dev.txt
	$(LOCK_ALONE) requirements/triton.in -o requirements/triton.txt
	$(LOCK_ALONE) requirements/kserve.in -o requirements/kserve.txt
	$(LOCK_ALONE) pyproject.toml --extra http requirements/bentoml.in -o requirements/bentoml.txt
	$(LOCK_ALONE) pyproject.toml --extra pack --extra torch requirements/torch.in -o requirements/torch.txt
	$(LOCK_ALONE) requirements/mlserver.in -o requirements/mlserver.txt
	$(LOCK_ALONE) requirements/litserve.in -o requirements/litserve.txt
	$(LOCK_ALONE) requirements/mosec.in -o requirements/mosec.txt
	$(LOCK_ALONE) requirements/pyspark.in -o requirements/pyspark.txt
	$(LOCK_ALONE) requirements/faststream.in -o requirements/faststream.txt
	$(LOCK_ALONE) requirements/quixstreams.in -o requirements/quixstreams.txt
	$(LOCK_ALONE) requirements/docs.in -o requirements/docs.txt
	$(LOCK_ALONE) requirements/sbom.in -o requirements/sbom.txt

bench: $(VENV)/.dev $(PEERS:%=$(ENVS)/%/.done) .cache/bin/ghz ## Measure beside other servers, small requests and large tensors (needs wrk); QUICK=1 for a trial
	@$(BIN)/python -m loadtest.bench $(if $(QUICK),--quick) $(ARGS)

bench-batch: $(VENV)/.dev $(ENVS)/pyspark/.done ## Measure batch beside Ray Data, PySpark and pandas (needs Java); QUICK=1 for a trial
	@$(BIN)/python -m loadtest.batch $(if $(QUICK),--quick) $(ARGS)

bench-stream: $(VENV)/.dev .cache/kafka-4.3.1 $(ENVS)/faststream/.done $(ENVS)/quixstreams/.done ## Measure streams on a real Kafka beside FastStream and Quix Streams (needs Java); QUICK=1 for a trial
	@$(BIN)/python -m loadtest.stream throughput $(if $(QUICK),--events 20_000 --rounds 1 --seconds 10) $(ARGS)

chaos: $(VENV)/.dev $(if $(filter local,$(LOG)),,$(if $(filter kfake,$(LOG)),.cache/bin/kfake,.cache/kafka-4.3.1)) ## Kill workers and brokers, LOG=local, kfake or kafka, and count: one result for each event [ARGS="--events N"]
	@$(BIN)/python -m loadtest.stream chaos --log $(or $(LOG),kafka) $(ARGS)

gate: $(VENV)/.dev ## Compare the hot path with BASE=REF, or the commit before; FULL=1 for long (needs valgrind)
	$(BIN)/python -m loadtest.gate --base "$(BASE)" $(if $(FULL),--full) $(ARGS)

clean: ## Remove what the targets above have made
	rm -rf $(VENV) bundles dist .cache services/browser/node_modules services/jvm/target .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11" >&2; \
	  echo "help: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what serving needs into $(VENV), about a minute …"
	@$(PIP) install --require-hashes --no-compile -r requirements/run.txt && $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "Installing the development tools into $(VENV) …"
	@$(PIP) install --require-hashes --no-compile -r requirements/dev.txt
	@touch $@

# A k6 on PATH is as good; Go builds one where there is none.
.cache/bin/k6:
	@mkdir -p $(@D); if found=$$(command -v k6); then ln -sf "$$found" $@; else \
	  command -v go >/dev/null || { echo "error: neither k6 nor Go is on PATH" >&2; \
	  echo "help: install k6 (https://grafana.com/docs/k6) or Go 1.25 or newer" >&2; exit 1; }; \
	  echo "Building k6 with Go, two to ten minutes …"; GOBIN=$(abspath $(@D)) go install go.k6.io/k6@v1.8.1; fi

# Prometheus' module cannot be installed by name, because its go.mod leaves versions out; it builds from its own folder.
.cache/bin/promtool:
	@mkdir -p $(@D); if found=$$(command -v promtool); then ln -sf "$$found" $@; else \
	  dir=$$(cd / && GOFLAGS=-mod=mod go mod download -json github.com/prometheus/prometheus@v0.307.3 | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
	  echo "Building promtool with Go, several minutes …" && cd "$$dir" && GOFLAGS=-mod=readonly CGO_ENABLED=0 go build -o $(abspath $@) ./cmd/promtool; fi

# What puts files into a registry and takes them out, and a registry for tests; releases need the first.
.cache/bin/oras:
	@mkdir -p $(@D); if found=$$(command -v oras); then ln -sf "$$found" $@; else \
	  command -v go >/dev/null || { echo "error: neither oras nor Go is on PATH" >&2; \
	  echo "help: install oras (https://oras.land) or Go 1.25 or newer" >&2; exit 1; }; \
	  echo "Building oras with Go, a minute …"; GOBIN=$(abspath $(@D)) CGO_ENABLED=0 go install oras.land/oras/cmd/oras@v1.3.6; fi

.cache/bin/registry:
	@mkdir -p $(@D); command -v go >/dev/null || { echo "error: no Go on PATH" >&2; echo "help: install Go 1.25 or newer" >&2; exit 1; }; \
	  echo "Building a registry with Go, minutes …"; \
	  GOBIN=$(abspath $(@D)) CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2

# Without it and without Go the workflow is left out of `make check`, which says so, and on CI fails.
.cache/bin/actionlint:
	@mkdir -p $(@D); if found=$$(command -v actionlint); then ln -sf "$$found" $@; \
	  elif command -v go >/dev/null; then GOBIN=$(abspath $(@D)) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12; \
	  else echo "left out: .github/workflows (neither actionlint nor Go is on PATH)"; [ "$$CI" != true ]; fi

# What the browser's code is checked and built with. Without npm it is left out, which is said, and on CI fails.
$(BROWSER): services/browser/package-lock.json
	@if command -v npm >/dev/null; then echo "Installing what builds the browser's code …"; \
	  npm --prefix $(<D) ci --ignore-scripts --no-audit --no-fund --silent && touch $@; \
	  else echo "left out: services/browser (no npm on PATH)"; [ "$$CI" != true ]; fi

# A Kafka in memory, for tests.
.cache/bin/oasdiff:
	@mkdir -p $(@D); GOBIN=$(abspath $(@D)) go install github.com/oasdiff/oasdiff@v1.38.0

.cache/bin/buf:
	@mkdir -p $(@D); echo "Building buf with Go, minutes …"; GOBIN=$(abspath $(@D)) go install github.com/bufbuild/buf/cmd/buf@v1.75.0

.cache/bin/kfake: $(wildcard tests/support/kfake/*)
	@mkdir -p $(@D); command -v go >/dev/null || { echo "error: no Go on PATH" >&2; echo "help: install Go 1.26 or newer" >&2; exit 1; }; \
	  echo "Building kfake with Go, a minute …"; cd tests/support/kfake && CGO_ENABLED=0 go build -o $(abspath $@) .

# A schema registry, for tests: Maven brings 142 MB.
APICURIO := apicurio-registry-app-2.6.13.Final
.cache/bin/apicurio:
	@mkdir -p $(@D) .cache/apicurio; for each in java mvn; do command -v $$each >/dev/null || { echo "error: no $$each on PATH" >&2; \
	  echo "help: install Java 17 or newer, and Maven" >&2; exit 1; }; done; \
	  echo "Fetching a schema registry with Maven, a minute …"; \
	  mvn -B -q dependency:copy -Dartifact=io.apicurio:apicurio-registry-app:2.6.13.Final:tar.gz:all -DoutputDirectory=$(abspath .cache/apicurio) && \
	  tar -xzf .cache/apicurio/$(APICURIO)-all.tar.gz -C .cache/apicurio && \
	  printf '#!/bin/sh\nexec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "%s"\n' "$(abspath .cache/apicurio/$(APICURIO)-runner.jar)" > $@ && chmod +x $@

# A real Kafka and its tools, as jars: of this version, or 3.9.2 for clusters that are older.
.cache/kafka-%: tests/support/kafka/pom.xml
	@command -v mvn >/dev/null || { echo "error: no mvn on PATH" >&2; echo "help: install Maven and a Java of 17 or newer" >&2; exit 1; }
	@echo "Copying the jars of Kafka $* with Maven, a minute …"; rm -rf $@ $@.unfinished; mvn -B -q -f $< -Dkafka=$* \
	  dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(abspath $@.unfinished) && mv $@.unfinished $@ && touch $@

# A client of gRPC in Java, for tests.
.cache/grpc-java: tests/foreign/java/pom.xml
	@command -v mvn >/dev/null || { echo "error: no mvn on PATH" >&2; echo "help: install Maven and a Java of 17 or newer" >&2; exit 1; }
	@echo "Copying the jars of grpc-java with Maven, a minute …"; rm -rf $@ $@.unfinished; mvn -B -q -f $< \
	  dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(abspath $@.unfinished) && mv $@.unfinished $@ && touch $@

# Contracts and bundles on a JVM: the jar, and ONNX Runtime beside it, which is known by its digest.
JVM_RUNTIME := onnxruntime-1.29.0.jar
JVM_RUNTIME_SHA256 := 5933bbc0c6c4d89afc04bf7c11011de23a947509c1352e5bf5936e62a84e4d10
.cache/jvm/fivefold.jar: services/jvm/pom.xml $(shell find services/jvm/src -name '*.java' 2>/dev/null) | .cache/jvm/$(JVM_RUNTIME)
	@command -v javac >/dev/null || { echo "error: no javac on PATH" >&2; echo "help: install a JDK of 11 or newer" >&2; exit 1; }
	@rm -rf $(@D)/classes $(@D)/fetched; javac --release 8 -Xlint:all,-options -cp $(@D)/$(JVM_RUNTIME) -d $(@D)/classes $(filter %.java,$^)
	@printf 'Main-Class: io.fivefold.command.Main\nClass-Path: $(JVM_RUNTIME)\n' > $(@D)/manifest
	@jar cfm $@.unfinished $(@D)/manifest -C $(@D)/classes . && mv $@.unfinished $@

.cache/jvm/$(JVM_RUNTIME): services/jvm/pom.xml
	@command -v mvn >/dev/null || { echo "error: no mvn on PATH" >&2; echo "help: install Maven and a JDK of 11 or newer" >&2; exit 1; }
	@echo "Fetching ONNX Runtime for Java with Maven, a minute …"; rm -rf $(@D)/fetched; \
	  mvn -B -q -f $< dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(abspath $(@D))/fetched && \
	  echo "$(JVM_RUNTIME_SHA256)  $(@D)/fetched/$(@F)" | sha256sum --check --quiet && mv $(@D)/fetched/$(@F) $@ && touch $@

.cache/bin/ghz:
	@mkdir -p $(@D); if found=$$(command -v ghz); then ln -sf "$$found" $@; else \
	  command -v go >/dev/null || { echo "error: neither ghz nor Go is on PATH" >&2; \
	  echo "help: install ghz (https://ghz.sh) or Go 1.25 or newer" >&2; exit 1; }; \
	  echo "Building ghz with Go, a minute …"; GOBIN=$(abspath $(@D)) go install github.com/bojand/ghz/cmd/ghz@v0.93.0; fi

# Foreign clients and large frameworks live apart: their dependencies contradict ours, or weigh gigabytes.
$(ENVS)/%/.done: requirements/%.txt
	@echo "Making the environment of $* in $(@D) …"
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --no-compile -r $<
	@touch $@
