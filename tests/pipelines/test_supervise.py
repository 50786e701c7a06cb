"""The watch over pipeline processes, with processes that only wait."""

import io
import os
import sys

from rich.console import Console

from pipelines.progress import Progress
from pipelines.supervise import Interrupt, Worker, watch
from transforms.shares import Share

#: Works for a while if it has a share, and ends at once if it has none.
WAITS = (sys.executable, "-c", "import sys, time; time.sleep(1.5 if sys.stdin.readline() else 0)")


def test_workers_without_a_share_end_and_the_others_are_waited_for(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    workers = [Worker([], "run", tmp_path / "log", descriptor, 1, WAITS) for _ in range(3)]
    try:
        for worker, share in zip(workers, (Share(path="plan"), None, None), strict=True):
            worker.go(share)
        with Progress([worker.tally for worker in workers], 1, Console(file=io.StringIO())) as progress:
            deaths = watch(workers, lambda _: None, progress, Interrupt(print))
        assert deaths == []
        assert [worker.process.poll() for worker in workers] == [0, 0, 0]
    finally:
        for worker in workers:
            worker.close()
        os.close(descriptor)
