"""The command's edges: what is told instead of a traceback, and with which exit status."""

import signal
import subprocess
import sys

import pytest

from pipelines import cli, cli_making
from pipelines.outcome import exit_status
from tests.pipelines.scans import ROOT
from transforms.errors import MisuseError

COMMAND = [sys.executable, "-m", "pipelines.cli"]


def failing(error):
    def run(argv):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OSError(28, "No space left on device", "a/b"), 1, "'a/b': No space left on device"),
        (PermissionError(13, "Permission denied", "t"), 1, "'t': Permission denied"),
        (MisuseError("m", "a"), 2, "m"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_statuses_and_words(error, status, words, capsys):
    assert exit_status(failing(error), []) == status
    assert words in capsys.readouterr().err


def test_a_defect_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        exit_status(failing(ZeroDivisionError()), [])


@pytest.mark.parametrize("folder", ["", "/etc/passwd", "/etc"])
def test_a_demonstration_needs_a_folder_of_its_own(folder, capsys):
    assert exit_status(cli.main, ["demo", folder]) == 2


def test_a_demonstration_where_no_file_can_be(capsys):
    assert exit_status(cli.main, ["demo", "/proc/x"]) == 1
    assert "'/proc/x'" in capsys.readouterr().err


def test_a_cover_makes_no_demonstration_and_a_track_does(tmp_path):
    (tmp_path / "cover.jpg").touch()
    with pytest.raises(MisuseError, match="not empty"):
        cli_making._check_demo(str(tmp_path), ["Night Bus.mp3"])
    (tmp_path / "Night Bus.mp3").touch()
    cli_making._check_demo(str(tmp_path), ["Night Bus.mp3"])


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["--plan", "in", "out"], "INPUT and OUTPUT are missing before --plan"), (["in", "--plan"], "OUTPUT is missing")],
)
def test_places_come_first(argv, words):
    with pytest.raises(MisuseError, match=f"{words}(?s:.*)come first"):
        cli._placed(argv)


def test_places_may_be_flags():
    assert cli._placed(["--input=a", "--output", "b"]) == ["--input=a", "--output", "b"]
    assert cli._placed(["a", "b", "--plan"]) == ["--input=a", "--output=b", "--plan"]


def run(words):
    return subprocess.run(
        ["bash", "-c", words, "_", *COMMAND], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_reader_that_leaves_is_no_failure():
    done = run('"$@" schema | head -1; exit ${PIPESTATUS[0]}')
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_told():
    done = run('"$@" schema > /dev/full')
    assert done.returncode == 1
    assert "songscan: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_in_whatever_library():
    code = (
        "import os, signal, sys; from pipelines import cli\n"
        "def main(argv):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt: raise RuntimeError('Query interrupted')\n"
        "cli.main = main; signal.signal(signal.SIGINT, signal.default_int_handler); cli.entry()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "songscan: interrupted\n")


def test_help_of_the_pipeline():
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.scan", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "--max_tracks" in done.stdout
