"""The per-machine cache of programs: entries appear whole, and one process at a time makes one.

Layout: ROOT/<name>-<version>-<os>-<arch>-<origin>/ holds the program and `origin.txt`, which says where it
came from and what was verified. Work goes on in hidden folders beside the entries.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inferplan_lab.locks import locked

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ORIGIN_FILE = "origin.txt"


@dataclass(frozen=True)
class Target:
    """The machine to run on, in Go's words.

    Attributes:
        os: linux, …
        arch: amd64, arm64, …
    """

    os: str
    arch: str


def this_machine() -> Target:
    """Return the target that Python itself runs on."""
    machine = platform.machine()
    return Target(os=platform.system().lower(), arch=ARCHITECTURES.get(machine, machine))


@dataclass(frozen=True)
class Cache:
    """A folder of finished entries.

    Attributes:
        root: The folder; created when first written to.
    """

    root: Path

    @contextmanager
    def alone(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of one key, and remove what dead holders left. `waiting` is called before a wait."""
        with locked(self.root / ".locks" / key, waiting):
            for left in self.root.glob(f".{key}.*"):  # ours alone: whoever made them is dead
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """Make a folder to work in, on the cache's file system; it is gone afterwards. Hold the lock."""
        self.root.mkdir(parents=True, exist_ok=True)
        # A name of its own each time: a compiler that outlived its killed parent writes to the old one.
        folder = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, entry: str, origin: str) -> Path:
        """Turn a folder of the workspace into an entry in one step; returns the entry's folder."""
        (folder / ORIGIN_FILE).write_text(origin + "\n", encoding="utf-8")
        folder.chmod(0o755)
        final = self.root / entry
        shutil.rmtree(final, ignore_errors=True)  # only ever there when someone damaged it
        folder.rename(final)
        return final

    def find(self, entry: str, name: str) -> Path | None:
        """Return the program of an entry; None when it is not there."""
        path = self.root / entry / name
        return path if path.is_file() and os.access(path, os.X_OK) else None


def cache_of(environment: Mapping[str, str]) -> Cache:
    """Return the user's cache: $XDG_CACHE_HOME, else ~/.cache, /inferplan/bin."""
    configured = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Cache(Path(configured).absolute() / "inferplan" / "bin")
