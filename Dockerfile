# The worker of songscan on CPUs: Beam's boot entry point, the pinned packages, songscan itself.
#
#   docker build --tag REGISTRY/songscan:VERSION .
#
# The same image scans a folder on one machine:
#   docker run --rm --entrypoint songscan -v ~/Music:/music:ro -v ~/scan:/scan IMAGE scan /music /scan

FROM apache/beam_python3.11_sdk:2.77.0 AS beam

FROM python:3.11-slim-bookworm
# Packages first and songscan last: a change of songscan rebuilds one small layer.
COPY requirements.lock /opt/songscan/
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --requirement /opt/songscan/requirements.lock
COPY requirements-musicnn.lock /opt/songscan/
RUN python -m pip install --no-cache-dir --no-deps --require-hashes --target /opt/musicnn \
        --requirement /opt/songscan/requirements-musicnn.lock
COPY setup.py pyproject.toml README.md /opt/songscan/
COPY models /opt/songscan/models
COPY transforms /opt/songscan/transforms
COPY pipelines /opt/songscan/pipelines
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation /opt/songscan \
    && python -m pip check \
    && songscan models build /opt/musicnn \
    && rm -rf /opt/musicnn \
    && songscan doctor --fast
COPY --from=beam /opt/apache/beam /opt/apache/beam

# One worker process a core (Dataflow's way): threads of its libraries would only get in each other's way. They must be
# set here: what a transform sets at run time comes too late for TensorFlow.
ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    TF_NUM_INTRAOP_THREADS=1 \
    TF_NUM_INTEROP_THREADS=1 \
    TF_ENABLE_ONEDNN_OPTS=1 \
    TF_CPP_MIN_LOG_LEVEL=2
ENTRYPOINT ["/opt/apache/beam/boot"]
