"""A pipeline process whose task `quality` kills its worker at any track with `killer` in its id."""

import os
import signal
import sys

import pipelines.scan
from pipelines.outcome import exit_status
from transforms import assess as assess_module

plain = assess_module.assess


def assess(recording):
    if "killer" in recording.report.due.track.track_id:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(recording)


if __name__ == "__main__":
    assess_module.assess = assess
    sys.exit(exit_status(pipelines.scan.run, sys.argv[1:]))
