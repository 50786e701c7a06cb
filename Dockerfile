# syntax=docker/dockerfile:1
# songscan as an image: one for the flex template's launcher and for Dataflow's workers, with GPUs or without.
#
#   docker build --tag REGISTRY/songscan:VERSION .                          # workers with a GPU
#   docker build --tag REGISTRY/songscan:VERSION-cpu --build-arg DEVICE=cpu .
#   docker build --tag songscan --build-arg DEVICE=cpu --target machine .   # for one machine; runs as a user of its own
#   docker run --rm -v ~/Music:/music:ro -v ~/scan:/scan songscan scan /music /scan
#
# deploy/README.md tells how it gets to Google's cloud. `make test-image` replays these steps without Docker.

# Both binaries are static and do not depend on songscan; the first must be of the version of Beam in the lock file.
FROM apache/beam_python3.11_sdk:2.77.0 AS beam
FROM gcr.io/dataflow-templates-base/python311-template-launcher-base:20230622_RC00 AS launcher

# What others publish, in the order in which it changes: CUDA (3 GB) seldom, the packages (2 GB) with each lock file,
# songscan (50 MB) always. A layer that did not change is neither built nor pushed nor pulled again.
FROM python:3.11-slim-bookworm AS packages
ARG DEVICE=gpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
COPY requirements-cuda.lock /opt/songscan/
RUN case "${DEVICE}" in \
        gpu) python -m pip install --no-deps --require-hashes --requirement /opt/songscan/requirements-cuda.lock ;; \
        cpu) echo "without CUDA" ;; \
        *) echo "DEVICE is gpu or cpu, not '${DEVICE}'"; exit 1 ;; \
    esac
COPY requirements-runtime.lock /opt/songscan/
RUN python -m pip install --no-deps --require-hashes --requirement /opt/songscan/requirements-runtime.lock

# songscan with all its models inside; what it was built from stays behind.
FROM packages AS songscan
WORKDIR /build
COPY requirements-musicnn.lock ./
RUN python -m pip install --no-deps --require-hashes --target /musicnn --requirement requirements-musicnn.lock
COPY setup.py pyproject.toml README.md ./
COPY models models
COPY transforms transforms
COPY pipelines pipelines
RUN python -m pipelines.cli models build /musicnn \
    && python -m pip install --no-deps --no-build-isolation --prefix /installed .

FROM packages AS installed
COPY --from=songscan /installed /usr/local
# Threads: there is one worker process a core, and threads of libraries would only get in each other's way. Said here,
# since what a transform sets at run time comes too late for TensorFlow.
# PYTHONSAFEPATH: pipelines/scan.py runs as a script, and the folder that it lies in is no place to import from.
# /usr/local/nvidia: where Dataflow puts the driver of a GPU.
ENV OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    TF_NUM_INTRAOP_THREADS=1 \
    TF_NUM_INTEROP_THREADS=1 \
    TF_ENABLE_ONEDNN_OPTS=1 \
    TF_CPP_MIN_LOG_LEVEL=2 \
    PYTHONSAFEPATH=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
# The account of the stage `machine`. The last two are what a build must not ship without.
RUN useradd --create-home --uid 10001 songscan \
    && python -m pip check \
    && songscan doctor --fast
HEALTHCHECK --interval=5m --timeout=60s --start-period=30s CMD ["songscan", "doctor", "--fast"]

# For one machine: no Beam worker, no template, no root.
FROM installed AS machine
USER 10001
WORKDIR /home/songscan
ENTRYPOINT ["songscan"]

# For Dataflow; the last stage, so what `docker build` makes by itself. It runs as root: Dataflow mounts folders of root's
# into a worker (/var/opt/google), where Beam's boot program writes, and starts a launcher in the same way. Nothing but
# Dataflow reaches the container, decoding runs in a child process under limits, and what the job may touch is said by
# its service account.
FROM installed AS dataflow
COPY --from=beam /opt/apache/beam /opt/apache/beam
COPY --from=launcher /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    FLEX_TEMPLATE_PYTHON_PY_FILE=/usr/local/lib/python3.11/site-packages/pipelines/scan.py
ENTRYPOINT ["/opt/apache/beam/boot"]
