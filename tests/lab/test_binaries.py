"""Where the lab's programs come from: PATH, cache, download, build; a shell script stands in for each."""

import hashlib
import http.server
import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typing_extensions import override

from inferplan_lab import binaries
from inferplan_lab.cache import this_machine
from inferplan_lab.catalog import CATALOG, Build, Download, Program
from inferplan_lab.processes import free_port

PROGRAM = b"#!/bin/sh\necho tool version 1.2.3\n"
HOST = "https://releases.example"
# Answers like the real one to `go version` and `go build … -o FILE PACKAGE`; each build leaves a line.
FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version go9.9.9 linux/amd64; exit; fi
echo "$CGO_ENABLED $*" >> {builds}
{middle}
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho tool version 1.2.3\\n' > "$2"
chmod +x "$2"
"""


@dataclass
class Machine:
    """A bench: a machine of nothing but a cache, a PATH and a fake Go."""

    root: Path
    lines: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)

    def program(self, download: Download | None = None) -> Program:
        folder = self.root / "tools" / "tool"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "go.mod").write_text("module x\n\ngo 1.26.0\n")
        (folder / "go.sum").write_text("")
        build = Build(folder, "example.org/tool v1.2.3", "example.org/tool", ("-ldflags", "-s"), "no time")
        download = download or Download(f"{HOST}/{{name}}-{{version}}", f"{HOST}/{{name}}-{{version}}.sha256")
        return Program("tool", "1.2.3", ("--version",), download, build)

    def script(self, name: str, text: str, folder: str = "bin") -> Path:
        path = self.root / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def fake_go(self, middle: str = "") -> None:
        self.script("go", FAKE_GO.format(builds=self.root / "builds", middle=middle))

    def without_a_c_compiler(self) -> None:
        (self.root / "bin" / "chmod").symlink_to(shutil.which("chmod") or "")
        self.settings["PATH"] = str(self.root / "bin")

    def builds(self) -> list[str]:
        path = self.root / "builds"
        return path.read_text().splitlines() if path.exists() else []

    def environment(self) -> dict[str, str]:
        path = f"{self.root / 'bin'}:/usr/bin:/bin"
        return {"PATH": path, "XDG_CACHE_HOME": str(self.root / "cache")} | self.settings

    def ensure(self, program: Program | None = None) -> Path:
        program = program or self.program()
        found = binaries.ensure(
            [program.name],
            self.lines.append,
            environment=self.environment(),
            catalog={program.name: program},
        )
        return found[program.name]

    def said(self) -> str:
        return "\n".join(self.lines)

    def leftovers(self) -> list[str]:
        """What hidden work folders the cache still holds."""
        return [path.name for path in (self.root / "cache" / "inferplan" / "bin").glob(".tool*")]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("no_proxy", "127.0.0.1")  # a proxy of the developer's is not for the test's server
    machine = Machine(tmp_path, settings={"INFERPLAN_DOWNLOADS": "off"})
    machine.fake_go()
    return machine


class Releases:
    """Serves files under /releases.example/; `claims` adds to the length that a file is said to have."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.claims = 0
        self.asked: list[str] = []
        handler = type("Handler", (_Handler,), {"releases": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def put(self, name: str, body: bytes, checksum: str | None = None) -> None:
        self.files[name] = body
        self.files[f"{name}.sha256"] = (checksum or hashlib.sha256(body).hexdigest()).encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    releases: Releases

    def do_GET(self) -> None:
        name = self.path.removeprefix("/releases.example/")
        self.releases.asked.append(name)
        body = self.releases.files.get(name)
        self.send_response(404 if body is None else 200)
        extra = 0 if name.endswith(".sha256") else self.releases.claims
        self.send_header("Content-Length", str(len(body or b"") + extra))
        self.end_headers()
        self.wfile.write(body or b"")

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def releases(machine: Machine) -> Iterator[Releases]:
    releases = Releases()
    thread = threading.Thread(target=lambda: releases.server.serve_forever(poll_interval=0.02))
    thread.start()
    machine.settings["INFERPLAN_DOWNLOADS"] = releases.url
    yield releases
    releases.server.shutdown()
    releases.server.server_close()
    thread.join()


def test_a_release_with_the_right_checksum_is_used_and_nothing_is_built(machine: Machine, releases: Releases) -> None:
    releases.put("tool-1.2.3", PROGRAM)
    path = machine.ensure()
    assert path.read_bytes() == PROGRAM
    assert machine.builds() == []
    assert hashlib.sha256(PROGRAM).hexdigest() in (path.parent / "origin.txt").read_text()


def test_a_second_run_takes_the_program_from_the_cache(machine: Machine, releases: Releases) -> None:
    releases.put("tool-1.2.3", PROGRAM)
    first = machine.ensure()
    asked = len(releases.asked)
    assert machine.ensure() == first
    assert len(releases.asked) == asked


def test_a_member_of_an_archive_is_taken_out_of_it(machine: Machine, releases: Releases) -> None:
    archive = io.BytesIO()
    target = this_machine()
    inner = f"tool-{target.os}-{target.arch}/tool"
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name in ("README", inner):
            entry = tarfile.TarInfo(name)
            entry.size = len(PROGRAM)
            tar.addfile(entry, io.BytesIO(PROGRAM))
    digest = hashlib.sha256(archive.getvalue()).hexdigest()
    releases.files = {
        "tool.tar.gz": archive.getvalue(),
        "SHA256SUMS": f"{'0' * 64}  other.tar.gz\n{digest}  tool.tar.gz\n".encode(),
    }
    download = Download(f"{HOST}/tool.tar.gz", f"{HOST}/SHA256SUMS", member="tool-{os}-{arch}/tool")
    path = machine.ensure(machine.program(download))
    assert path.read_bytes() == PROGRAM
    assert sorted(file.name for file in path.parent.iterdir()) == ["origin.txt", "tool"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda releases: releases.put("tool-1.2.3", PROGRAM, checksum="0" * 64), "SHA-256 is"),
        (lambda releases: setattr(releases, "claims", 7), "cut off after"),
        (lambda releases: releases.files.pop("tool-1.2.3"), "HTTP 404"),
        (lambda releases: releases.files.update({"tool-1.2.3.sha256": b"<html>"}), "holds no SHA-256"),
        (lambda releases: releases.put("tool-1.2.3", b"#!/bin/sh\necho tool 9.9.9\n"), "it says tool 9.9.9"),
    ],
    ids=["checksum", "cut off", "not there", "no checksum", "another version"],
)
def test_a_bad_download_is_named_deleted_and_built_instead(
    machine: Machine, releases: Releases, damage: Callable[[Releases], object], message: str
) -> None:
    releases.put("tool-1.2.3", PROGRAM)
    damage(releases)
    path = machine.ensure()
    assert message in machine.said()
    assert len(machine.builds()) == 1
    assert "official" not in path.parent.name
    assert machine.leftovers() == []


def test_a_refused_host_is_asked_once_and_then_everything_is_built(machine: Machine) -> None:
    machine.settings["INFERPLAN_DOWNLOADS"] = f"http://127.0.0.1:{free_port()}"
    tool = machine.program()
    catalog = {"tool": tool, "other": replace(tool, name="other")}
    found = binaries.ensure(["tool", "other"], machine.lines.append, environment=machine.environment(), catalog=catalog)
    assert all(path.is_file() for path in found.values())
    assert machine.said().count("Connection refused") == 1
    assert len(machine.builds()) == 2


def test_a_build_runs_in_the_tools_folder_without_cgo_and_readonly(machine: Machine) -> None:
    machine.fake_go(middle="pwd >> " + str(machine.root / "folder"))
    machine.ensure()
    (line,) = machine.builds()
    assert line.startswith("0 build -mod=readonly ")
    assert line.endswith(" example.org/tool")
    assert (machine.root / "folder").read_text().strip() == str(machine.program().build.folder)
    assert "building tool from Go module example.org/tool v1.2.3" in machine.said()


def test_a_program_that_holds_c_is_built_with_the_c_compiler_of_the_path(machine: Machine) -> None:
    machine.fake_go(middle=f'echo "$CC" > {machine.root / "compiler"}')
    compiler = machine.script("gcc", "#!/bin/sh\n")
    machine.ensure(with_c(machine))
    assert machine.builds()[0].startswith("1 build ")
    assert (machine.root / "compiler").read_text().strip() == str(compiler)


def with_c(machine: Machine) -> Program:
    program = machine.program()
    return replace(program, build=replace(program.build, cgo=True))


def test_without_a_c_compiler_one_line_says_what_to_install(machine: Machine) -> None:
    machine.without_a_c_compiler()
    with pytest.raises(binaries.CompilerMissingError, match=r"^tool: install a C compiler .Debian: gcc and libc6-dev"):
        machine.ensure(with_c(machine))
    assert machine.builds() == []


def test_who_asks_for_everything_gets_what_needs_no_c_compiler(machine: Machine) -> None:
    machine.without_a_c_compiler()
    catalog = {"tool": with_c(machine), "other": replace(machine.program(), name="other")}
    found = binaries.ensure(
        ["tool", "other"], machine.lines.append, environment=machine.environment(), catalog=catalog, leave_out=True
    )
    assert list(found) == ["other"]
    assert "tool: install a C compiler (Debian: gcc and libc6-dev) to build it; left out" in machine.lines


def test_folders_that_a_program_reads_are_copied_from_its_module(machine: Machine) -> None:
    pages = machine.root / "module" / "web" / "pages"
    (pages / "inner").mkdir(parents=True)
    (pages / "inner" / "index.html").write_text("hello")
    for folder in (pages / "inner", pages):
        folder.chmod(0o555)  # as in Go's cache
    machine.fake_go(middle=f'[ "$1" = list ] && echo {machine.root / "module"} && exit')
    program = machine.program()
    path = machine.ensure(replace(program, build=replace(program.build, assets=("web/pages",))))
    assert (path.parent / "pages" / "inner" / "index.html").read_text() == "hello"
    assert (path.parent / "pages").stat().st_mode & 0o777 == 0o755
    assert machine.builds()[-1].endswith("list -mod=readonly -m -f {{.Dir}} example.org/tool")


def test_a_module_that_is_not_there_any_more_fails_the_build(machine: Machine) -> None:
    machine.fake_go(middle='[ "$1" = list ] && echo no such module >&2 && exit 1')
    program = machine.program()
    with pytest.raises(binaries.ProgramUnavailableError, match=r"example\.org/tool v1\.2\.3: no such module"):
        machine.ensure(replace(program, build=replace(program.build, assets=("pages",))))
    assert machine.leftovers() == []


def test_a_program_that_is_not_released_is_built(machine: Machine, releases: Releases) -> None:
    machine.ensure(replace(machine.program(), download=None))
    assert "tool 1.2.3: its project releases no binary; building instead" in machine.lines
    assert (releases.asked, len(machine.builds())) == ([], 1)


def test_a_program_that_says_no_version_is_built_and_not_taken_from_the_path(machine: Machine) -> None:
    machine.script("tool", "#!/bin/sh\nexit 1\n")
    path = machine.ensure(replace(machine.program(), version_arguments=()))
    assert len(machine.builds()) == 1
    assert path.parent.parent == machine.root / "cache" / "inferplan" / "bin"


def test_a_change_of_the_pinned_sources_builds_anew(machine: Machine) -> None:
    first = machine.ensure()
    program = machine.program()
    (program.build.folder / "go.sum").write_text("example.org/dependency v1.0.0 h1:x=\n")
    second = machine.ensure(program)
    assert second != first
    assert len(machine.builds()) == 2


def test_a_failed_build_shows_the_compilers_last_lines(machine: Machine) -> None:
    machine.fake_go(middle="echo main.go:1: it is broken; exit 3")
    with pytest.raises(binaries.ProgramUnavailableError, match=r"ended with 3: main\.go:1: it is broken"):
        machine.ensure()
    assert machine.leftovers() == []


def test_a_program_on_the_path_with_a_fitting_version_is_used(machine: Machine) -> None:
    own = machine.script("tool", "#!/bin/sh\necho tool, version 1.2.9 for linux\n")
    assert machine.ensure() == own
    assert machine.builds() == []


def test_the_test_environments_folder_comes_before_the_path(machine: Machine) -> None:
    machine.script("tool", "#!/bin/sh\necho tool 1.2.9\n")
    assets = machine.script("tool", "#!/bin/sh\necho tool 1.2.1\n", folder="assets")
    machine.settings["KUBEBUILDER_ASSETS"] = str(assets.parent)
    assert machine.ensure() == assets


@pytest.mark.parametrize(
    "text",
    [
        "echo Client Version: v1.32.4",
        "echo Client Version: v1.2.4-dispatcher",
        "echo tool 1.2.4-rc.1",
        "echo tool 1.2.3; exit 1",
        "exec sleep 60",
    ],
    ids=["another minor", "a dispatcher", "a pre-release", "a failure", "a hang"],
)
def test_an_unfitting_program_on_the_path_is_named_and_not_used(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(binaries.said_version, "__defaults__", (0.3,))
    own = machine.script("tool", f"#!/bin/sh\n{text}\n")
    assert machine.ensure() != own
    assert f"{own}: not used, 1.2 is wanted" in machine.said()


def test_an_unknown_name_is_refused_with_the_known_ones(machine: Machine) -> None:
    with pytest.raises(binaries.ProgramUnavailableError, match="program kubelet: unknown; known are tool"):
        binaries.ensure(["kubelet"], machine.lines.append, environment={}, catalog={"tool": machine.program()})


def test_without_go_pip_and_uv_one_line_says_what_to_install(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferplan_lab.toolchain.USUAL_PLACE", "/nonexistent/go")
    monkeypatch.setattr("inferplan_lab.toolchain.importlib", SimpleNamespace(util=_NothingInstalled))
    machine.script("go", "#!/bin/sh\necho go version go1.19.8 linux/amd64\n")  # Debian 12's: too old
    machine.settings["PATH"] = str(machine.root / "bin")
    with pytest.raises(binaries.ProgramUnavailableError, match=r"install Go from https://go\.dev/dl") as error:
        machine.ensure()
    assert "\n" not in str(error.value)


class _NothingInstalled:
    """Stands in for importlib.util on a machine without pip."""

    @staticmethod
    def find_spec(_name: str) -> None:
        return None


def test_a_terminal_sees_one_line_that_moves_and_a_file_sees_them_all() -> None:
    lines = ["starting", "building x … 10 s", "building x … 20 s", "ready"]
    for is_terminal, expected in (
        (True, "starting\nbuilding x … 10 s\r\x1b[Kbuilding x … 20 s\nready\n"),
        (False, "".join(f"{line}\n" for line in lines)),
    ):
        stream = io.StringIO()
        stream.isatty = lambda answer=is_terminal: answer  # type: ignore[method-assign, misc]
        report = binaries.console_report(stream)
        for line in lines:
            report(line)
        assert stream.getvalue() == expected


def test_every_catalogue_entry_has_its_pinned_sources_in_the_repository() -> None:
    for program in CATALOG.values():
        text = (program.build.folder / "go.mod").read_text()
        module, version = program.build.module.split()
        assert program.build.package in text
        assert f"{module} {version}" in text
