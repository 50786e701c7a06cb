"""The decoder process: native decoders meet hostile files in a child that may crash, hang or bloat in their stead.

Conventions. One child per DecoderProcess, started when first needed and again after it died; one request at a time, and
not from several threads at once. A request or reply is one line of JSON over a socket; the file to be read and the two
scratch files (transforms.scratch) go along as descriptors (SCM_RIGHTS), so that no name reaches a library and no sample
passes through the socket. Progress is seen as writing to the scratch files, or as progress lines. The child's side is
transforms.decoder. Neither imports apache_beam: the child must start fast.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from models.audio import AudioInfo, Decoded
from transforms.errors import MisuseError, RunError, TrackError
from transforms.scratch import SAMPLE_BYTES, Scratch, SpareMemory
from transforms.source import FilePath, Source

COMMAND = (sys.executable, "-m", "transforms.decoder")
START_TIMEOUT_S = 120.0  #: loading the libraries from a cold and busy disk
LONGEST_TICK_S = 1.0  #: how often the parent looks for progress
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class DecoderProcess:
    """Decodes in a child process.

    Args:
        scratch_dir: where recordings too long for memory lie while they are worked on; the system's default if None.
        timeout_s: a child that makes no progress for so long is killed.
        memory_bytes: address space that the child may use beyond what it needs to start.
        max_decoded_bytes: a recording whose float32 samples exceed this is refused.
        memory_backed_bytes: recordings up to this size stay in memory, and so much is kept for the next one.
        command: how to start the child; tests put a double here.
    """

    def __init__(
        self,
        *,
        scratch_dir: str | None = None,
        timeout_s: float = 60.0,
        memory_bytes: int = 2 << 30,
        max_decoded_bytes: int = 64 << 30,
        memory_backed_bytes: int = 128 << 20,
        command: Sequence[str] = COMMAND,
    ) -> None:
        if timeout_s <= 0:
            raise MisuseError(f"timeout_s is {timeout_s}", "It is a time without progress, seconds: more than 0.")
        self.scratch_dir = scratch_dir
        self.timeout_s = timeout_s
        self.memory_bytes = memory_bytes
        self.max_decoded_bytes = max_decoded_bytes
        self.memory_backed_bytes = memory_backed_bytes
        self.command = tuple(command)
        self._child: _Child | None = None
        self._memory = SpareMemory()
        self._hashed: tuple[FilePath, tuple[int, ...]] | None = None  # the last token's file and state

    def token(self, path: FilePath) -> str:
        """Digest of the bytes of `path`: `sha256:HEX`. Raises TrackError."""
        with Source(path) as source:
            reply = self._ask({"do": "token"}, source, "open", ())
            source.check_unchanged()
            self._hashed = (path, source.state)
            return str(reply["token"])

    def probe(self, path: FilePath) -> AudioInfo:
        """What the header of `path` says. Raises TrackError."""
        with Source(path) as source:
            return AudioInfo(**self._ask({"do": "probe"}, source, "decode", ())["info"])

    def decode(self, path: FilePath) -> Scratch:
        """The samples of `path`.

        Raises:
            TrackError: if it cannot be opened or decoded, or changed since `token` was asked for it.
            RunError: if there is no room for the samples, or the child does not start.
        """
        with Source(path) as source:
            if self._hashed is not None and self._hashed[0] == path:
                source.check_unchanged(self._hashed[1])
            return self._decode(source)

    def close(self) -> None:
        """Ends the child and gives its memory back; the next request starts another."""
        self._memory.close()
        self._memory = SpareMemory()
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> DecoderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decode(self, source: Source) -> Scratch:
        memory_fd = self._memory.take()
        try:
            with self._disk_file() as disk:
                reply = self._ask(self._decode_request(), source, "decode", (memory_fd, disk.fileno()))
                source.check_unchanged()
                disk_fd = None if reply["memory_backed"] else os.dup(disk.fileno())
        except BaseException:  # not caught, only tidied up after
            os.close(memory_fd)
            raise
        decoded = _decoded(reply["decoded"])
        if disk_fd is None:
            return Scratch(memory_fd, decoded, memory_backed=True, release=self._memory.give)
        self._memory.give(memory_fd)
        return Scratch(disk_fd, decoded, memory_backed=False)

    def _decode_request(self) -> dict[str, Any]:
        max_samples = self.max_decoded_bytes // SAMPLE_BYTES
        return {"do": "decode", "max_samples": max_samples, "memory_backed_bytes": self.memory_backed_bytes}

    def _disk_file(self) -> Any:
        try:
            return tempfile.TemporaryFile(dir=self.scratch_dir, buffering=0)  # has no name, or loses it at once
        except OSError as error:
            raise _no_room(self.scratch_dir, str(error.strerror)) from error

    def _ask(self, request: dict[str, Any], source: Source, stage: str, scratch_fds: tuple[int, ...]) -> dict[str, Any]:
        child, self._child = self._child, None  # an interrupt must leave no child behind that still has to answer
        if child is None or not child.alive:
            child = _Child(self.command, self.memory_bytes)
        try:
            reply = child.ask(request, (source.fd, *scratch_fds), self.timeout_s)
        except _ChildDiedError as death:
            child.kill()
            source.check_unchanged()
            told = f"{death} while reading {source.name}"
            slow = death.reason == "decoder_hung"  # another night the disk may be faster
            raise TrackError(stage, death.reason, told, death.advice, transient=slow) from None
        if reply.get("reason") == "decoder_out_of_memory":
            child.kill()  # its heap may be in pieces
        self._child = child
        if "no_room" in reply:
            raise _no_room(self.scratch_dir, reply["no_room"])
        if "reason" in reply:
            source.check_unchanged()
            transient = reply["reason"] == "read_error"
            raise TrackError(stage, reply["reason"], reply["message"], reply["advice"], transient=transient)
        return reply


def _decoded(fields: dict[str, Any]) -> Decoded:
    at_s = tuple(fields.pop("damaged_at_s"))
    damaged = tuple((start_s, end_s) for start_s, end_s in fields.pop("damaged"))
    return Decoded(info=AudioInfo(**fields.pop("info")), damaged_at_s=at_s, damaged=damaged, **fields)


def _no_room(scratch_dir: str | None, why: str) -> RunError:
    where = scratch_dir or tempfile.gettempdir()
    advice = "Free some space there, or name a larger folder with --scratch_dir."
    return RunError(f"no room for decoded audio in {where} ({why})", advice)


class _ChildDiedError(Exception):
    def __init__(self, reason: str, what: str, advice: str) -> None:
        super().__init__(what)
        self.reason = reason
        self.advice = advice


class _Child:
    """A running child and its socket."""

    def __init__(self, command: Sequence[str], memory_bytes: int) -> None:
        self.socket, theirs = socket.socketpair()
        # Beam sets a default timeout when it asks for credentials, and a child would inherit it.
        theirs.setblocking(True)
        arguments = [*command, str(theirs.fileno()), str(os.getpid()), str(memory_bytes)]
        with theirs:
            self.process = _spawner(os.getpid()).submit(_start, arguments, theirs.fileno()).result()
        self.kill = weakref.finalize(self, _end, self.process, self.socket)
        try:
            self._reply((), START_TIMEOUT_S)
        except _ChildDiedError as death:
            self.kill()
            advice = (
                "Its own message stands above. A broken installation, or too little memory? `songscan doctor` tells."
            )
            raise RunError(f"the decoder process does not start: {death}", advice) from None

    @property
    def alive(self) -> bool:
        return self.kill.alive and self.process.poll() is None

    def ask(self, request: dict[str, Any], fds: Sequence[int], timeout_s: float) -> dict[str, Any]:
        """The reply to `request`. Raises _ChildDiedError."""
        try:
            socket.send_fds(self.socket, [json.dumps(request).encode() + b"\n"], fds)
            return self._reply(fds[1:], timeout_s)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def _reply(self, growing_fds: Sequence[int], timeout_s: float) -> dict[str, Any]:
        received, moved = b"", time.monotonic()
        state: list[tuple[int, int]] = []
        while True:
            readable, _, _ = select.select([self.socket], [], [], min(LONGEST_TICK_S, timeout_s / 4))
            if readable:
                if not (data := self.socket.recv(1 << 16)):
                    raise self._death()
                moved = time.monotonic()
                received += data
                *lines, received = received.split(b"\n")
                for reply in map(json.loads, lines):
                    if "progress" not in reply:
                        return dict(reply)
            elif state != (state := [_written(fd) for fd in growing_fds]):
                moved = time.monotonic()
            elif time.monotonic() - moved > timeout_s:
                advice = "A file that leads the decoder in circles, or a disk that is very slow: raise the time limit."
                raise _ChildDiedError("decoder_hung", f"the decoder made no progress for {timeout_s:g} s", advice)

    def _death(self) -> _ChildDiedError:
        code = self.process.wait(timeout=10)
        how = f"of signal {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        advice = "The file provokes a fault of the decoder: leave it out of the catalogue, or convert it."
        if code == -signal.SIGKILL:
            advice = "Was it killed for want of memory? Leave the file out, or give the machine more."
        return _ChildDiedError("decoder_crashed", f"the decoder died {how}", advice)


def _written(fd: int) -> tuple[int, int]:
    """What changes whenever the child writes; a spare memory file does not grow at first."""
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns


@functools.cache
def _spawner(pid: int) -> ThreadPoolExecutor:
    """A thread that lives as long as the process: the kernel ends a child with the thread that made it (PDEATHSIG).

    One for each process, since a fork has none of its parent's threads.
    """
    return ThreadPoolExecutor(1, "decoder-spawner")


def _start(arguments: Sequence[str], fd: int) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parent.parent)
    python_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    # PYTHONSAFEPATH: where the scan is started, a folder may hold a file called numpy.py.
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": python_path, "PYTHONSAFEPATH": "1"}
    return subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(fd,), env=environment
    )


def _end(process: subprocess.Popen[bytes], sock: socket.socket) -> None:
    sock.close()
    process.kill()  # it holds nothing that could be lost
    process.wait(timeout=10)
