"""Checks of the machine for `songscan doctor`: TensorFlow and its devices, memory, cores, space, credentials."""

from __future__ import annotations

import glob
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from models.check import Finding

#: How TensorFlow is started for models: quiet, and with oneDNN, which is off by default on AMD's processors, where it
#: halves the time as well. Must be known before it is imported.
TENSORFLOW = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "1"}
GIB = 1 << 30
LITTLE_MEMORY_BYTES = 2 * GIB
LITTLE_SPACE_BYTES = 1 * GIB
TENSORFLOW_TIMEOUT_S = 300
#: Run in a process of its own: the import takes seconds, writes on standard error, and keeps memory of the GPU.
PROBE = """
import json
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
total = float(tf.reduce_sum(tf.matmul(tf.ones([64, 64]), tf.ones([64, 64]))))
print("\\n" + json.dumps({"version": tf.__version__, "gpus": names, "total": total}))
"""


def prepare_tensorflow() -> None:
    """Imports TensorFlow as a scan does: by the same kernels, and quiet.

    It writes on standard error before it can be told not to: that is held back, and shown only if the import fails.
    """
    os.environ.update({**TENSORFLOW, **os.environ})
    with tempfile.TemporaryFile() as held_back:
        own = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            importlib.import_module("tensorflow").config.list_physical_devices()
        except BaseException:
            held_back.seek(0)
            os.write(own, held_back.read())
            raise
        finally:
            os.dup2(own, 2)
            os.close(own)


def check_tensorflow(command: Sequence[str] = (sys.executable, "-c", PROBE)) -> Iterator[Finding]:
    """TensorFlow imports and computes; the GPUs that it sees."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    remedy = "pip install --no-deps -r requirements.lock; `quality` needs no TensorFlow, all other tasks do"
    try:
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=TENSORFLOW_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        yield Finding("fail", f"TensorFlow does not start within {TENSORFLOW_TIMEOUT_S} s", remedy)
        return
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        yield Finding("fail", f"TensorFlow does not work: {said[-1]}", remedy)
        return
    seen = json.loads(done.stdout.splitlines()[-1])
    yield Finding("ok", f"TensorFlow {seen['version']}")
    yield from _gpu_findings(seen["gpus"])


def _gpu_findings(names: Sequence[str]) -> Iterator[Finding]:
    if names:
        yield Finding("ok", f"{len(names)} GPU: {', '.join(names)}")
    elif glob.glob("/dev/nvidia[0-9]*"):
        remedy = (
            "Install CUDA's libraries for TensorFlow: pip install 'songscan[gpu]', and see that the driver is recent"
        )
        yield Finding("warn", "there is an NVIDIA GPU, but TensorFlow does not see it", remedy)
    else:
        yield Finding("info", "no GPU: models run on the CPU")


def check_memory_and_cores() -> Iterator[Finding]:
    """What processes may use, a container's limit included."""
    available = _available_memory_bytes()
    cores = len(os.sched_getaffinity(0))
    if available < LITTLE_MEMORY_BYTES:
        remedy = "Long recordings and several processes need more; keep --direct_num_workers at 1"
        yield Finding("warn", f"{available / GIB:.1f} GiB of memory free, {cores} cores", remedy)
    else:
        yield Finding("ok", f"{available / GIB:.1f} GiB of memory free, {cores} cores")


def _available_memory_bytes() -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (most := limit.read_text().strip()) != "max":
        available = min(available, max(int(most) - int(used.read_text()), 0))
    return available


def check_space(output: str | None) -> Iterator[Finding]:
    """Where samples lie meanwhile, and where the tables go."""
    yield _space("shared memory", "/dev/shm") if os.path.isdir("/dev/shm") else Finding("info", "no /dev/shm here")
    yield _space("scratch", tempfile.gettempdir(), "Set TMPDIR, or give --scratch_dir a folder with more room")
    if output is None:
        return
    if "://" in output:
        yield Finding("info", f"output {output}: looked at when a scan starts")
        return
    folder = os.path.abspath(output)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        yield Finding("fail", f"output {output!r}: {folder!r} is a file", "Choose another folder")
        return
    yield _space("output", folder, "Choose another folder, or free some space")


def _space(what: str, folder: str, remedy: str = "Free some space there") -> Finding:
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("fail", f"{what}: {folder!r} may not be written to", remedy)
    free = shutil.disk_usage(folder).free
    words = f"{what}: {free / GIB:.1f} GiB free in {folder!r}"
    if free < LITTLE_SPACE_BYTES:
        # Short recordings fit into little shared memory; a disk this full ends a scan.
        return Finding("warn", words, remedy)
    return Finding("ok", words)


def check_credentials() -> Iterator[Finding]:
    """Of Google Cloud; good to know only."""
    named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    usual = os.path.expanduser("~/.config/gcloud/application_default_credentials.json")
    found = next((path for path in (named, usual) if path and os.path.exists(path)), None)
    if found:
        yield Finding("info", f"Google Cloud credentials: {found}")
    elif named:
        remedy = "It is named by GOOGLE_APPLICATION_CREDENTIALS: correct or unset that"
        yield Finding("warn", f"Google Cloud credentials: there is no {named!r}", remedy)
    else:
        yield Finding(
            "info", "no Google Cloud credentials (only for gs:// and Dataflow: gcloud auth application-default login)"
        )
