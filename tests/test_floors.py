"""pipelines -> transforms -> models, and never back; Beam stays out of models/."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "models": {"transforms", "pipelines", "apache_beam", "tests", "bench"},
    "transforms": {"pipelines", "tests", "bench"},
    "pipelines": {"tests", "bench"},
}
NO_UTILS = {"utils.py", "util.py", "helpers.py", "common.py"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_imports_go_down(floor):
    files = list((ROOT / floor).rglob("*.py"))
    assert files
    for path in files:
        wrong = {name for name in imports(path) if name.split(".")[0] in FORBIDDEN[floor]}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_no_file_is_for_everything():
    names = {path.name for floor in FORBIDDEN for path in (ROOT / floor).rglob("*.py")}
    assert not names & NO_UTILS


def test_every_package_ships():
    for floor in FORBIDDEN:
        for folder in {path.parent for path in (ROOT / floor).rglob("*.py")}:
            assert (folder / "__init__.py").exists(), (
                f"{folder.relative_to(ROOT)} has no __init__.py, so it would not ship"
            )


def test_the_command_starts_light():
    """Beam and TensorFlow take seconds to import; only the pipeline's own process does."""
    code = "import sys, pipelines.cli, pipelines.launch; print({'apache_beam', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
