"""BigQuery for tests: bqemulator in a process of its own, and a proxy before it where requests go wrong.

The proxy also gives what the emulator lacks and the flow relies on: an id of a job names one job, for ever. A job that
is begun again under its id is refused with 409, and an uploaded file becomes a job under the id that the client chose.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import google.cloud.bigquery
from google.auth.credentials import AnonymousCredentials

from transforms.bigquery import Dataset

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".cache/bqemulator/bin/python"
ABSENT = "there is no .cache/bqemulator, an environment for the emulator of BigQuery: `make test` makes it"


@contextmanager
def emulator(buckets: Path) -> Iterator[Proxy]:
    """A running emulator, empty, behind a proxy. gs://BUCKET/NAME is the file `buckets`/BUCKET/NAME to it."""
    ports = [free_port(), free_port()]
    command = [PYTHON, ROOT / "tests/doubles/bigquery_server.py", "start"]
    flags = [f"--rest-port={ports[0]}", f"--grpc-port={ports[1]}", "--ephemeral"]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    environment = {
        **kept,
        "HOME": str(PYTHON.parents[1] / "home"),
        "BQEMU_GCS_LOCAL_ROOT": str(buckets),
        "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false",  # they would be fetched from the network
        "BQEMU_QUERY_CACHE_TTL_SECONDS": "0",
        "BQEMU_TIME_TRAVEL_RETENTION_DAYS": "0",
        "BQEMU_LOG_LEVEL": "error",
        "BQEMU_METRICS_ENABLED": "false",
    }
    with open(buckets / "emulator.log", "wb") as log:
        process = subprocess.Popen([*command, *flags], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not _answers(ports[0]):
            assert process.poll() is None, (buckets / "emulator.log").read_text()
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.1)
        proxy = Proxy(f"127.0.0.1:{ports[0]}", buckets)
        yield proxy
        proxy.close()
    finally:
        process.terminate()
        process.wait(20)


def new_dataset() -> Dataset:
    """A dataset that nobody else has, by BIGQUERY_EMULATOR_HOST."""
    made = Dataset("music-1", f"made_{time.monotonic_ns()}")
    client().create_dataset(str(made))
    return made


def client() -> Any:
    """Google's client of the emulator."""
    return google.cloud.bigquery.Client(project="music-1", credentials=AnonymousCredentials())


def ask(dataset: Dataset, sql: str) -> list[dict[str, Any]]:
    """The rows of a query whose tables are of `dataset`."""
    return [dict(row.items()) for row in client().query(re.sub(r"FROM (\w+)", rf"FROM `{dataset}.\1`", sql)).result()]


def counts(dataset: Dataset) -> dict[str, int]:
    """Rows of each table that has any; of `parts` and of what a publication should have removed, too."""
    tables = [item.table_id for item in client().list_tables(str(dataset)) if item.table_type == "TABLE"]
    rows = {table: ask(dataset, f"SELECT COUNT(*) AS n FROM {table}")[0]["n"] for table in tables}
    return {table: n for table, n in rows.items() if n or table.startswith("stage_")}


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            connection.request("GET", "/bigquery/v2/projects/p/datasets")
            connection.getresponse().read()
    except OSError:
        return False
    return True


@dataclasses.dataclass
class Request:
    """What a client asks for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    job_id: str = ""  #: of the job that is begun or asked for

    @property
    def job(self) -> dict[str, Any]:
        """The job that is described, or {}; a file may still have to follow."""
        describes = self.method == "POST" and re.search(r"/jobs(\?|$)", self.path)
        return dict(json.loads(self.body)) if describes else {}

    @property
    def upload(self) -> str:
        """Names the upload that this goes on with, or ''."""
        found = re.search(r"upload_id=([^&]+)", self.path)
        return found[1] if found else ""

    @property
    def begins(self) -> bool:
        """Whether a job begins if this arrives."""
        return bool(self.upload or (self.job and "/upload/" not in self.path))


@dataclasses.dataclass
class Answer:
    """What the server says."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def _told(status: int, what: object) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(what).encode())


def failed_job(request: Request, reason: str, message: str) -> Answer:
    """A job that BigQuery took and that failed at once."""
    error = {"reason": reason, "message": message}
    reference = {"projectId": "music-1", "jobId": request.job_id, "location": "US"}
    configuration = request.job.get("configuration") or {"load": {"sourceUris": []}}
    status = {"state": "DONE", "errorResult": error, "errors": [error]}
    return _told(200, {"jobReference": reference, "configuration": configuration, "status": status})


def refused(code: int, reason: str, message: str) -> Answer:
    """A request that BigQuery does not take."""
    error = {"code": code, "message": message, "errors": [{"reason": reason, "message": message}]}
    return _told(code, {"error": error})


PassOn = Callable[[], Answer]
Fault = Callable[[Request, PassOn], Answer | None]


class FaultAt:
    """A fault that happens to the first jobs whose ids begin with `stem`, so many `times`."""

    def __init__(self, stem: str, happens: Fault, times: int = 1) -> None:
        self.stem, self.happens, self.times = stem, happens, times
        self.seen: list[str] = []

    def __call__(self, request: Request, pass_on: PassOn) -> Answer | None:
        if request.begins and request.job_id.startswith(self.stem) and len(self.seen) < self.times:
            self.seen.append(request.job_id)
            return self.happens(request, pass_on)
        return pass_on()


def cut_before(_: Request, __: PassOn) -> None:
    """The connection is cut before the server hears anything."""


def cut_after(_: Request, pass_on: PassOn) -> None:
    """The server does what is asked, and the connection is cut before the client hears of it."""
    pass_on()


class Proxy:
    """Hands requests on to an emulator; `fault` may answer in its place, or None: the connection is cut."""

    def __init__(self, target: str, buckets: Path) -> None:
        self.target = target
        self.buckets = buckets
        self.fault: Fault | None = None
        self.begun: dict[str, bytes] = {}  # id of a job -> what was asked for
        self.asked: list[tuple[str, str]] = []  # method and id of a job, or ''
        self.busy = 0  # requests in hand
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}  # of jobs that the emulator does not know by that id
        self._uploads: dict[str, str] = {}  # upload id -> id of the job
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: Request) -> Answer | None:
        """What the client hears."""
        asked = re.search(r"/jobs/([^/?]+)", request.path)
        described = request.job.get("jobReference", {}).get("jobId", "")
        request.job_id = self._uploads.get(request.upload) or (asked[1] if asked else described)
        if request.job and request.job_id in self.begun:
            return refused(409, "duplicate", f"Already Exists: Job {request.job_id}")
        self.asked.append((request.method, request.job_id))
        if request.method == "GET" and request.job_id in self._answers:
            return self._answers[request.job_id]
        with self._counted():
            answer = self.fault(request, lambda: self._pass_on(request)) if self.fault else self._pass_on(request)
        return answer and self._noted(request, answer)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.busy += 1
        yield
        with self._lock:
            self.busy -= 1

    def _pass_on(self, request: Request) -> Answer:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "accept-encoding")}
        with closing(http.client.HTTPConnection(self.target, timeout=120)) as connection:
            connection.request(request.method, request.path, request.body, {**headers, "Host": self.address})
            response = connection.getresponse()
            body = response.read()
        dropped = ("content-length", "transfer-encoding", "connection", "date", "server")
        kept = [(name.lower(), value) for name, value in response.getheaders() if name.lower() not in dropped]
        return self._noted(request, Answer(response.status, kept, body))

    def _noted(self, request: Request, answer: Answer) -> Answer:
        """The answer, with the id that the client chose; what is begun is known from now on, heard or not."""
        if upload := dict(answer.headers).get("x-guploader-uploadid"):
            self._uploads[upload] = request.job_id
        elif request.begins and answer.status == 200 and request.job_id not in self.begun:
            job = json.loads(answer.body)
            job["jobReference"]["jobId"] = request.job_id
            answer.body = json.dumps(job).encode()
            self.begun[request.job_id] = request.body
            if request.upload or "errorResult" in job["status"]:
                self._answers[request.job_id] = answer
        return answer


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
            answer = proxy.answer(request)
            if answer is None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
