"""The decoder process: what it hands over, and that nothing a file does to it reaches the parent or the next file."""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import audio
from tests import signals
from transforms.child import DecoderProcess
from transforms.errors import RunError, TrackError

ROOT = Path(__file__).resolve().parents[2]
DOUBLE = (sys.executable, str(ROOT / "tests/doubles/decoder.py"))


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess() as process:
        yield process


@pytest.fixture
def misbehaving() -> Iterator[DecoderProcess]:
    with DecoderProcess(command=DOUBLE, timeout_s=2.0, memory_bytes=256 << 20) as process:
        yield process


def failure(call: Any, *arguments: Any) -> TrackError:
    with pytest.raises(TrackError) as caught:
        call(*arguments)
    assert caught.value.advice
    return caught.value


class TestHandingOver:
    @pytest.mark.parametrize("memory_backed_bytes", [1 << 30, 1 << 20, 0])
    def test_samples_are_those_of_decoding_here(self, memory_backed_bytes: int, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "mp3", signals.music(5.3, 44100), 44100, title="東京")
        here, decoded = audio.read(path)
        with DecoderProcess(memory_backed_bytes=memory_backed_bytes, scratch_dir=str(tmp_path)) as decoder:
            with decoder.decode(path) as scratch:
                assert scratch.memory_backed == (memory_backed_bytes == 1 << 30)
                assert (scratch.sample_rate_hz, scratch.channels, scratch.frames) == (44100, 2, len(here))
                assert scratch.decoded == decoded
                np.testing.assert_array_equal(scratch.read(0, scratch.frames), here)
                np.testing.assert_array_equal(scratch.read(1000, 1003), here[1000:1003])
                np.testing.assert_array_equal(np.concatenate(list(scratch.blocks(10007))), here)
                assert scratch.read(len(here) - 5, len(here) + 5).shape == (5, 2)
                assert scratch.read(len(here) + 5, len(here) + 9).shape == (0, 2)
            assert [entry.name for entry in tmp_path.iterdir()] == ["track.mp3"]

    def test_token_is_the_digest_of_the_bytes(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        content = np.random.default_rng(0).bytes(3_000_001)
        (tmp_path / "x").write_bytes(content)
        assert decoder.token(tmp_path / "x") == "sha256:" + hashlib.sha256(content).hexdigest()

    def test_probe(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "flac24", signals.music(0.5), title="a\nb")
        assert decoder.probe(path) == audio.probe(path)

    def test_one_child_serves_many_files(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        decoder.decode(path).close()
        child = decoder._child
        scratches = [decoder.decode(path) for _ in range(20)]
        assert decoder._child is child
        np.testing.assert_array_equal(scratches[0].read(0, 4800), scratches[19].read(0, 4800))

    def test_a_spare_memory_file_shows_nothing_of_the_recording_before(
        self, decoder: DecoderProcess, tmp_path: Path
    ) -> None:
        decoder.decode(signals.write(tmp_path, "wav16", signals.noise(2.0))).close()
        original = signals.music(0.5)
        scratch = decoder.decode(signals.write(tmp_path, "wavfloat", original))
        np.testing.assert_array_equal(scratch.read(0, 96000), original)

    def test_descriptors_are_given_back(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        decoder.decode(path).close()
        gc.collect()  # of what other tests have left
        child = f"/proc/{decoder._child.process.pid}/fd"  # type: ignore[union-attr]
        before = len(os.listdir("/proc/self/fd")), len(os.listdir(child))
        for _ in range(5):
            decoder.decode(path)
            failure(decoder.decode, tmp_path)
        gc.collect()
        deadline = time.monotonic() + 10  # the child closes its own after it has answered
        while len(os.listdir("/proc/self/fd")) > before[0] or len(os.listdir(child)) > before[1]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_a_closed_scratch_says_so(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        scratch = decoder.decode(signals.write(tmp_path, "wav16", signals.music(0.1)))
        scratch.close()
        scratch.close()
        with pytest.raises(ValueError, match="closed"):
            scratch.read(0, 1)

    def test_audio_is_never_pickled(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        scratch = decoder.decode(signals.write(tmp_path, "wav16", signals.music(0.1)))
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(scratch)


class TestHostileFiles:
    def test_gone_and_dangling(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        for name in ("nowhere", "link", "nowhere/deeper"):
            error = failure(decoder.decode, tmp_path / name)
            assert (error.stage, error.reason, error.transient) == ("open", "gone", True)

    def test_what_is_no_file(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "loop").symlink_to("loop")
        for path in (tmp_path / "fifo", tmp_path, "/dev/null", tmp_path / "loop", "zero\0byte", "x" * 300):
            for call in (decoder.decode, decoder.token):
                error = failure(call, path)
                assert (error.stage, error.reason, error.transient) == ("open", "not_a_file", False)

    def test_no_permission(self, decoder: DecoderProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")  # root may read everything, so it is faked

        monkeypatch.setattr(os, "open", refuse)
        error = failure(decoder.decode, tmp_path / "secret.wav")
        assert (error.stage, error.reason, error.transient) == ("open", "no_permission", True)

    @pytest.mark.parametrize(("content", "reason"), [(b"", "empty_file"), (b"words " * 99, "not_audio")])
    def test_not_audio(self, decoder: DecoderProcess, content: bytes, reason: str, tmp_path: Path) -> None:
        path = tmp_path / "x.mp3"
        path.write_bytes(content)
        for call in (decoder.decode, decoder.probe):
            error = failure(call, path)
            assert (error.stage, error.reason, error.transient) == ("decode", reason, False)

    def test_damage_is_told(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        path = signals.scribbled(signals.write(tmp_path, "mp3", signals.music(8.0)), 0.5, 1500)
        decoded = decoder.decode(path).decoded
        assert decoded == audio.read(path)[1]
        assert decoded.damaged_at_s

    @pytest.mark.parametrize("name", ["東京🎵'\"\n.wav", "x" * 246 + ".wav", b"\xff\xfe\xfd.wav", "http:x"])
    def test_names(self, decoder: DecoderProcess, name: str | bytes, tmp_path: Path) -> None:
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        os.rename(signals.write(tmp_path, "wav16", signals.music(0.1)), path)
        assert decoder.decode(path).frames == 4800
        assert decoder.token(os.fsdecode(path)).startswith("sha256:")

    def test_changed_between_token_and_decode(self, decoder: DecoderProcess, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        decoder.token(path)
        assert decoder.decode(path).frames == 4800
        os.utime(path, ns=(1, 1))
        error = failure(decoder.decode, path)
        assert (error.stage, error.reason, error.transient) == ("open", "changed_while_read", True)

    def test_changed_while_decoding(self, misbehaving: DecoderProcess, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1), stem="slow")
        timer = threading.Timer(0.7, os.truncate, (path, 100))
        misbehaving.probe(signals.write(tmp_path, "wav16", signals.music(0.1)))  # the child is up
        timer.start()
        assert failure(misbehaving.decode, path).reason == "changed_while_read"

    def test_too_long(self, tmp_path: Path) -> None:
        with DecoderProcess(max_decoded_bytes=4800 * 8) as decoder:
            assert decoder.decode(signals.write(tmp_path, "wav16", signals.music(0.1))).frames == 4800
            assert failure(decoder.decode, signals.write(tmp_path, "wav16", signals.music(0.2))).reason == "too_long"


class TestMisbehaviour:
    @pytest.mark.parametrize(
        ("stem", "reason", "words"),
        [
            ("crash", "decoder_crashed", "SIGSEGV"),
            ("killed", "decoder_crashed", "SIGKILL"),
            ("bug", "decoder_crashed", "exit status 1"),
            ("hang", "decoder_hung", "no progress for 2 s"),
            ("bloat", "decoder_out_of_memory", "memory"),
        ],
    )
    def test_costs_one_track(
        self, misbehaving: DecoderProcess, stem: str, reason: str, words: str, tmp_path: Path
    ) -> None:
        good = signals.write(tmp_path, "wav16", signals.music(0.1))
        bad = signals.write(tmp_path, "wav16", signals.music(0.1), stem=stem)
        assert misbehaving.decode(good).frames == 4800
        first = misbehaving._child
        error = failure(misbehaving.decode, bad)
        assert (error.stage, error.reason, error.transient) == ("decode", reason, stem == "hang")
        assert words in error.message
        assert misbehaving.decode(good).frames == 4800
        assert misbehaving._child is not first

    def test_slow_but_steady_is_not_hung(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1), stem="slow")
        with DecoderProcess(command=DOUBLE, timeout_s=0.8) as decoder:
            assert decoder.decode(path).frames == 4800

    def test_a_full_disk_ends_the_run(self, misbehaving: DecoderProcess, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1), stem="full")
        misbehaving.scratch_dir = str(tmp_path)
        with pytest.raises(RunError, match=f"{tmp_path}.*No space left.*--scratch_dir"):
            misbehaving.decode(path)

    def test_a_child_that_does_not_start_ends_the_run(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        decoder = DecoderProcess(command=(sys.executable, "-c", "raise SystemExit(3)"))
        with pytest.raises(RunError, match=r"does not start.*exit status 3"):
            decoder.decode(path)

    def test_a_scratch_dir_that_is_not_there(self, tmp_path: Path) -> None:
        with DecoderProcess(scratch_dir=str(tmp_path / "none")) as decoder, pytest.raises(RunError, match="none"):
            decoder.decode(signals.write(tmp_path, "wav16", signals.music(0.1)))

    def test_a_default_timeout_of_sockets_does_not_reach_the_child(self, tmp_path: Path) -> None:
        """Beam sets one in every process that asks for Google's credentials."""
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(60)
        try:
            with DecoderProcess() as decoder:
                time.sleep(0.3)  # it waits for its first request by now
                assert decoder.decode(path).frames == 4800
                time.sleep(0.3)
                assert decoder.decode(path).frames == 4800
        finally:
            socket.setdefaulttimeout(before)

    def test_a_killed_child_is_replaced(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        with DecoderProcess() as decoder:
            decoder.decode(path)
            process = decoder._child.process  # type: ignore[union-attr]
            process.kill()
            process.wait()
            assert decoder.decode(path).frames == 4800

    def test_an_interrupt_leaves_no_stale_answer(self, misbehaving: DecoderProcess, tmp_path: Path) -> None:
        good = signals.write(tmp_path, "wav16", signals.music(0.2))
        slow = signals.write(tmp_path, "wav16", signals.music(0.1), stem="slow")
        assert misbehaving.decode(good).frames == 9600
        threading.Timer(0.3, signal.raise_signal, (signal.SIGINT,)).start()
        with pytest.raises(KeyboardInterrupt):
            misbehaving.decode(slow)
        assert misbehaving.decode(good).frames == 9600

    def test_the_child_outlives_the_thread_that_asked_first_but_not_its_parent(self, tmp_path: Path) -> None:
        path = signals.write(tmp_path, "wav16", signals.music(0.1))
        script = f"""
            import os, signal, threading
            from transforms.child import DecoderProcess
            decoder = DecoderProcess()
            asker = threading.Thread(target=decoder.decode, args=({str(path)!r},))
            asker.start(); asker.join()
            pid = decoder._child.process.pid
            decoder.decode({str(path)!r})
            assert decoder._child.process.pid == pid
            print(pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
        pid, deadline = int(done.stdout), time.monotonic() + 10
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _runs(pid)

    def test_neither_side_loads_beam(self) -> None:
        script = "import sys, transforms.child, transforms.decoder; print([m for m in sys.modules if 'beam' in m])"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
