"""A pipeline process that is killed when all that it had to do is on disk."""

import os
import signal
import sys

import pipelines.scan
from pipelines.outcome import exit_status

if __name__ == "__main__":
    status = exit_status(pipelines.scan.run, sys.argv[1:])
    os.kill(os.getpid(), signal.SIGKILL)
