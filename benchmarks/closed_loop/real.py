"""The real vLLM on a CPU: started from the container's command line, loaded by the lab's load generator."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
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

from inferplan_lab.load import run_load
from inferplan_lab.load.summary import Summary

WINDOW = Window(warm_up=30.0, seconds=60.0)
"""The process is half a minute to a minute old when it first answers: the window's last page comes at 90 s or more."""
CPUS = "0-1"
OTHERS_MOST = 0.05
"""Of the cores' time: where other programs took more, a run is done again."""
QUIET = {name: value for name, value in ENVIRONMENT.items() if name != "VLLM_CPU_KVCACHE_SPACE"}
"""What no case is about; how much memory the cache gets is a case's own."""


@dataclass(frozen=True)
class RealCpu:
    """The bench that runs vLLM itself.

    Attributes:
        program: vllm.
        model: folder of a small model.
        work: a folder for logs.
        tries: runs at most, until one is undisturbed; else the least disturbed counts.
        window: when pages are taken.
    """

    program: Path
    model: Path
    work: Path
    tries: int = 3
    window: Window = WINDOW

    def version(self, case: Case) -> str:
        """The release that is installed; the same for all cases."""
        del case
        return _version(self.program)

    def config(self, case: Case) -> Mapping[str, Any]:
        """The small model's."""
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
        async with aiohttp.ClientSession() as session, self._served(case, workload, session) as server:
            load = asyncio.create_task(self._load(case, server.url))
            watch = Watch(server.process.pid if server.process is not None else 0)
            pages = await self._pages(server.url, session)
            others, seen = watch.others(), await load
        return Run(pages, seen.within(self.window.pages[0], self.window.pages[-1]), others)

    async def _load(self, case: Case, url: str) -> Summary:
        if case.load is None:
            return Summary()
        return await run_load(replace(case.load, targets=(url,), duration_seconds=self.window.pages[-1] + 1.0))

    async def _pages(self, url: str, session: aiohttp.ClientSession) -> tuple[str, ...]:
        pages, now = [], asyncio.get_running_loop().time
        began = now()
        for second in self.window.pages:
            await asyncio.sleep(max(0.0, began + second - now()))
            async with session.get(url + "/metrics") as answer:
                answer.raise_for_status()
                pages.append(stamped(await answer.text(), datetime.fromtimestamp(time.time(), UTC)))
        return tuple(pages)

    @asynccontextmanager
    async def _served(self, case: Case, workload: Object, session: aiohttp.ClientSession) -> AsyncIterator[Server]:
        server = Server(
            program=self.program.absolute(),
            model=self.model.absolute(),
            args=[*arguments(workload)[2:], "--host", "127.0.0.1"],
            port=_free_port(),
            environment=_environment(workload),
            log=self.work / f"{case.name}.log",
        )
        try:
            await _started(server, session)
            yield server
        finally:
            await server.stop()


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
    """The container's, and what keeps a test run quiet and on its cores."""
    own = {entry["name"]: entry["value"] for entry in containers(workload)[0].get("env", ())}
    return {**QUIET, **own, "VLLM_CPU_OMP_THREADS_BIND": CPUS}


@cache
def _version(program: Path) -> str:
    """The release of the package that has vLLM, without its local part."""
    code = "import importlib.metadata as m; print(m.version(m.packages_distributions()['vllm'][0]))"
    done = subprocess.run([program.parent / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip().split("+")[0]
