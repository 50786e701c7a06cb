"""Where a served model is, and how it is asked: what models/connection.py goes by. Light: no gRPC here.

Times are seconds; messages are limited in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A model on a server.

    Args:
        host: a name or an address; one of IPv6 in brackets.
        version: which one is asked for; None leaves it to the server.
        secure: by TLS.
        deadline_s: of a request, with its time in the server's queue.
        patience_s: for one request, with all its attempts.
        in_flight: requests at a time, of this process.
        message_mib: MiB of the largest message.
    """

    host: str
    port: int
    name: str
    version: int | None = None
    secure: bool = False
    deadline_s: float = 60.0
    patience_s: float = 180.0
    in_flight: int = 4
    message_mib: int = 32

    @property
    def uri(self) -> str:
        """What it is called, without its card and its settings."""
        version = "" if self.version is None else f"/{self.version}"
        return f"grpc{'s' if self.secure else ''}://{self.host}:{self.port}/{self.name}{version}"

    @property
    def message_bytes(self) -> int:
        """Of the largest message."""
        return self.message_mib << 20
