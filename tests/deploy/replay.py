"""Replays a Dockerfile without Docker: each stage becomes a folder, and its steps run in a root of their own.

A step sees, of the machine, /usr read-only without /usr/local (so its shared libraries, of which an image may have
fewer), and the interpreter; all else is the stage's. `python` there is a new virtual environment in /usr/local, as an
official Python image has it. Needs root, or user namespaces; unshare and chroot of util-linux and coreutils.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deploy.dockerfile import Stage, Step, lineage

#: Of the machine's /etc: accounts, names, certificates, what the loader knows.
_ETC = (
    "passwd",
    "group",
    "shadow",
    "login.defs",
    "nsswitch.conf",
    "resolv.conf",
    "hosts",
    "ssl",
    "ld.so.cache",
    "pip.conf",
)
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/bin:/usr/sbin:/sbin"
#: What says how packages are reached from here.
_NETWORK = (
    "PIP_",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT",
    "REQUESTS_CA",
)
_ENTER = """
set -eu
root=$1; shift
bind() { mkdir -p "$2"; mount --bind "$1" "$2"; }
bind /usr "$root/usr"; mount -o remount,bind,ro "$root/usr"
bind "$root/.local" "$root/usr/local"
for place in "$PYTHON_HOME" /dev /proc; do [ -z "$place" ] || bind "$place" "$root$place"; done
exec chroot "$@"
"""


def unavailable() -> str | None:
    """Why nothing can be replayed here; None if it can."""
    for program in ("unshare", "chroot", "mount"):
        if shutil.which(program) is None:
            return f"there is no {program} here"
    tried = subprocess.run([*_unshare(), "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces here: {tried.stderr.strip()}"


def _unshare() -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


class Replay:
    """Stages of a Dockerfile as folders below `folder`.

    Args:
        context: the files to copy from, relative to `source`.
        args: of `--build-arg`.
    """

    def __init__(self, stages: dict[str, Stage], source: Path, context: list[str], folder: Path, **args: str) -> None:
        self.stages, self.source, self.context, self.folder, self.args = stages, source, context, folder, args

    def build(self, name: str) -> None:
        """Replays the stage and all that it needs."""
        root = self.folder / name
        if root.exists():
            return
        stage = self.stages[name]
        if stage.base in self.stages:
            self.build(stage.base)
            subprocess.run(["cp", "--archive", "--link", str(self.folder / stage.base), str(root)], check=True)
        else:
            _new_root(root)
        for number, step in enumerate(stage.steps):
            if step.word == "COPY":
                self._copy(root, step, self._state(name, number)[1])
            elif step.word == "RUN":
                print(f"{name}: {step.text}", flush=True)
                self.run(name, ["sh", "-c", step.text], before=number)

    def run(self, name: str, command: list[str], before: int | None = None, user: str = "0") -> str:
        """Runs a command in a stage as it is before its step `before`; what it says."""
        env, folder = self._state(name, before)
        root = self.folder / name
        (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        enter = [*_unshare(), "sh", "-c", _ENTER, "enter", str(root)]
        chroot = [*([f"--userspec={user}:{user}"] if os.geteuid() == 0 else []), str(root)]
        within = ["sh", "-c", 'cd "$0" && exec "$@"', folder, *command]
        done = subprocess.run([*enter, *chroot, *within], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _state(self, name: str, before: int | None) -> tuple[dict[str, str], str]:
        """Environment and working folder there."""
        home = sys.base_prefix if not sys.base_prefix.startswith("/usr") else ""
        env = {key: value for key, value in os.environ.items() if key.startswith(_NETWORK)}
        env |= {"PATH": _PATH, "HOME": "/root", "PYTHON_HOME": home}
        folder = "/"
        line = lineage(self.stages, name)
        for stage in line:
            for step in stage.steps if stage is not line[-1] else stage.steps[:before]:
                if step.word == "ENV":
                    env |= step.pairs
                elif step.word == "ARG" and stage is line[-1]:
                    env |= {key: self.args.get(key, default) for key, default in step.pairs.items()}
                elif step.word == "WORKDIR":
                    folder = step.text
        return env, folder

    def _copy(self, root: Path, step: Step, folder: str) -> None:
        *sources, target = step.places
        place = _within(root, os.path.join(folder, target))
        stage = step.flags.get("from")
        if stage is not None:
            if self.stages[stage].steps:  # else an image of others, which is not at hand
                self.build(stage)
                shutil.copytree(_within(self.folder / stage, sources[0]), place, symlinks=True, dirs_exist_ok=True)
            return
        for source in sources:
            files = [name for name in self.context if name == source or name.startswith(f"{source}/")]
            assert files, f"COPY {source}: nothing of that name is sent to the build"
            for name in files:
                inside = name.removeprefix(source).lstrip("/")
                path = place / inside if inside else (place / name if target.endswith("/") else place)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.source / name, path)


def _within(root: Path, path: str) -> Path:
    """Where a path of the stage lies on this machine: /usr/local is apart, since /usr is the machine's."""
    if path.startswith("/usr/local"):
        return root / ".local" / path.removeprefix("/usr/local").lstrip("/")
    return root / path.lstrip("/")


def _new_root(root: Path) -> None:
    """An empty system with a new virtual environment for `python`."""
    for folder in (".local", "etc", "opt", "root", "home", "var/mail", "tmp", "usr", "dev", "proc"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for link in ("bin", "sbin", "lib", "lib64"):
        if Path("/", link).is_symlink():
            (root / link).symlink_to(os.readlink(f"/{link}"))
    for name in _ETC:
        path = Path("/etc", name)
        if path.is_dir():
            shutil.copytree(path, root / "etc" / name, symlinks=False, ignore_dangling_symlinks=True)
        elif path.exists():
            shutil.copy2(path, root / "etc" / name)
    venv = [f"{sys.base_prefix}/bin/python3.11", "-m", "venv", "/usr/local"]
    stage = Stage("new", "")
    Replay({root.name: stage}, root, [], root.parent).run(root.name, venv)
