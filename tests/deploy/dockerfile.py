"""Reads a Dockerfile as `docker build` does: stages, and the instructions of each, with continued lines joined."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One instruction: its word in capitals, and what follows it."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments, of JSON form or separated by spaces."""
        return json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)

    @property
    def flags(self) -> dict[str, str]:
        """`--name=value` before the arguments."""
        pairs = (word.removeprefix("--").partition("=") for word in self.words if word.startswith("--"))
        return {name: value for name, _, value in pairs}

    @property
    def places(self) -> list[str]:
        """Of COPY: the sources, and the target last."""
        return [word for word in self.words if not word.startswith("--")]

    @property
    def pairs(self) -> dict[str, str]:
        """Of ENV and ARG: values by name; "" for an ARG without a default."""
        return {name: value for name, _, value in (word.partition("=") for word in self.words)}


@dataclass
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> Step | None:
        """The instruction of that word which counts."""
        return next((step for step in reversed(self.steps) if step.word == word), None)


def read(path: Path) -> dict[str, Stage]:
    """The stages by name, in their order."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    stages: dict[str, Stage] = {}
    for line in filter(None, map(str.strip, whole.splitlines())):
        word, _, text = line.partition(" ")
        if word.upper() == "FROM":
            base, _, name = re.split(r"\s+", text)
            stages[name] = Stage(name, base)
        else:
            next(reversed(stages.values())).steps.append(Step(word.upper(), text.strip()))
    return stages


def lineage(stages: dict[str, Stage], name: str) -> list[Stage]:
    """The stage and those it is built from, the outermost first."""
    stage = stages[name]
    return [*(lineage(stages, stage.base) if stage.base in stages else []), stage]


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps the file `path` of the context out: the last pattern that fits decides."""
    out = False
    parts = path.split("/")
    parents = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for pattern in patterns:
        regex = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(regex, parent) for parent in parents):
            out = not pattern.startswith("!")
    return out


def context(root: Path) -> list[str]:
    """The files that `docker build` would send, relative to `root`."""
    text = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line.strip() for line in text if line.strip() and not line.startswith("#")]
    tops = {pattern.removeprefix("!").split("/")[0] for pattern in patterns if pattern.startswith("!")}
    found = [path for top in sorted(tops) for path in [root / top, *(root / top).rglob("*")] if path.is_file()]
    names = [path.relative_to(root).as_posix() for path in found]
    return [name for name in names if not ignored(name, patterns)]
