"""Configurations: dataclasses that know their fields, are read from JSON, and are written beside what they led to."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

T = TypeVar("T")

Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Above = Annotated[float, Field(gt=0)]
NotBelow = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class ConfigError(ValueError):
    """A configuration that cannot be used: its file, the field at fault, and what it should be."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Makes a frozen dataclass, checked when it is made: unknown fields and wrong types are refused."""
    made: Any = pydantic.dataclasses.dataclass(
        cls, frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False)
    )
    checked: type[T] = made
    return checked


def from_json(cls: type[T], text: str, origin: str) -> T:
    """The configuration that `text` holds; fields that it leaves out have their defaults.

    Args:
        origin: where it is from, for the error.

    Raises:
        ConfigError: naming each field at fault.
    """
    try:
        return TypeAdapter(cls).validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {'; '.join(_fault(cls, dict(fault)) for fault in error.errors())}") from None


def replaced(value: T, **changes: Any) -> T:
    """`value` with other values of some fields.

    Raises:
        ConfigError: naming each field at fault.
    """
    try:
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    except ValidationError as error:
        raise ConfigError("; ".join(_fault(type(value), dict(fault)) for fault in error.errors())) from None


def to_json(value: Any) -> str:
    """As `from_json` reads it."""
    return TypeAdapter(type(value)).dump_json(value, indent=1).decode() + "\n"


def read_config(cls: type[T], path: Path) -> T:
    """The configuration in a JSON file.

    Raises:
        ConfigError: if it cannot be read, or is not right.
    """
    try:
        return from_json(cls, path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _fault(cls: Any, fault: dict[str, Any]) -> str:
    at = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        fields = [name for part in _parts(cls) for name in part.__dataclass_fields__]
        near = difflib.get_close_matches(str(fault["loc"][-1]), fields, n=1)
        return f"there is no field {at}{f'; did you mean {near[0]}?' if near else ''}"
    return f"{at or 'the file'}: {fault['msg']} (it is {str(fault['input'])[:80]!r})"


def _parts(cls: Any) -> list[Any]:
    """`cls` and the configurations within it."""
    fields = getattr(cls, "__pydantic_fields__", {}).values()
    inner = [field.annotation for field in fields if hasattr(field.annotation, "__dataclass_fields__")]
    return [cls, *(part for found in inner for part in _parts(found))]
