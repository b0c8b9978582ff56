"""The lab's programs on this machine: found, cached, downloaded or built, in this order.

    python -m inferplan_lab.binaries            # all of them; prints "name path" lines
    python -m inferplan_lab.binaries kubectl

Environment: KUBEBUILDER_ASSETS (a folder looked into before PATH), XDG_CACHE_HOME, INFERPLAN_DOWNLOADS
(`off`, or a URL prefix that stands before every official host). Why this order and what each way verifies:
docs/decisions/0004-where-the-lab-gets-its-programs.md
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from inferplan_lab.building import Builder, BuildError, c_compiler, digest_of
from inferplan_lab.cache import Cache, Target, cache_of, this_machine
from inferplan_lab.catalog import CATALOG, Program
from inferplan_lab.downloads import OFF, Downloader, DownloadError, UnreachableError

VERSION_SECONDS = 5.0
INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended, as shells have it
Report = Callable[[str], None]


class ProgramUnavailableError(RuntimeError):
    """A program can be had in no way; the message says what was tried last and what to install."""


class CompilerMissingError(ProgramUnavailableError):
    """A program cannot be downloaded from here, and there is no C compiler to build it."""


def ensure(
    names: Sequence[str],
    report: Report,
    *,
    environment: Mapping[str, str] | None = None,
    catalog: Mapping[str, Program] = CATALOG,
    leave_out: bool = False,
) -> Mapping[str, Path]:
    """Return a path for each program, fetching or building what is missing.

    Args:
        names: Programs of the catalogue.
        report: Gets a line of progress at a time.
        environment: Stands in for the process's own.
        catalog: Stands in for the lab's own.
        leave_out: Whether what lacks nothing but a C compiler is reported and left out.

    Raises:
        ProgramUnavailableError: One is unknown, or can be had in no way.
    """
    for name in names:
        if name not in catalog:
            raise ProgramUnavailableError(f"program {name}: unknown; known are {', '.join(catalog)}")
    supply = _Supply(dict(os.environ if environment is None else environment), report)
    found = {}
    for name in names:
        try:
            found[name] = supply.get(catalog[name])
        except CompilerMissingError as error:
            if not leave_out:
                raise
            report(f"{error}; left out")
    return found


@dataclass
class _Supply:
    """One run over the sources. It remembers that there is no internet, so as to wait for it only once."""

    environment: Mapping[str, str]
    report: Report
    online: bool = True
    cache: Cache = field(init=False)
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        self.cache = cache_of(self.environment)
        self.target = this_machine()
        self.online = self._mirror() != OFF

    def get(self, program: Program) -> Path:
        """Return the program from the first source that has it."""
        refused: list[str] = []
        found = self._installed(program, refused) or self._cached(program)
        if found:
            return found
        for line in refused:
            self.report(line)
        with self.cache.alone(
            self._key(program), lambda: self.report(f"{program.name}: another run is on it, waiting")
        ):
            return self._cached(program) or self._download(program) or self._build(program)

    def _mirror(self) -> str:
        return self.environment.get("INFERPLAN_DOWNLOADS", "")

    def _key(self, program: Program) -> str:
        return f"{program.name}-{program.version}-{self.target.os}-{self.target.arch}"

    def _entries(self, program: Program) -> tuple[str, str]:
        """Return the names of its two possible cache entries: the download's and the build's."""
        key = self._key(program)
        return f"{key}-official", f"{key}-{digest_of(program.build)}"

    def _installed(self, program: Program, refused: list[str]) -> Path | None:
        if not program.version_arguments:
            return None
        for path in _candidates(program.name, self.environment):
            said = said_version(path, program)
            if fits(said, program.version):
                return path
            refused.append(f"{path}: not used, {_minor(program.version)} is wanted and it says: {said or 'nothing'}")
        return None

    def _cached(self, program: Program) -> Path | None:
        found = (self.cache.find(entry, program.name) for entry in self._entries(program))
        return next((path for path in found if path), None)

    def _download(self, program: Program) -> Path | None:
        if not self.online:
            return None
        self.report(f"downloading {program.name} {program.version}")
        mirror = self._mirror()
        with self.cache.workspace(self._key(program)) as folder:
            try:
                origin = Downloader(mirror, self.target, self.report).fetch(program, folder)
                return self._publish(program, folder, self._entries(program)[0], origin)
            except UnreachableError as error:
                self.online = False
                self.report(f"no downloads from here ({error}); building instead")
            except (DownloadError, ProgramUnavailableError) as error:
                self.report(f"{error}; building instead")
        return None

    def _build(self, program: Program) -> Path:
        if program.build.cgo and c_compiler(self.environment) is None:
            raise CompilerMissingError(f"{program.name}: install a C compiler (Debian: gcc and libc6-dev) to build it")
        with self.cache.workspace(self._key(program)) as folder:
            try:
                origin = Builder(self.cache, self.environment, self.report).build(program, folder)
            except BuildError as error:
                raise ProgramUnavailableError(f"{program.name}: {error}") from error
            return self._publish(program, folder, self._entries(program)[1], origin)

    def _publish(self, program: Program, folder: Path, entry: str, origin: str) -> Path:
        """Let it into the cache once it runs here and says the right version."""
        said = said_version(folder / program.name, program) if program.version_arguments else program.version
        if not fits(said, program.version):
            what = origin.partition("\n")[0]
            raise ProgramUnavailableError(f"{program.name} {what}: it says {said or 'nothing'} for its version")
        path = self.cache.publish(folder, entry, origin) / program.name
        self.report(f"{program.name} {program.version} is ready: {path}")
        return path


def _candidates(name: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files of this name in KUBEBUILDER_ASSETS and on PATH."""
    folders = (environment.get("KUBEBUILDER_ASSETS", ""), *environment.get("PATH", "").split(os.pathsep))
    seen = set()
    for folder in filter(None, folders):
        path = Path(folder).absolute() / name
        if path.is_file() and os.access(path, os.X_OK) and path.resolve() not in seen:
            seen.add(path.resolve())
            yield path


def said_version(path: Path, program: Program, seconds: float = VERSION_SECONDS) -> str:
    """Return the first line of what the program says about its version; empty when it fails or hangs."""
    with tempfile.TemporaryFile() as output:  # not a pipe: a hanging program's children would keep it open
        try:
            child = subprocess.Popen(
                (str(path), *program.version_arguments),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError:
            return ""
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            return ""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        output.seek(0)
        lines = output.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[0] if lines and code == 0 else ""


def fits(said: str, version: str) -> bool:
    """Tell whether a version line names a release of the wanted major.minor; a pre-release is none."""
    found = re.search(r"\bv?(\d+\.\d+)\.\d+(?=[\s,]|$)", said)
    return found is not None and found[1] == _minor(version)


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


def console_report(stream: TextIO) -> Report:
    """Return a report for people: on a terminal a line replaces the one whose progress it continues."""
    if not stream.isatty():
        return lambda line: print(line, file=stream, flush=True)
    last = ""

    def report(line: str) -> None:
        nonlocal last
        task = line.partition(" … ")[0] if " … " in line else ""
        start = "\r\x1b[K" if task and task == last else "\n" if last else ""
        print(start + line, end="" if task else "\n", file=stream, flush=True)
        last = task

    return report


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the programs available and print their paths."""
    parser = argparse.ArgumentParser(prog="inferplan_lab.binaries", description=main.__doc__)
    parser.add_argument("names", nargs="*", help=f"out of {', '.join(CATALOG)}; none: all")
    options = parser.parse_args(arguments)
    report = console_report(sys.stderr)
    try:
        paths = ensure(options.names or tuple(CATALOG), report, leave_out=not options.names)
    except ProgramUnavailableError as error:
        report(str(error))
        return 1
    except KeyboardInterrupt:
        report("interrupted; what is complete is kept")
        return INTERRUPTED
    for name, path in paths.items():
        print(name, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
