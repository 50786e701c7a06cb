"""Arrow schemas of the tables, derived from their one definition in transforms/records.py, documentation included.

A field whose name ends in `_`, since Python has the word for itself, is the column without it: `class_` is `class`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from transforms import records

_SCALARS = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
}


def arrow_schema(record: type) -> pa.Schema:
    """The Arrow schema of a table or struct; each field's documentation is its metadata `doc`.

    >>> from transforms.records import ScorePart
    >>> arrow_schema(ScorePart).field("points").type
    DataType(double)
    """
    hints = typing.get_type_hints(record)
    return pa.schema([_arrow_field(f, hints[f.name]) for f in dataclasses.fields(record)])


def _arrow_field(field: dataclasses.Field[Any], hint: Any) -> pa.Field:
    nullable = isinstance(hint, types.UnionType)
    if nullable:
        (hint,) = [a for a in typing.get_args(hint) if a is not types.NoneType]
    doc = {"doc": field.metadata["doc"]}
    return pa.field(field.name.removesuffix("_"), _arrow_type(hint), nullable=nullable, metadata=doc)


def _arrow_type(hint: Any) -> pa.DataType:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if typing.get_origin(hint) is list:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    return pa.struct(list(arrow_schema(hint)))


def to_arrow(table: str, rows: Sequence[Any]) -> pa.Table:
    """`rows`, dataclasses of `table`, as an Arrow table.

    Raises:
        pyarrow.ArrowInvalid, pyarrow.ArrowTypeError: if a value does not fit its column.
    """
    schema = arrow_schema(records.TABLES[table])
    return pa.Table.from_pylist([dataclasses.asdict(row, dict_factory=_columns) for row in rows], schema=schema)


def _columns(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name.removesuffix("_"): value for name, value in fields}
