"""Steps on several devices and on several machines, in fresh processes: the same as on one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.steps import TensorFlowDevices

ROOT = Path(__file__).parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def begin(out, kind, **environment):
    command = [sys.executable, "-W", "ignore", "-m", "tests.doubles.distributed_step", str(out), kind]
    told = {**os.environ, **QUIET, **environment}
    return subprocess.Popen(command, env=told, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def ended(process, out):
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said[-3000:]
    return dict(np.load(out))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    out = tmp_path_factory.mktemp("single") / "out.npz"
    return ended(begin(out, "single"), out)


def assert_equal(made, single):
    for name in (name for name in single if name.startswith("v") or name == "losses"):
        np.testing.assert_allclose(made[name], single[name], rtol=1e-5, atol=1e-6)


def test_two_devices(tmp_path, single):
    made = ended(begin(tmp_path / "out.npz", "mirrored"), tmp_path / "out.npz")
    assert made["replicas"] == 2
    assert_equal(made, single)


def test_two_machines(tmp_path, single):
    ports = []
    for _ in range(2):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            ports.append(taken.getsockname()[1])
    workers = [f"127.0.0.1:{port}" for port in ports]
    outs = [tmp_path / f"{index}.npz" for index in range(2)]
    processes = []
    for index, out in enumerate(outs):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(begin(out, "worker", TF_CONFIG=json.dumps(config)))
    made = [ended(process, out) for process, out in zip(processes, outs, strict=True)]
    assert [bool(each["chief"]) for each in made] == [True, False]
    for each in made:
        assert each["replicas"] == 2
        assert_equal(each, single)


def test_a_batch_that_cannot_be_spread_is_told():
    devices = TensorFlowDevices()
    devices.replicas = 3
    with pytest.raises(ValueError, match="a batch of 4 cannot be spread over 3 devices"):
        devices.places(4)
