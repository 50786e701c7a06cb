# songscan: set up, scan, test. Needs Python 3.11 with venv, make and git; everything else is installed into .venv.
#
#   make scan [CATALOGUE=folder] [OUTPUT=folder] [FLAGS="..."]    scan a folder, or a demonstration catalogue
#   make test                                                    set up and run the tests
#   make test-flink                                              the tests on a real Flink cluster (Java 17; fetches 313 MB)
#   make check                                                   format, lint, types, tests: before every commit
#   make bench                                                   measure, and write bench/RESULTS.md
#   make lock                                                    resolve the lock files anew from setup.py
#   make test-image [DEVICE=gpu]                                 replay the Dockerfile without Docker, and try what it makes
#   make test-airflow                                            let Airflow judge deploy/airflow, in an environment of its own

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
OUTPUT ?= scan
TASKS ?= quality,tags
READY := $(VENV)/.ready
MUSICNN := .cache/musicnn
BQEMULATOR := .cache/bqemulator
MODELS := models/pretrained/.built

FLINK := .cache/flink
FLINK_JOB_SERVER ?= .cache/beam-runners-flink-2.2-job-server-2.77.0.jar

AIRFLOW := .venv-airflow
DEVICE ?= cpu
LOCK = $(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-emit-index-url --no-emit-find-links \
	--generate-hashes --custom-compile-command "make lock"

.PHONY: setup scan test check bench lock test-image test-airflow test-flink

setup: $(READY) $(MODELS)

$(READY): requirements.lock setup.py
	@command -v $(PYTHON) >/dev/null || { echo "songscan needs $(PYTHON); on Debian: apt-get install python3.11 python3.11-venv, or say make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# The lock file names every package: resolving again (--no-deps spares it) would trip over whatever was released since.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# Measures of defects are compiled here, once, or else by the first scan that asks for them.
	$(BIN)/python -c "from models.defects import Measures, warm_up; warm_up(Measures())"
	@touch $@

# The published networks: their package cannot be installed (it wants a TensorFlow of 2019), its checkpoints can.
$(MUSICNN)/.ready: requirements-musicnn.lock | $(READY)
	rm -rf $(MUSICNN)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(MUSICNN) -r requirements-musicnn.lock
	@touch $@

$(MODELS): $(MUSICNN)/.ready models/musicnn.py models/musicnn_labels.py models/signal.py | $(READY)
	$(BIN)/songscan models build $(MUSICNN)
	@touch $@

# BigQuery for the tests. The emulator wants other versions of packages than songscan, so it gets an environment of its
# own, and a home of its own, where DuckDB looks for the extension that it would fetch from the network otherwise.
$(BQEMULATOR)/.ready: requirements-bqemulator.lock | $(READY)
	rm -rf $(BQEMULATOR)
	$(PYTHON) -m venv $(BQEMULATOR)
	$(BQEMULATOR)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-bqemulator.lock
	HOME=$(CURDIR)/$(BQEMULATOR)/home $(BQEMULATOR)/bin/python -c "import duckdb_extension_spatial, duckdb, pathlib, shutil; \
		platform = duckdb.sql('PRAGMA platform').fetchone()[0]; \
		source = next(pathlib.Path(duckdb_extension_spatial.__file__).parent.rglob('spatial.duckdb_extension')); \
		folder = pathlib.Path.home() / '.duckdb' / 'extensions' / f'v{duckdb.__version__}' / platform; \
		folder.mkdir(parents=True); shutil.copy(source, folder)"
	@touch $@

scan: setup
ifdef CATALOGUE
	$(BIN)/songscan scan "$(CATALOGUE)" "$(OUTPUT)" --tasks=$(TASKS) $(FLAGS)
else
	$(BIN)/songscan demo demo
	$(BIN)/songscan scan demo "$(OUTPUT)" --tasks=$(TASKS) --max_failed_fraction=0.2 $(FLAGS)
endif
	$(BIN)/songscan show "$(OUTPUT)"

test: setup $(BQEMULATOR)/.ready
	$(BIN)/python -m pytest -n auto --dist worksteal

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

check: setup $(BQEMULATOR)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto --dist worksteal

bench: setup
	$(BIN)/python -m bench

# For development; and of that, at the same versions, what an image needs, and what CUDA adds to it.
lock:
	$(BIN)/python -m pip install --quiet uv
	$(LOCK) setup.py --extra dev --extra training --output-file requirements.lock
	$(LOCK) setup.py --constraint requirements.lock --output-file requirements-runtime.lock
	$(LOCK) setup.py --constraint requirements-runtime.lock --extra gpu --output-file requirements-cuda.lock \
		$$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements-runtime.lock)
	$(LOCK) requirements-bqemulator.in --output-file requirements-bqemulator.lock

test-image: setup
	SONGSCAN_TEST_IMAGE=$(DEVICE) $(BIN)/python -m pytest -n0 -s tests/deploy/test_image_replayed.py

test-airflow: setup
	test -x $(AIRFLOW)/bin/airflow || { $(PYTHON) -m venv $(AIRFLOW) && $(AIRFLOW)/bin/python -m pip install --quiet "apache-airflow==3.*" apache-airflow-providers-google apache-airflow-providers-apache-beam; }
	SONGSCAN_TEST_AIRFLOW=$(AIRFLOW)/bin/python $(BIN)/python -m pytest -n0 tests/deploy/test_airflow.py
