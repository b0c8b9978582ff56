"""Takes /metrics pages from the real vLLM in situations whose cause is known: test data of the diagnosis.

    .venv/bin/python scripts/take_scrapes.py tests/scrapes/kv-bound [FOLDER …] \
        --vllm /tmp/vllmcpu/bin/vllm --model /tmp/tiny-qwen3 [--port 18100] [--cpus 0-1]

A folder holds situation.yaml (written by hand). The script starts `vllm serve` with its flags, waits until it is
healthy (that is second 0), sends the loads, takes the pages, and writes them with deployment.yaml and instance.yaml
(what was served) and taken.yaml (the command lines, what the clients saw, and the gauges every five seconds in
between, which the pages themselves do not show). What is written by hand stays as it is. situation.yaml:

    args: --max-num-seqs 8 …          # further flags; COMMON below come first
    environment: {NAME: "value"}      # besides ENVIRONMENT below
    replicas: [a, b]                  # servers with the same flags; left out: one
    loads:                            # any number of them, side by side
    - {start: 2, stop: 70, clients: 40, prompt: 400, output: [100, 400], shared: 0.5}   # closed loop
    - {start: 2, stop: 70, rate: 3.5, prompt: 400, output: 100, replica: b}             # open loop, Poisson
    pages: {1.txt: 20, 2.txt: 65}     # file → second; with replicas {a-1.txt: 20, …}, the name's start says whose
    restart: 70                       # second at which the servers are stopped and started again; second 70 goes
                                      # on when they are healthy again
    slowed: {b: 0.75}                 # share of time for which that replica's engine is stopped (SIGSTOP)

Lengths are in tokens, a number or [least, most] (uniform). `shared` is the share of a prompt that all prompts have in
common, `temperature` 0 where it is left out. A small random-weight model, as shared/tools/real_vllm makes one, will do:
what matters is the scheduler, and that is the real one.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import numpy as np
import yaml

COMMON = "--served-model-name tiny --load-format dummy --dtype bfloat16"
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
IMAGE = "vllm/vllm-openai:v{version}"
GAUGES = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "kv": "vllm:kv_cache_usage_perc",
}
_START_SECONDS, _STOP_SECONDS, _EVERY_SECONDS, _SLICE_SECONDS = 300, 20, 5, 0.1
_TOKENS = (10, 1000)  # ids that are no special tokens of the small model
_OK = 200


def say(text: str) -> None:
    """Tells the person at the terminal."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Length:
    """A length in tokens, uniform between two bounds."""

    least: int
    most: int

    @classmethod
    def read(cls, value: int | Sequence[int]) -> "Length":
        """From situation.yaml: a number, or two."""
        return cls(value, value) if isinstance(value, int) else cls(*value)

    def draw(self, random: np.random.Generator) -> int:
        """One length."""
        return int(random.integers(self.least, self.most, endpoint=True))


@dataclass(frozen=True)
class Load:
    """One stream of requests; times in seconds since the server was healthy."""

    start: float
    stop: float
    prompt: Length
    output: Length
    clients: int = 0
    rate: float = 0.0
    shared: float = 0.0
    temperature: float = 0.0
    replica: str = ""

    @classmethod
    def read(cls, fields: Mapping[str, object]) -> "Load":
        """From situation.yaml."""
        lengths = {name: Length.read(fields[name]) for name in ("prompt", "output")}  # type: ignore[arg-type]
        return cls(**{**fields, **lengths})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Situation:
    """What situation.yaml says."""

    label: str
    args: tuple[str, ...]
    pages: Mapping[str, float]
    loads: tuple[Load, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    replicas: tuple[str, ...] = ("",)
    restart: float | None = None
    slowed: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Situation":
        """From a folder's situation.yaml."""
        document = yaml.safe_load((folder / "situation.yaml").read_text("utf-8"))
        document["args"] = tuple(shlex.split(f"{COMMON} {document['args']}"))
        document["loads"] = tuple(Load.read(load) for load in document.get("loads", ()))
        document["replicas"] = tuple(document.get("replicas", ("",)))
        document["environment"] = {**ENVIRONMENT, **document.get("environment", {})}
        return cls(label=folder.name, **document)

    def replica_of(self, page: str) -> str:
        """Whose page it is: the name's start."""
        return next((name for name in self.replicas if name and page.startswith(f"{name}-")), self.replicas[0])


@dataclass
class Server:
    """One `vllm serve`, in a process group of its own."""

    program: Path
    model: Path
    args: Sequence[str]
    port: int
    environment: Mapping[str, str]
    log: Path
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def arguments(self) -> list[str]:
        """What follows `vllm serve`; the model is named as its folder lies next to the working directory."""
        return [self.model.name, *self.args, "--port", str(self.port)]

    async def start(self, session: aiohttp.ClientSession) -> None:
        """Starts it and waits until it is healthy."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                str(self.program),
                "serve",
                *self.arguments,
                cwd=self.model.parent,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not await self._healthy(session):
            if self.process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(self.arguments)} did not come up: {self.log}")
            await asyncio.sleep(0.5)

    async def _healthy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.url + "/health") as answer:
                return answer.status == _OK
        except aiohttp.ClientError:
            return False

    async def stop(self) -> None:
        """Ends the process group, and waits for it."""
        if self.process is None or self.process.returncode is not None:
            return
        os.killpg(self.process.pid, signal.SIGCONT)
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    def engine(self) -> list[int]:
        """Process ids of its engine core and workers, which run the model."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, rest = stat.read_text("utf-8").rsplit(")", 1)
                if "VLLM::" in name and self.process and int(rest.split()[2]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return found


@dataclass
class Taking:
    """One run of a situation: its servers, and what was seen."""

    situation: Situation
    folder: Path
    servers: Mapping[str, Server]
    session: aiohttp.ClientSession
    zero: float = 0.0
    stopped: float | None = None
    answers: list[tuple[str, float, float, int, int]] = field(default_factory=list)
    failures: int = 0
    gauges: list[dict[str, object]] = field(default_factory=list)
    taken: dict[str, float] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """Seconds since the servers were healthy, less those of a restart."""
        return (self.stopped or time.monotonic()) - self.zero

    async def until(self, second: float) -> None:
        """Sleeps until that second."""
        while (left := second - self.now) > 0:  # noqa: ASYNC110 - the clock may stand still meanwhile
            await asyncio.sleep(min(left, _EVERY_SECONDS) if self.stopped is None else _SLICE_SECONDS)

    async def page(self, replica: str) -> str:
        """The /metrics page of a replica, now."""
        async with self.session.get(self.servers[replica].url + "/metrics") as answer:
            answer.raise_for_status()
            return await answer.text()

    async def request(self, load: Load, prompt: list[int], output: int) -> None:
        """One request, from its sending to its last token."""
        body = {
            "model": "tiny",
            "prompt": prompt,
            "max_tokens": output,
            "ignore_eos": True,
            "temperature": load.temperature,
        }
        began, replica = self.now, load.replica or self.situation.replicas[0]
        try:
            async with self.session.post(self.servers[replica].url + "/v1/completions", json=body) as answer:
                await answer.read()
                answer.raise_for_status()
        except aiohttp.ClientError:
            self.failures += 1
            await asyncio.sleep(1)
        else:
            self.answers.append((replica, began, self.now, len(prompt), output))

    async def send(self, load: Load, seed: int) -> None:
        """A load, from its start to its stop; what is then under way is given up."""
        random = np.random.default_rng(seed)
        common = np.random.default_rng(0).integers(*_TOKENS, size=load.prompt.most).tolist()

        def drawn() -> tuple[list[int], int]:
            length = load.prompt.draw(random)
            shared = round(load.shared * length)
            own = random.integers(*_TOKENS, size=length - shared).tolist()
            return common[:shared] + own, load.output.draw(random)

        async def client() -> None:
            while True:
                await self.request(load, *drawn())

        async def arrivals() -> None:
            async with asyncio.TaskGroup() as open_requests:
                second = load.start
                while True:
                    open_requests.create_task(self.request(load, *drawn()))
                    second += random.exponential(1 / load.rate)
                    await self.until(second)

        await self.until(load.start)
        streams = [client() for _ in range(load.clients)] or [arrivals()]
        sending = asyncio.gather(*streams)
        try:
            await self.until(load.stop)
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def watch(self) -> None:
        """Notes the gauges every few seconds, for a person who checks the label."""
        for second in range(0, int(max(self.situation.pages.values())) + 1, _EVERY_SECONDS):
            await self.until(second)
            for replica in self.servers:
                with contextlib.suppress(aiohttp.ClientError):
                    text = await self.page(replica)
                    seen = {name: _total(text, metric) for name, metric in GAUGES.items()}
                    self.gauges.append({"second": second, **({"replica": replica} if replica else {}), **seen})

    async def write_page(self, name: str, second: float) -> None:
        """Takes one page at its second."""
        await self.until(second)
        text = await self.page(self.situation.replica_of(name))
        at = datetime.fromtimestamp(time.time(), UTC)
        self.taken[name] = round(self.now, 1)
        (self.folder / name).write_text(
            f"# scraped-at: {at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}\n{text}", "utf-8"
        )

    async def restart(self) -> None:
        """Stops the servers at the given second and starts them again; the clock stands still meanwhile."""
        if self.situation.restart is None:
            return
        await self.until(self.situation.restart)
        self.stopped = time.monotonic()
        for server in self.servers.values():
            await server.stop()
            await server.start(self.session)
        self.zero, self.stopped = self.zero + time.monotonic() - self.stopped, None

    async def slow(self, replica: str, share: float) -> None:
        """Stops that replica's engine for a share of each tenth of a second, as a throttled device would."""
        engine = self.servers[replica].engine()
        if not engine:
            raise RuntimeError(f"replica {replica} has no engine process")

        def signal_all(number: signal.Signals) -> None:
            for process in engine:
                os.kill(process, number)

        try:
            while True:
                signal_all(signal.SIGSTOP)
                await asyncio.sleep(share * _SLICE_SECONDS)
                signal_all(signal.SIGCONT)
                await asyncio.sleep((1 - share) * _SLICE_SECONDS)
        finally:
            signal_all(signal.SIGCONT)

    async def run(self) -> None:
        """Everything from second 0 to the last page."""
        self.zero = time.monotonic()
        background = [
            asyncio.create_task(work)
            for work in (
                *(self.send(load, 1 + seed) for seed, load in enumerate(self.situation.loads)),
                *(self.slow(replica, share) for replica, share in self.situation.slowed.items()),
                self.watch(),
                self.restart(),
            )
        ]
        pages = [self.write_page(name, second) for name, second in self.situation.pages.items()]
        try:
            await asyncio.gather(*pages)
        finally:
            for task in background:
                task.cancel()
            ended = await asyncio.gather(*background, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error


def _total(page: str, metric: str) -> float | None:
    values = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(metric + "{")]
    return round(sum(values), 4) if values else None


def _clients_saw(taking: Taking, replica: str) -> dict[str, object]:
    """The truth from outside: requests that were answered between the first and the last page."""
    first, last = min(taking.taken.values()), max(taking.taken.values())
    seen = [answer for answer in taking.answers if answer[0] == replica and first <= answer[2] <= last]
    if not seen:
        return {"answered": 0}
    seconds = np.array([end - began for _, began, end, _, _ in seen])
    return {
        "answered": len(seen),
        "promptTokensMean": round(float(np.mean([prompt for *_, prompt, _ in seen])), 1),
        "outputTokensMean": round(float(np.mean([output for *_, output in seen])), 1),
        "e2eSeconds": {
            "mean": round(float(seconds.mean()), 3),
            "p50": round(float(np.quantile(seconds, 0.5)), 3),
            "p99": round(float(np.quantile(seconds, 0.99)), 3),
        },
    }


def taken_document(taking: Taking, version: str) -> dict[str, object]:
    """taken.yaml."""
    return {
        "label": taking.situation.label,
        "engine": {"name": "vllm", "version": version},
        "commands": {
            name or "server": shlex.join(["vllm", "serve", *server.arguments])
            for name, server in taking.servers.items()
        },
        "environment": {name or "server": dict(server.environment) for name, server in taking.servers.items()},
        "pages": taking.taken,
        "clients": {name or "server": _clients_saw(taking, name) for name in taking.servers},
        "failedRequests": taking.failures,
        "gauges": taking.gauges,
    }


def deployment(taking: Taking, version: str) -> dict[str, object]:
    """A Deployment whose container runs exactly what was served."""
    server, name = next(iter(taking.servers.values())), taking.situation.label
    container = {
        "name": "vllm",
        "image": IMAGE.format(version=version),
        "command": ["vllm", "serve"],
        "args": server.arguments,
        "env": [{"name": key, "value": value} for key, value in taking.situation.environment.items()],
        "ports": [{"name": "http", "containerPort": server.port}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "serving", "labels": {"app": name}},
        "spec": {
            "replicas": len(taking.servers),
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def instance(taking: Taking) -> dict[str, object]:
    """The InferenceInstance that points to that Deployment."""
    server, name = next(iter(taking.servers.values())), taking.situation.label
    config = json.loads((server.model / "config.json").read_text("utf-8"))
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": name, "namespace": "serving"},
        "spec": {
            "engine": "vllm",
            "targetRef": {"kind": "Deployment", "name": name},
            "model": {"config": config},
            "metrics": {"selector": {"app": name}},
        },
    }


def write(path: Path, document: Mapping[str, object]) -> None:
    """One YAML file; lists of numbers and small mappings stay on their line."""
    text = yaml.safe_dump(dict(document), sort_keys=False, default_flow_style=None, width=120)
    path.write_text(f"# Written by scripts/take_scrapes.py.\n{text}", "utf-8")


def servers_of(situation: Situation, options: argparse.Namespace) -> dict[str, Server]:
    """The servers of a situation, each on its own port; two replicas share the CPUs out between them."""
    cpus = options.cpus.split(",") if len(situation.replicas) > 1 else [options.cpus]
    return {
        name: Server(
            program=options.vllm.absolute(),
            model=options.model.absolute(),
            args=situation.args,
            port=options.port + number,
            environment={**situation.environment, "VLLM_CPU_OMP_THREADS_BIND": cpus[number % len(cpus)]},
            log=options.logs / f"{situation.label}{name and '-' + name}.log",
        )
        for number, name in enumerate(situation.replicas)
    }


@contextlib.asynccontextmanager
async def served(servers: Mapping[str, Server], session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """The servers, healthy, and stopped afterwards."""
    try:
        await asyncio.gather(*(server.start(session) for server in servers.values()))
        yield
    finally:
        await asyncio.gather(*(server.stop() for server in servers.values()))


async def take(folder: Path, options: argparse.Namespace) -> None:
    """Takes one folder's pages."""
    situation = Situation.read(folder)
    servers = servers_of(situation, options)
    timeout = aiohttp.ClientTimeout(total=3600)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        taking = Taking(situation, folder, servers, session)
        say(f"{situation.label}: {shlex.join(next(iter(servers.values())).arguments)}")
        async with served(servers, session):
            async with session.get(next(iter(servers.values())).url + "/version") as answer:
                version = (await answer.json())["version"].split("+")[0]
            await taking.run()
    write(folder / "taken.yaml", taken_document(taking, version))
    write(folder / "deployment.yaml", deployment(taking, version))
    write(folder / "instance.yaml", instance(taking))
    for gauges in taking.gauges:
        say(f"  {gauges}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders with a situation.yaml")
    parser.add_argument("--vllm", type=Path, required=True, help="the program vllm")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--port", type=int, default=18100, help="first port (replicas take the next ones)")
    parser.add_argument("--cpus", default="0-1", help="CPUs of the engine; replicas take one of 0,1 each")
    parser.add_argument("--logs", type=Path, default=Path("/tmp"), help="folder for the servers' logs")  # noqa: S108
    options = parser.parse_args()
    for folder in options.folders:
        asyncio.run(take(folder, options))


if __name__ == "__main__":
    main()
