# songscan: set up, scan, test. Needs Python 3.11 with venv, make and git; everything else is installed into .venv.
#
#   make scan [CATALOGUE=folder] [OUTPUT=folder] [FLAGS="..."]    scan a folder, or a demonstration catalogue
#   make test                                                    set up and run the tests
#   make test-flink                                              the tests on a real Flink cluster (Java 17; fetches 313 MB)
#   make check                                                   format, lint, types, tests: before every commit
#   make bench                                                   measure, and write bench/RESULTS.md
#   make lock                                                    resolve requirements.lock anew from setup.py

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= scan
TASKS ?= quality,tags
READY := $(VENV)/.ready
MUSICNN := .cache/musicnn
MODELS := models/pretrained/.built

FLINK := .cache/flink
FLINK_JOB_SERVER ?= .cache/beam-runners-flink-2.2-job-server-2.77.0.jar

.PHONY: setup scan test test-flink check bench lock

setup: $(READY) $(MODELS)

$(READY): requirements.lock setup.py
	@command -v $(PYTHON) >/dev/null || { echo "songscan needs $(PYTHON); on Debian: apt-get install python3.11 python3.11-venv, or say make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The lock file names every package: resolving again (--no-deps spares it) would trip over whatever was released since.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# The published networks: their package cannot be installed (it wants a TensorFlow of 2019), its checkpoints can.
$(MUSICNN)/.ready: requirements-musicnn.lock | $(READY)
	rm -rf $(MUSICNN)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(MUSICNN) -r requirements-musicnn.lock
	@touch $@

$(MODELS): $(MUSICNN)/.ready models/musicnn.py models/musicnn_labels.py models/signal.py | $(READY)
	$(BIN)/songscan models build $(MUSICNN)
	@touch $@

scan: setup
ifdef CATALOGUE
	$(BIN)/songscan scan "$(CATALOGUE)" "$(OUTPUT)" --tasks=$(TASKS) $(FLAGS)
else
	$(BIN)/songscan demo demo
	$(BIN)/songscan scan demo "$(OUTPUT)" --tasks=$(TASKS) --max_failed_fraction=0.2 $(FLAGS)
endif
	$(BIN)/songscan show "$(OUTPUT)"

test: setup
	$(BIN)/python -m pytest -n auto

$(FLINK)/.ready: requirements-flink.lock | $(READY)
	rm -rf $(FLINK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(FLINK) -r requirements-flink.lock
	@touch $@

# Without Beam's job server the tests that go through Beam's Flink runner cannot be run, and the target fails in the end.
test-flink: setup $(FLINK)/.ready
	@command -v javac >/dev/null || { echo "this needs a JDK, 17 or newer; on Debian: apt-get install openjdk-17-jdk-headless"; exit 1; }
	test -e $(FLINK_JOB_SERVER) || mvn --batch-mode --quiet dependency:copy -DoutputDirectory=.cache \
		-Dartifact=org.apache.beam:beam-runners-flink-2.2-job-server:2.77.0 || echo "Maven did not give Beam's Flink job server"
	SONGSCAN_FLINK=$(FLINK)/pyflink SONGSCAN_FLINK_JOB_SERVER=$$(ls $(FLINK_JOB_SERVER) 2>/dev/null) $(BIN)/python -m pytest -n0 -rs tests/flink
	@test -e $(FLINK_JOB_SERVER) || { echo "not tried: Beam's Flink runner, for want of its job server (make test-flink FLINK_JOB_SERVER=JAR)"; exit 1; }

check: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto

bench: setup
	$(BIN)/python -m bench

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-emit-find-links \
		--generate-hashes --extra dev --extra training --custom-compile-command "make lock" setup.py --output-file requirements.lock
