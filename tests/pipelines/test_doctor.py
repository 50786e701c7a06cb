import io
import sys

import pytest
from rich.console import Console

from models import audio
from models.card import Label, Output
from pipelines import doctor, machine
from tests.doubles.models import card


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def statuses(findings):
    return [finding.status for finding in findings]


def test_nothing_fails_here(console, tmp_path):
    assert doctor.doctor(console, str(tmp_path / "new/output"), fast=True) == 0
    said = console.file.getvalue()
    for words in (
        "Python 3",
        "libavcodec",
        "libsndfile",
        "decoding tested: wav",
        "decoder process starts",
        "cores",
        "scratch",
        "output",
    ):
        assert words in said
    assert not (tmp_path / "new").exists()


def test_one_failure_is_exit_status_1_with_the_remedy(console, monkeypatch):
    monkeypatch.setattr(doctor, "DECODERS", ("mp3float", "codec_of_the_future"))
    monkeypatch.setattr(doctor, "SELF_TESTS", {})
    assert doctor.doctor(console, fast=True) == 1
    said = console.file.getvalue()
    assert "fail  PyAV" in said
    assert "lacks the decoders codec_of_the_future" in said
    assert "pip install --force-reinstall av" in said
    assert "A scan cannot run here yet" in said


def test_a_missing_format_of_libsndfile_fails(monkeypatch):
    monkeypatch.setattr(doctor.soundfile, "available_formats", lambda: {"WAV": ""})
    assert statuses(doctor.check_sndfile()) == ["fail"]


def test_every_format_is_decoded_and_compared(monkeypatch):
    assert statuses(doctor.check_formats()) == ["ok"]
    read = audio.read

    def louder(path):
        samples, decoded = read(path)
        return samples * (1.2 if path.endswith(("/mp3", "/flac")) else 1), decoded

    monkeypatch.setattr(audio, "read", louder)
    findings = list(doctor.check_formats())
    assert [f.words.split(":")[0] for f in findings[:-1]] == ["decoding of flac", "decoding of mp3"]
    assert "the error is 0.2" in findings[0].words


def test_a_format_that_raises_is_a_finding(monkeypatch):
    monkeypatch.setattr(doctor, "SELF_TESTS", {"nonesuch": (44100, 0.1), "wav": (44100, 0.1)})
    findings = list(doctor.check_formats())
    assert statuses(findings) == ["fail", "ok"]
    assert "nonesuch" in findings[0].words


def test_pins_are_compared(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# made\nNumPy==0.1 \\\n    --hash=sha256:00\nnot-there==2.0 ; python_version >= '3' \\\n    --hash=sha256:00\n"
        f"windows-only==1 ; sys_platform == 'win32'\npytest=={pytest.__version__}\n"
    )
    (finding,) = doctor.check_packages(lock)
    assert finding.status == "warn"
    assert "2 of 3 packages" in finding.words
    assert "(pinned: 0.1)" in finding.words
    assert "not-there missing (pinned: 2.0)" in finding.words
    lock.write_text(f"pytest=={pytest.__version__}\n")
    assert statuses(doctor.check_packages(lock)) == ["ok"]
    assert statuses(doctor.check_packages(tmp_path / "none")) == ["info"]


def test_another_python_is_a_warning(monkeypatch):
    monkeypatch.setattr(doctor, "PYTHON", (2, 7))
    assert statuses(doctor.check_python()) == ["warn"]


def test_a_decoder_that_does_not_start_fails(monkeypatch):
    child = doctor.DecoderProcess
    monkeypatch.setattr(doctor, "DecoderProcess", lambda: child(command=(sys.executable, "-c", "raise SystemExit(3)")))
    assert statuses(doctor.check_decoder()) == ["fail"]


def probe(script):
    return list(machine.check_tensorflow((sys.executable, "-c", script)))


def test_tensorflow_is_asked_in_a_process_of_its_own():
    found = probe('print("noise"); print(\'{"version": "2.21", "gpus": ["H200"], "total": 1}\')')
    assert [(f.status, f.words) for f in found] == [("ok", "TensorFlow 2.21"), ("ok", "1 GPU: H200")]
    (broken,) = probe("import no_such_module")
    assert broken.status == "fail"
    assert "No module named 'no_such_module'" in broken.words


def test_a_gpu_that_tensorflow_does_not_see_is_a_warning(monkeypatch):
    monkeypatch.setattr(machine.glob, "glob", lambda _: ["/dev/nvidia0"])
    (_, gpu) = probe('print(\'{"version": "2.21", "gpus": [], "total": 1}\')')
    assert gpu.status == "warn"
    assert "songscan[gpu]" in gpu.remedy
    monkeypatch.setattr(machine.glob, "glob", lambda _: [])
    assert statuses(probe('print(\'{"version": "2.21", "gpus": [], "total": 1}\')')) == ["ok", "info"]


def test_output_below_a_file_fails(tmp_path):
    (tmp_path / "file").touch()
    assert statuses(machine.check_space(str(tmp_path / "file/output")))[-1] == "fail"
    assert statuses(machine.check_space("gs://bucket/x"))[-1] == "info"


def test_little_space_and_memory_are_warnings(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "LITTLE_SPACE_BYTES", 1 << 60)
    assert statuses(machine.check_space(str(tmp_path)))[-1] == "warn"
    monkeypatch.setattr(machine, "LITTLE_MEMORY_BYTES", 1 << 60)
    assert statuses(machine.check_memory_and_cores()) == ["warn"]


def test_credentials_are_told_but_never_read(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    assert statuses(machine.check_credentials()) == ["info"]
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    assert statuses(machine.check_credentials()) == ["warn"]
    (tmp_path / "key.json").write_text("secret")
    (finding,) = machine.check_credentials()
    assert finding.status == "info"
    assert "secret" not in finding.words


def test_models_are_named_and_a_task_without_one_is_a_warning(tmp_path):
    (finding,) = doctor.check_models(tmp_path)
    assert (finding.status, "tags" in finding.words) == ("warn", True)
    path = tmp_path / "fake" / "1" / "assets.extra" / "card.json"
    path.parent.mkdir(parents=True)
    path.write_text(card().to_json())
    (finding,) = doctor.check_models(tmp_path)
    assert (finding.status, finding.words) == ("warn", "no model for the task defects, stems: scan with other --tasks")
    mask = {"outputs": (Output(name="v", role="mask", layout="bfk"),), "frame_hop_samples": 1000}
    separator = card(name="two", task="stems", labels=(), thresholds_chosen="", mask_window_samples=2000, **mask)
    other = tmp_path / "two" / "1" / "assets.extra" / "card.json"
    other.parent.mkdir(parents=True)
    other.write_text(separator.to_json())
    heard = {"outputs": (Output(name="p", role="frame_scores", layout="bfl"),), "frame_hop_samples": 1000}
    detector = card(name="three", task="defects", labels=(Label(name="click", by="measure:clicks"),), **heard)
    third = tmp_path / "three" / "1" / "assets.extra" / "card.json"
    third.parent.mkdir(parents=True)
    third.write_text(detector.to_json())
    (finding,) = doctor.check_models(tmp_path)
    assert (finding.status, finding.words) == ("ok", "models: fake 1, three 1, two 1")
    path.write_text("{}")
    (finding,) = doctor.check_models(tmp_path)
    assert finding.status == "fail"
