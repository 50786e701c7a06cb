"""The child's side of transforms.child: reads requests, decodes, answers. Run as `python -m transforms.decoder`.

Conventions. A request is one line of JSON, and with it the descriptors of the file to be read and, for `decode`, of the
two scratch files. A reply is one line: what was asked for; or `reason`, `message` and `advice`; or `no_room`. Lines
with `progress` may come before it. Whatever else goes wrong ends the process, and the parent tells of that.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import hashlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from models.audio import AudioError, decode, probe
from transforms.scratch import ScratchWriter

HASH_BLOCK_BYTES = 1 << 20
PROGRESS_BYTES = 1 << 28  #: hashing tells of its progress so often
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Handler = Callable[[socket.socket, dict[str, Any], list[int]], dict[str, Any]]


def hash_file(sock: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """SHA-256 of the file."""
    digest, buffer, done = hashlib.sha256(), bytearray(HASH_BLOCK_BYTES), 0
    while count := os.preadv(fds[0], [buffer], done):
        digest.update(memoryview(buffer)[:count])
        done += count
        if done % PROGRESS_BYTES < count:
            _send(sock, {"progress": done})
    return {"token": f"sha256:{digest.hexdigest()}"}


def probe_file(sock: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """What the header says."""
    return {"info": dataclasses.asdict(probe(fds[0]))}


def decode_file(sock: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Decodes the file into the scratch files."""
    source, memory_fd, disk_fd = fds
    writer = ScratchWriter(memory_fd, disk_fd, request["memory_backed_bytes"])
    decoded = decode(source, writer.write, max_samples=request["max_samples"])
    return {"decoded": dataclasses.asdict(decoded), "memory_backed": writer.memory_backed}


HANDLERS: dict[str, Handler] = {"token": hash_file, "probe": probe_file, "decode": decode_file}


def serve(sock: socket.socket, handlers: dict[str, Handler] = HANDLERS) -> None:
    """Answers requests until the parent closes the socket."""
    while (received := _receive(sock)) is not None:
        request, fds = received
        try:
            _send(sock, _answer(handlers[request["do"]], sock, request, fds))
        finally:
            for fd in fds:
                os.close(fd)


def _answer(handler: Handler, sock: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    try:
        return handler(sock, request, fds)
    except AudioError as error:
        return {"reason": error.reason, "message": error.message, "advice": error.advice}
    except MemoryError:
        advice = "A header that lies about sizes? Leave the file out, or raise the decoder's memory limit."
        what = "decoding needs more memory than the limit allows"
        return {"reason": "decoder_out_of_memory", "message": what, "advice": advice}
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return {"no_room": str(error.strerror)}
        advice = "The disk or the network failed: it is tried again in the next run."
        return {"reason": "read_error", "message": f"reading the file failed ({error})", "advice": advice}


def _receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    line, fds, _, _ = socket.recv_fds(sock, 1 << 16, 3)
    while line and not line.endswith(b"\n"):
        line += sock.recv(1 << 16)
    return (json.loads(line), fds) if line else None


def _send(sock: socket.socket, reply: dict[str, Any]) -> None:
    sock.sendall(json.dumps(reply).encode() + b"\n")


def end_with_parent() -> None:
    """Has the kernel kill this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def settle(parent_pid: int, memory_bytes: int) -> None:
    """Binds this process to its parent's life and to `memory_bytes` of address space beyond what it has now."""
    end_with_parent()
    if os.getppid() != parent_pid:  # died before the line above
        sys.exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    with open("/proc/self/statm") as file:
        baseline_bytes = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (baseline_bytes + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str], handlers: dict[str, Handler] = HANDLERS) -> None:
    """Serves a socket. `arguments`: its descriptor, the parent's process id, bytes of memory allowed."""
    fd, parent_pid, memory_bytes = map(int, arguments)
    settle(parent_pid, memory_bytes)
    sock = socket.socket(fileno=fd)
    _send(sock, {"ready": True})
    serve(sock, handlers)


if __name__ == "__main__":
    main(sys.argv[1:])
