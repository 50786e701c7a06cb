"""The image, built without Docker: every step of the Dockerfile in a root of its own, then used. `make test-image`.

It takes about ten minutes and 7 GB, and downloads 4 GB: so only where SONGSCAN_TEST_IMAGE says `cpu` or `gpu`.
"""

import json
import os
from pathlib import Path

import pytest

from tests.deploy import dockerfile, replay

ROOT = Path(__file__).parents[2]
DEVICE = os.environ.get("SONGSCAN_TEST_IMAGE", "")

pytestmark = pytest.mark.skipif(not DEVICE, reason="long: make test-image")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    why = replay.unavailable()
    if why:
        pytest.skip(why)
    stages = dockerfile.read(ROOT / "Dockerfile")
    folder = tmp_path_factory.mktemp("image")
    made = replay.Replay(stages, ROOT, dockerfile.context(ROOT), folder, DEVICE=DEVICE)
    for name in ("machine", "dataflow"):
        made.build(name)
    return made


def test_the_launcher_finds_its_script(image):
    env, _ = image._state("dataflow", None)
    script = env["FLEX_TEMPLATE_PYTHON_PY_FILE"]
    assert "--input" in image.run("dataflow", ["python", script, "--help"])


def test_the_machine_image_scans_without_root(image):
    assert image.stages["machine"].last("USER").text == "10001"
    image.run("machine", ["songscan", "demo", "/tmp/demo"], user="10001")
    flags = ["--tasks=quality,tags,stems", "--max_failed_fraction=0.2", "--direct_num_workers=1"]
    image.run("machine", ["songscan", "scan", "/tmp/demo", "/home/songscan/scan", *flags], user="10001")
    counted = "SELECT count(*) AS n FROM work WHERE status = 'ok'"
    answer = image.run("machine", ["songscan", "query", "/home/songscan/scan", counted, "--format=json"], user="10001")
    assert json.loads(answer)[0]["n"] >= 30


def test_nothing_of_the_making_is_left(image):
    packages = image.run("dataflow", ["python", "-m", "pip", "list", "--format=freeze"])
    names = {line.split("==")[0].lower() for line in packages.splitlines()}
    assert not names & {"pytest", "ruff", "mypy", "gcp-storage-emulator", "musicnn", "pyworld"}
    assert ("nvidia-cudnn-cu12" in names) == (DEVICE == "gpu")
    assert not (image.folder / "dataflow" / "build").exists()


def test_models_are_inside(image):
    listed = image.run("dataflow", ["songscan", "models"])
    assert all(name in listed for name in ("musicnn-msd", "musicnn-mtt", "separator"))
