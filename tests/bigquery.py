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
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".cache/bqemulator/bin/python"
ABSENT = "there is no .cache/bqemulator: make setup-tests makes it"


@contextmanager
def emulator(buckets: Path) -> Iterator[str]:
    """A running emulator, empty; HOST:PORT. gs://BUCKET/NAME is the file `buckets`/BUCKET/NAME."""
    ports = [_free_port(), _free_port()]
    command = [PYTHON, ROOT / "tests/doubles/bigquery_server.py", "start"]
    flags = [f"--rest-port={ports[0]}", f"--grpc-port={ports[1]}", "--ephemeral"]
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    environment = {
        **kept,
        "HOME": str(PYTHON.parents[1] / "home"),
        "BQEMU_GCS_LOCAL_ROOT": str(buckets),
        "BQEMU_ENABLE_FORMAT_EXTENSIONS": "false",  # they would be fetched from the network
        "BQEMU_QUERY_CACHE_TTL_SECONDS": "0",
    }
    with open(buckets / "emulator.log", "wb") as log:
        process = subprocess.Popen([*command, *flags], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not _answers(ports[0]):
            assert process.poll() is None, (buckets / "emulator.log").read_text()
            assert time.monotonic() < deadline, "the emulator does not answer"
            time.sleep(0.1)
        yield f"127.0.0.1:{ports[0]}"
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/bigquery/v2/projects/p/datasets")
        connection.getresponse().read()
        connection.close()
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

    @property
    def job(self) -> dict[str, Any]:
        """The job that is begun, or {}."""
        begins = self.method == "POST" and re.search(r"/jobs(\?|$)", self.path)
        return dict(json.loads(self.body)) if begins and self.body.startswith(b"{") else {}

    @property
    def job_id(self) -> str:
        """The id of the job that is begun, or that is asked for, or ''."""
        asked = re.search(r"/(?:jobs|queries)/([^/?]+)", self.path)
        return asked[1] if asked else str(self.job.get("jobReference", {}).get("jobId", ""))

    @property
    def sql(self) -> str:
        """The query that is begun, or ''."""
        return str(self.job.get("configuration", {}).get("query", {}).get("query", ""))


@dataclasses.dataclass
class Answer:
    """What the server says."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def failed_job(request: Request, reason: str, message: str) -> Answer:
    """A job that BigQuery took and that failed at once."""
    error = {"reason": reason, "message": message}
    status = {"state": "DONE", "errorResult": error, "errors": [error]}
    job = {**request.job, "id": f"p:{request.job_id}", "status": status, "kind": "bigquery#job"}
    return Answer(200, [("Content-Type", "application/json")], json.dumps(job).encode())


Fault = Callable[[Request, Callable[[], Answer]], Answer | None]


class Proxy:
    """Hands requests on to an emulator; `fault` may answer in its place, or None: the connection is cut."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.fault: Fault | None = None
        self.begun: dict[str, bytes] = {}  # id of a job -> what was asked for
        self._answers: dict[str, Answer] = {}  # of jobs that the emulator does not know by that id
        self._uploads: dict[str, str] = {}  # upload id -> id of the job
        proxy = self

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

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: Request) -> Answer | None:
        job_id = request.job_id
        if request.job and job_id in self.begun:
            return self._error(409, "duplicate", f"Already Exists: Job {job_id}")
        if request.method == "GET" and job_id in self._answers:
            return self._answers[job_id]
        answer = self.fault(request, lambda: self._pass_on(request)) if self.fault else self._pass_on(request)
        if request.job and "/upload/" not in request.path and answer and answer.status < 300:
            self._know(job_id, request, answer)
        return answer

    def _know(self, job_id: str, request: Request, answer: Answer) -> None:
        self.begun[job_id] = request.body
        if b'"errorResult"' in answer.body or b'"load"' in answer.body:
            self._answers[job_id] = answer

    def _pass_on(self, request: Request) -> Answer:
        connection = http.client.HTTPConnection(self.target, timeout=120)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "accept-encoding")}
        connection.request(request.method, request.path, request.body, {**headers, "Host": self.address})
        response = connection.getresponse()
        body = response.read()
        dropped = ("content-length", "transfer-encoding", "connection")
        answer = Answer(response.status, [h for h in response.getheaders() if h[0].lower() not in dropped], body)
        connection.close()
        return self._with_chosen_id(request, answer)

    def _with_chosen_id(self, request: Request, answer: Answer) -> Answer:
        """An upload's job under the id that the client chose."""
        begun = dict(answer.headers).get("X-GUploader-UploadID") or dict(answer.headers).get("x-guploader-uploadid")
        if begun:
            self._uploads[begun] = request.job_id
        upload = re.search(r"upload_id=([^&]+)", request.path)
        if upload and answer.status == 200 and answer.body:
            job = json.loads(answer.body)
            job["jobReference"]["jobId"] = self._uploads[upload[1]]
            answer.body = json.dumps(job).encode()
            self._know(self._uploads[upload[1]], request, answer)
        elif request.job and not begun and answer.status == 200 and request.sql:
            self._know(request.job_id, request, answer)  # known to the server, whether or not the client hears of it
        return answer

    def _error(self, code: int, reason: str, message: str) -> Answer:
        error = {"code": code, "message": message, "errors": [{"reason": reason, "message": message}]}
        return Answer(code, [("Content-Type", "application/json")], json.dumps({"error": error}).encode())
