"""Builds out of pinned Go modules: go.sum verifies every source, and progress shows while it works."""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from inferplan_lab.cache import Cache
from inferplan_lab.catalog import Build, Program
from inferplan_lab.processes import dying_with_parent
from inferplan_lab.toolchain import ToolchainError, fetch_go, find_go, needed_version

PROGRESS_SECONDS = 10.0
# For every program. local: never download another toolchain behind our back.
ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOWORK": "off"}
C_COMPILERS = ("gcc", "cc", "clang")
COMMON_FLAGS = ("-mod=readonly", "-buildvcs=false")


class BuildError(RuntimeError):
    """The build failed; the message names what to install, or ends with the compiler's last lines."""


def digest_of(build: Build) -> str:
    """Return twelve hex digits that change with the pinned sources or the flags."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((build.folder / name).read_bytes())
    extra = (*build.assets, "cgo") if build.cgo else build.assets
    digest.update("\0".join((build.package, *COMMON_FLAGS, *build.flags, *extra)).encode())
    return digest.hexdigest()[:12]


def c_compiler(environment: Mapping[str, str]) -> str | None:
    """Return the C compiler of this PATH, or the one that CC names; None when there is none."""
    candidates = (environment["CC"],) if environment.get("CC") else C_COMPILERS
    return next(filter(None, (shutil.which(name, path=environment.get("PATH", "")) for name in candidates)), None)


@dataclass(frozen=True)
class Builder:
    """Builds programs.

    Attributes:
        cache: Where a Go toolchain is kept if the machine has none.
        environment: PATH and whatever Go reads (GOPROXY, GOCACHE, …).
        report: Gets a line of progress at a time.
        progress_seconds: How often.
    """

    cache: Cache
    environment: Mapping[str, str]
    report: Callable[[str], None]
    progress_seconds: float = PROGRESS_SECONDS

    def build(self, program: Program, folder: Path) -> str:
        """Put the program into the folder; returns what was built from what, for people.

        Raises:
            BuildError: There is no Go, or the build failed.
        """
        build = program.build
        try:
            needed = needed_version(build.folder)
            go = find_go(needed, self.environment) or fetch_go(self.cache, self.environment, self.report)
        except ToolchainError as error:
            raise BuildError(str(error)) from error
        what = f"building {program.name} from Go module {build.module}"
        self.report(f"{what} (took {build.usual} on 2 cores)")
        made = folder / build_output(build)
        argv = (str(go), "build", *COMMON_FLAGS, *build.flags, "-o", str(made), build.package)
        own = {**self.environment, **ENVIRONMENT, **_c_settings(build, self.environment)}
        self._run(argv, build.folder, own, what, folder / "build.log")
        made.rename(folder / program.name)
        _copy_assets(build, go, own, folder)
        return f"built in lab/tools/{build.folder.name}, sources verified by go.sum\n{shlex.join(argv)}"

    def _run(self, argv: tuple[str, ...], tool: Path, own: Mapping[str, str], what: str, log: Path) -> None:
        """Run go build to its end; nothing of it is left running, however we end."""
        with log.open("wb") as stream:
            child = subprocess.Popen(
                argv,
                cwd=tool,
                env=own,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=dying_with_parent(),  # noqa: PLW1509  # one system call, no lock
            )
            try:
                code = self._wait(child, what)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # the compilers of an interrupted build
                child.wait()
        if code != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise BuildError(f"{what}: go build ended with {code}: " + "\n".join(lines))
        log.unlink()

    def _wait(self, child: "subprocess.Popen[bytes]", what: str) -> int:
        started = time.monotonic()
        while True:
            try:
                return child.wait(self.progress_seconds)
            except subprocess.TimeoutExpired:
                self.report(f"{what} … {time.monotonic() - started:.0f} s")


def _c_settings(build: Build, environment: Mapping[str, str]) -> dict[str, str]:
    """Return Go's settings for C. Without it a program is static."""
    compiler = c_compiler(environment) if build.cgo else None
    return {"CGO_ENABLED": "1", "CC": compiler} if compiler else {"CGO_ENABLED": "0"}


def _copy_assets(build: Build, go: Path, own: Mapping[str, str], folder: Path) -> None:
    """Copy the module's folders that the program reads; what lies in Go's cache may be cleaned any time."""
    if not build.assets:
        return
    argv = (str(go), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", build.module.split()[0])
    done = subprocess.run(argv, cwd=build.folder, env=own, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{build.module}: {done.stderr.strip()}")
    for asset in build.assets:
        copy = folder / Path(asset).name
        shutil.copytree(Path(done.stdout.strip()) / asset, copy, copy_function=shutil.copyfile)
        for made in (copy, *filter(Path.is_dir, copy.rglob("*"))):
            made.chmod(0o755)  # Go's cache is read-only, and who may not write into a folder cannot delete it


def build_output(build: Build) -> str:
    """Return the file name that the compiler is asked for; not the program's, which appears when complete."""
    return build.package.rpartition("/")[2] + ".built"
