"""A decoder child that misbehaves on command, the command being the name of the file that it is given.

crash.*: segmentation fault; hang.*: never answers; slow.*: answers after a while of steady progress; bloat.*: asks for
more memory than its limit; bug.*: an exception nobody foresaw; full.*: the disk is full; killed.*: SIGKILL, as from the
kernel when memory runs out. All other files decode as usual.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from transforms.decoder import HANDLERS, main


def _misbehave(fds: list[int]) -> None:
    match Path(os.readlink(f"/proc/self/fd/{fds[0]}")).stem:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(3600)
        case "slow":
            for _ in range(10):
                time.sleep(0.1)
                os.write(fds[2], b"still at it")
            os.ftruncate(fds[2], 0)
        case "bloat":
            bytearray(64 << 30)
        case "bug":
            raise RuntimeError("nobody foresaw this")
        case "full":
            raise OSError(errno.ENOSPC, "No space left on device")


def misbehaving(name: str) -> Any:
    def handle(sock: socket.socket, request: dict[str, Any], fds: list[int]) -> dict[str, Any]:
        _misbehave(fds)
        return HANDLERS[name](sock, request, fds)

    return handle


if __name__ == "__main__":
    main(sys.argv[1:], {name: misbehaving(name) for name in HANDLERS})
