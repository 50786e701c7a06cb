"""What the rows of all tables have in common: documented columns, and the stamp of the opening that they come from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: What names an opening of a track. A table's IDENTITY is that with what tells apart the rows of one opening in it.
STAMP = ("track_id", "content_token", "model_name", "model_version", "run_id", "time")


def column(doc: str) -> Any:
    """A column with its documentation."""
    return dataclasses.field(metadata={"doc": doc})


@dataclass(frozen=True, kw_only=True)
class Row:
    """The columns that every row about a track carries."""

    track_id: str = column("identity in the catalogue")
    content_token: str = column(
        "digest of the file's bytes: sha256:HEX, or crc32c:BASE64-SIZE on Cloud Storage; '' if unread"
    )
    model_name: str = column("what made the row: a model, or the task itself where no network is involved")
    model_version: str = column("its version")
    run_id: str = column("the run that made the row")
    time: datetime = column("when the track was opened, UTC; the same in all rows that one opening led to")
