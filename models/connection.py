"""Requests to TensorFlow Serving over gRPC: how many at once, how long to wait, what is asked again, what it costs.

Conventions. A request that fails for a reason that passes is made again after a pause: exponential, with full jitter,
so that many workers do not come back at once. Predictions change nothing on a server, so asking again is safe. Which
reasons pass:

    UNAVAILABLE          nobody listens (a restart), or Serving's queue of batches is full
    RESOURCE_EXHAUSTED   the server or its accelerator has no room at the moment; but never for a message that is too
                         large, which it stays
    DEADLINE_EXCEEDED    overloaded, or hung
    ABORTED, CANCELLED   the server gave it up, as one that is shutting down does; nothing here cancels what it awaits

NOT_FOUND, UNIMPLEMENTED, FAILED_PRECONDITION, PERMISSION_DENIED and UNAUTHENTICATED are about the model or the caller:
all recordings would fare alike, so they end the run. INTERNAL and UNKNOWN fail the recording until another time.
Anything else, such as INVALID_ARGUMENT, is about what was sent, and fails the recording for good.

A server that stayed away for `patience_s` is asked only once for each further recording, until it answers again.
"""

from __future__ import annotations

import collections
import itertools
import random
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any

import grpc

from models.card import Cost, ModelError
from models.endpoint import Endpoint

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 8.0  #: the most that is paused before the second attempt, and before any
MOST_WORDS = 300  #: characters of what a server says

Code = grpc.StatusCode
PASSING = {
    Code.UNAVAILABLE: "Is the server up, and can this machine reach it?",
    Code.RESOURCE_EXHAUSTED: "It has no room: in_flight=1 in the URI, or fewer workers, ask for less at a time",
    Code.DEADLINE_EXCEEDED: "Overloaded, or too slow for this model? deadline_s=S in the URI waits longer",
    Code.ABORTED: "Is the server shutting down?",
    Code.CANCELLED: "Is the server shutting down?",
}
_UNKNOWN = {Code.INTERNAL: "The server's log tells more", Code.UNKNOWN: "The server's log tells more"}
_ENDING = {
    Code.NOT_FOUND: "Does it serve a model of this name and version? --model_name is the name in the URI",
    Code.UNIMPLEMENTED: "Is it TensorFlow Serving, and this its port for gRPC (8500, not 8501)?",
    Code.FAILED_PRECONDITION: "The server's log tells what the model lacks",
    Code.PERMISSION_DENIED: "This machine's account may not use the server",
    Code.UNAUTHENTICATED: "The server wants to know who asks; put a proxy beside it that does so",
}


Method = Callable[..., Any]  #: of a stub


class Connection:
    """Requests to an endpoint; threads may share it. Made in the process that uses it: a channel survives no fork."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.channel = _channel(endpoint)
        self._slots = threading.BoundedSemaphore(endpoint.in_flight)
        self._away = False

    def answers(self, method: Method, requests: Iterable[Any]) -> Generator[Any, None, None]:
        """The answers to `requests`, in their order; the next ones are under way meanwhile.

        Raises:
            ModelError: if one stays without an answer.
        """
        waiting: collections.deque[tuple[Any, Any]] = collections.deque()
        try:
            for request in requests:
                waiting.append((request, self._sent(method, request, self._endpoint.deadline_s)))
                if len(waiting) == self._endpoint.in_flight:
                    yield self._answer(method, *waiting.popleft())
            while waiting:
                yield self._answer(method, *waiting.popleft())
        finally:
            for _, sent in waiting:
                sent.cancel()

    def answer(self, method: Method, request: Any) -> Any:
        """The answer to one request. Raises as `answers`."""
        (answer,) = self.answers(method, [request])
        return answer

    def _sent(self, method: Method, request: Any, timeout_s: float) -> Any:
        self._slots.acquire()
        sent = method.future(request, timeout=timeout_s)  # type: ignore[attr-defined]
        sent.add_done_callback(lambda _: self._slots.release())
        return sent

    def _answer(self, method: Method, request: Any, sent: Any) -> Any:
        began = time.monotonic()
        for attempts in itertools.count(1):
            try:
                answer = sent.result()
            except grpc.RpcError as error:
                pause_s = random.uniform(0, min(FIRST_PAUSE_S * 2 ** (attempts - 1), LONGEST_PAUSE_S))
                left_s = began + self._endpoint.patience_s - time.monotonic() - pause_s
                if not _passes(error):
                    raise self._refused(error) from error
                if self._away or left_s <= 0:
                    raise self._stayed_away(error, attempts, time.monotonic() - began) from error
                time.sleep(pause_s)
                sent = self._sent(method, request, min(self._endpoint.deadline_s, left_s))
            else:
                self._away = False
                return answer
        raise AssertionError  # itertools.count does not end

    def _refused(self, error: Any) -> ModelError:
        code, uri = error.code(), self._endpoint.uri
        if _too_large(error):
            words = f"a message from or to {uri} is too large: {_words(error)}"
            advice = (
                f"message_mib={self._endpoint.message_mib}: raise it in the URI if the server takes more, else lower it"
            )
            return ModelError("message_too_large", words, advice, costs="run")
        costs: Cost = "run" if code in _ENDING else "attempt" if code in _UNKNOWN else "recording"
        advice = {**_UNKNOWN, **_ENDING}.get(code, "Does the model fit its card? songscan models check URI")
        return ModelError("serving_refused", f"{uri} refused: {_words(error)}", advice, costs=costs)

    def _stayed_away(self, error: Any, attempts: int, waited_s: float) -> ModelError:
        asked = f"asked {attempts} time{'' if attempts == 1 else 's'} in {waited_s:.0f} s"
        if self._away:
            asked = "asked once, for it has stayed away"
        self._away = True
        words = f"{self._endpoint.uri} gives no answer, {asked}: {_words(error)}"
        advice = f"{PASSING[error.code()]} What it leaves undone is due again"
        return ModelError("serving_unavailable", words, advice, costs="attempt")


def _channel(endpoint: Endpoint) -> Any:
    options = [
        ("grpc.max_send_message_length", endpoint.message_bytes),
        ("grpc.max_receive_message_length", endpoint.message_bytes),
        ("grpc.enable_retries", 0),  # ours are the only ones
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2000),  # else attempts would fail for two minutes without being made
        ("grpc.use_local_subchannel_pool", 1),  # two models on one server share no backoff
    ]
    if _is_loopback(endpoint.host):
        options.append(("grpc.enable_http_proxy", 0))  # none in the environment knows what is on this machine
    target = f"{endpoint.host}:{endpoint.port}"
    if endpoint.secure:
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(target, options)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "[::1]") or host.startswith("127.")


def _passes(error: Any) -> bool:
    return error.code() in PASSING and not _too_large(error)


def _too_large(error: Any) -> bool:
    """Whether a message was over a limit, here or there: gRPC has no code of its own for it."""
    return error.code() is Code.RESOURCE_EXHAUSTED and "larger than max" in (error.details() or "")


def _words(error: Any) -> str:
    lines = (error.details() or "").splitlines() or ["no details"]
    return f"{error.code().name} ({lines[0][:MOST_WORDS]})"
