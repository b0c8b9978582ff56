"""The real vLLM: started from the container's command line, loaded by the lab's load generator."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.closed_loop.cases import Case
from benchmarks.closed_loop.host import Watch
from benchmarks.closed_loop.objects import Object, arguments, containers
from benchmarks.closed_loop.running import NotStartedError, Run, Window, stamped
from scripts.take_scrapes import ENVIRONMENT, Server

from inferplan.diagnose.start import START_SECONDS
from inferplan_lab.load import run_load
from inferplan_lab.load.summary import Summary

OTHERS_MOST = 0.05
"""Of the cores' time: where other programs took more, a run is done again."""
QUIET = {name: value for name, value in ENVIRONMENT.items() if name != "VLLM_CPU_KVCACHE_SPACE"}
"""What no case is about; how much memory a CPU's cache gets is a case's own."""


@dataclass(frozen=True)
class Host:
    """What differs between a CPU and a GPU.

    Attributes:
        window: when pages are taken.
        age: of the process at the last page, at least, in seconds; the warm-up is longer where it takes that.
        environment: of the engine, whatever the case.
    """

    window: Window
    age: float = START_SECONDS + 2.0
    environment: Mapping[str, str] = field(default_factory=dict)

    def window_at(self, age: float) -> Window:
        """The window of a process that is this old when its load begins."""
        return replace(self.window, warm_up=max(self.window.warm_up, self.age - age - self.window.seconds))


CPU = Host(Window(warm_up=30.0, seconds=60.0), environment={"VLLM_CPU_OMP_THREADS_BIND": "0-1"})
GPU = Host(Window(warm_up=10.0, seconds=24.0))
"""Requests of the cases take a few seconds, and a plan wants numbers that cover 20 s."""


@dataclass(frozen=True)
class RealEngine:
    """The bench that runs vLLM itself.

    Attributes:
        program: vllm.
        model: folder of the model.
        work: a folder for logs.
        host: what it runs on.
        tries: runs at most, until one is undisturbed; else the least disturbed counts.
    """

    program: Path
    model: Path
    work: Path
    host: Host = CPU
    tries: int = 3

    def version(self, case: Case) -> str:
        """The release that is installed; the same for all cases."""
        del case
        return _version(self.program)

    def config(self, case: Case) -> Mapping[str, Any]:
        """The model's."""
        del case
        found: dict[str, Any] = json.loads((self.model / "config.json").read_text("utf-8"))
        return found

    def run(self, case: Case, workload: Object) -> Run:
        """Serves the case's load, again where others disturbed it."""
        runs: list[Run] = []
        while len(runs) < self.tries and not any(run.others <= OTHERS_MOST for run in runs):
            runs.append(self._once(case, workload))
        return min(runs, key=lambda run: run.others)

    def _once(self, case: Case, workload: Object) -> Run:
        try:
            return asyncio.run(self._run(case, workload))
        except aiohttp.ClientError as error:
            raise NotStartedError(f"it went away under the load: {error}; {self.work / case.name}.log") from error

    async def _run(self, case: Case, workload: Object) -> Run:
        born = time.monotonic()
        async with aiohttp.ClientSession() as session, self._served(case, workload, session) as server:
            seconds = self.host.window_at(time.monotonic() - born).pages
            load = asyncio.create_task(_loaded(case, server.url, seconds[-1] + 1.0))
            watch = Watch(server.process.pid if server.process is not None else 0)
            pages = await _pages(server.url, session, seconds)
            others, seen = watch.others(), await load
        return Run(pages, seen.within(seconds[0], seconds[-1]), others)

    @asynccontextmanager
    async def _served(self, case: Case, workload: Object, session: aiohttp.ClientSession) -> AsyncIterator[Server]:
        server = Server(
            program=self.program.absolute(),
            model=self.model.absolute(),
            args=[*arguments(workload)[2:], "--host", "127.0.0.1"],
            port=_free_port(),
            environment={**QUIET, **_environment(workload), **self.host.environment},
            log=self.work / f"{case.name}.log",
        )
        try:
            await _started(server, session)
            yield server
        finally:
            await server.stop()


async def _loaded(case: Case, url: str, seconds: float) -> Summary:
    if case.load is None:
        return Summary()
    return await run_load(replace(case.load, targets=(url,), duration_seconds=seconds))


async def _pages(url: str, session: aiohttp.ClientSession, seconds: Sequence[float]) -> tuple[str, ...]:
    pages, now = [], asyncio.get_running_loop().time
    began = now()
    for second in seconds:
        await asyncio.sleep(max(0.0, began + second - now()))
        async with session.get(url + "/metrics") as answer:
            answer.raise_for_status()
            pages.append(stamped(await answer.text(), datetime.fromtimestamp(time.time(), UTC)))
    return tuple(pages)


def _free_port() -> int:
    """A port that nobody listens on now, so that no other server is taken for this one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def _started(server: Server, session: aiohttp.ClientSession) -> None:
    try:
        await server.start(session)
    except RuntimeError as error:
        raise NotStartedError(str(error)) from error


def _environment(workload: Object) -> Mapping[str, str]:
    """The container's."""
    return {entry["name"]: entry["value"] for entry in containers(workload)[0].get("env", ())}


@cache
def _version(program: Path) -> str:
    """The release of the package that has vLLM, without its local part."""
    code = "import importlib.metadata as m; print(m.version(m.packages_distributions()['vllm'][0]))"
    done = subprocess.run([program.parent / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip().split("+")[0]
