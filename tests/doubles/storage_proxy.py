"""A proxy before the storage emulator: what Cloud Storage does and the emulator does not, and faults by plan.

Conventions. It holds `generation` and `ifGenerationMatch` to the object that is there, pages listings, takes a chunk of
a resumable upload again, and answers a finished upload again. A fault has a kind: a status such as `503` (the request
is not passed on), `refused` (reset, not passed on), `garbled` (one bit of what is sent is another), `lost` (passed on,
reset instead of an answer), `reset` (half the answer, then a reset), `truncated` (half the answer, then the end),
`wrong` (one bit of the answer is another), `slow` (the answer comes after `slow_s`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

_OBJECT = re.compile(r"/b/([^/]+)/o(?:/(.+))?$")
_CHUNK = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PASSED = {"range", "content-type", "content-range", "x-upload-content-type", "x-upload-content-length", "x-goog-hash"}
_IN_A_ROW = 2  # as many random faults at most for one object and method


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Rule:
    """What happens to the next `times` requests whose `METHOD path?query`, decoded, `pattern` is found in."""

    kind: str | Callable[[], object]
    pattern: str
    times: int


class Request:
    """What a request is about."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.target, self.headers, self.body = method, target, headers, body
        parts = urlsplit(target)
        self.query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.words = f"{method} {unquote(target)}"
        found = _OBJECT.search(parts.path)
        self.bucket = unquote(found[1]) if found else ""
        self.name = unquote(found[2] or "") if found else ""
        self.is_upload = parts.path.startswith("/upload/")
        self.is_media = self.query.get("alt") == "media"
        self.upload_id = self.query.get("upload_id")
        self.is_listing = method == "GET" and bool(found) and not self.name
        if self.is_upload and not self.name:
            self.name = self.query.get("name") or self._name_within()

    def _name_within(self) -> str:
        if self.upload_id:
            return ""
        body = self.body
        if self.query.get("uploadType") == "multipart":
            body = body.split(b"\r\n\r\n", 1)[1].split(b"\r\n--", 1)[0]
        return str(json.loads(body)["name"])


@dataclass
class Session:
    """A resumable upload."""

    name: str
    received: int = 0
    answer: Answer | None = None


class Proxy(ThreadingHTTPServer):
    """Listens on loopback from the start; `url` is for STORAGE_EMULATOR_HOST."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.page_size = 1000
        self.slow_s = 1.0
        self.requests: list[str] = []
        self.faults: Counter[str] = Counter()  #: that happened, by kind
        self._upstream = urlsplit(upstream).netloc
        self._rules: list[Rule] = []
        self._random: tuple[random.Random, float, Sequence[str]] | None = None
        self._in_a_row: Counter[tuple[str, str, str]] = Counter()
        self._sessions: dict[str, Session] = {}
        self._lock, self._closing = threading.RLock(), threading.Event()
        self.cut: set[socket.socket] = set()  #: connections that end with a reset

    # Plans ------------------------------------------------------------------------------------------------------

    def fail(self, kind: str, pattern: str = "", times: int = 1) -> None:
        """The next `times` requests that `pattern` is found in suffer a fault."""
        self._rules.append(Rule(kind, pattern, times))

    def before(self, pattern: str, action: Callable[[], object]) -> None:
        """`action` is called once, before a request that `pattern` is found in is passed on."""
        self._rules.append(Rule(action, pattern, 1))

    def fail_at_random(self, seed: int, share: float, kinds: Sequence[str]) -> None:
        """A share of all requests suffers faults; never more than two in a row for one method and object."""
        self._random = (random.Random(seed), share, kinds)

    def heal(self) -> None:
        """No more faults."""
        self._rules.clear()
        self._random = None

    def _fault(self, request: Request) -> str:
        with self._lock:
            for rule in self._rules:
                if rule.times and re.search(rule.pattern, request.words):
                    rule.times -= 1
                    if callable(rule.kind):
                        action = rule.kind
                        break
                    return rule.kind
            else:
                return self._random_fault(request)
        action()  # which makes requests of its own
        return ""

    def _random_fault(self, request: Request) -> str:
        if not self._random:
            return ""
        generator, share, kinds = self._random
        key = (request.method, request.bucket, request.name)
        kind = generator.choice(kinds) if generator.random() < share and self._in_a_row[key] < _IN_A_ROW else ""
        kind = "" if kind == "wrong" and not request.is_media else kind  # only media have a checksum
        self._in_a_row[key] = self._in_a_row[key] + 1 if kind else 0
        return kind

    # Requests ---------------------------------------------------------------------------------------------------

    def shutdown_request(self, request: Any) -> None:
        if request in self.cut:
            self.cut.discard(request)
            request.close()  # without a FIN before it
        else:
            super().shutdown_request(request)

    def answer(self, request: Request) -> tuple[Answer, str]:
        """The answer, and the fault that befalls it on its way."""
        self.requests.append(request.words)
        kind = self._fault(request)
        self.faults[kind] += bool(kind)
        if kind.isdigit():
            return _refusal(int(kind), "as planned"), ""
        if kind == "refused":
            return Answer(0), "lost"
        if kind == "slow":
            self._closing.wait(self.slow_s)
        if kind == "garbled":
            request.body = _another_bit(request.body)
        with self._lock:
            answer = self._unmet(request) or self._passed(request)
        if kind == "wrong":
            answer.body = _another_bit(answer.body)
        return answer, kind if kind in ("lost", "reset", "truncated") else ""

    def _unmet(self, request: Request) -> Answer | None:
        """The refusal if the object is not in the generation that is asked for."""
        session = self._sessions.get(request.upload_id or "")
        name = session.name if session else request.name
        wanted, matching = request.query.get("generation"), request.query.get("ifGenerationMatch")
        if not name or (session and session.answer) or not (wanted or matching):
            return None
        there = int(self._there(request.bucket, name).get("generation", 0))
        if wanted is not None and there != int(wanted):
            return _refusal(404, "no such generation")
        if matching is not None and there != int(matching):
            return _refusal(412, "conditionNotMet")
        return None

    def _there(self, bucket: str, name: str) -> dict[str, str]:
        answer = self._upstream_says("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", {}, b"")
        return json.loads(answer.body) if answer.status == 200 else {}

    def _passed(self, request: Request) -> Answer:
        if request.upload_id:
            return self._chunk(request, self._sessions[request.upload_id])
        answer = self._upstream_says(request.method, request.target, request.headers, request.body)
        if request.is_listing and answer.status == 200:
            return self._page(request, answer)
        if request.is_media and answer.status in (200, 206):
            item = self._there(request.bucket, request.name)
            answer.headers["X-Goog-Generation"] = item["generation"]
            answer.headers |= {"Content-Encoding": item["contentEncoding"]} if "contentEncoding" in item else {}
        if request.is_upload and "Location" in answer.headers:
            upload_id = parse_qs(urlsplit(answer.headers["Location"]).query)["upload_id"][0]
            self._sessions[upload_id] = Session(request.name)
        return answer

    def _chunk(self, request: Request, session: Session) -> Answer:
        """Bytes that are there already are passed over, and a finished upload says so again."""
        if session.answer:
            return session.answer
        chunk = _CHUNK.fullmatch(request.headers.get("content-range", ""))
        if chunk and (known := session.received - int(chunk[1])) > 0:
            if known >= len(request.body):
                return Answer(308, {"Range": f"bytes=0-{session.received - 1}"})
            request.body = request.body[known:]
            request.headers["content-range"] = f"bytes {session.received}-{chunk[2]}/{chunk[3]}"
        answer = self._upstream_says(request.method, request.target, request.headers, request.body)
        if answer.status == 308 and chunk:
            session.received = int(chunk[2]) + 1
        if answer.status == 200:
            session.answer = answer
        return answer

    def _page(self, request: Request, answer: Answer) -> Answer:
        found = json.loads(answer.body)
        items = sorted(found.get("items", []), key=lambda item: str(item["name"]))
        first = int(request.query.get("pageToken", 0))
        last = first + self.page_size
        page = {"kind": "storage#objects", "items": items[first:last]}
        if last < len(items):
            page["nextPageToken"] = str(last)
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(page).encode())

    def _upstream_says(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        with contextlib.closing(http.client.HTTPConnection(self._upstream, timeout=30)) as upstream:
            # The emulator puts the address that it was called by into the links that it gives.
            sent = {"Host": urlsplit(self.url).netloc, **{k: v for k, v in headers.items() if k in _PASSED}}
            upstream.request(method, target, body, sent)
            got = upstream.getresponse()
            kept = {name: value for name, value in got.getheaders() if name.lower() not in ("content-length", "server")}
            return Answer(got.status, kept, got.read())

    def close(self) -> None:
        """Ends it."""
        self._closing.set()
        self.shutdown()
        self.server_close()


@contextlib.contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A running proxy before the emulator at `upstream`."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()


def _refusal(status: int, words: str) -> Answer:
    body = json.dumps({"error": {"code": status, "message": words}}).encode()
    return Answer(status, {"Content-Type": "application/json"}, body)


def _another_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def _serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        answer, fault = self.server.answer(Request(self.command, self.path, headers, body))
        if fault != "lost":
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # it went away
                self.wfile.write(answer.body[: len(answer.body) // 2] if fault else answer.body)
        if fault in ("lost", "reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.server.cut.add(self.connection)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""
