"""The engine simulator in virtual time: its own flags, scheduler, step times and metrics, without clock and sockets.

Between two steps no time passes, so latencies on the pages are those of the pretended GPU, however
busy this machine is, and the same run gives the same pages.
"""

import contextlib
import heapq
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from benchmarks.closed_loop.cases import Case
from benchmarks.closed_loop.objects import Object, arguments
from benchmarks.closed_loop.running import NotStartedError, Run, Window, stamped

from inferplan.domain.model_catalogue import known_model
from inferplan_lab.engine.__main__ import prepare, read_surroundings
from inferplan_lab.engine.events import StepResult
from inferplan_lab.engine.flags import FlagError, StartupError
from inferplan_lab.engine.metrics import EngineMetrics
from inferplan_lab.engine.serving import Engine, Session
from inferplan_lab.engine.settings import EngineSettings
from inferplan_lab.engine.step_time import StepTimer
from inferplan_lab.load import Plan, gaps, requests
from inferplan_lab.load.summary import Answer, Summary

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
"""When every virtual process starts."""
WINDOW = Window(warm_up=240.0, seconds=120.0)
"""The slowest cases take 80 s for a request; a process younger than its window would be told to be cold."""
ADMITTED_MOST = 200_000
"""Requests of one run; more is a load that no case means."""


@dataclass
class VirtualServer:
    """One engine and its clients.

    Attributes:
        settings: of the engine.
        load: its requests, or None.
        now: seconds since the process started.
        summary: what the clients got.
    """

    settings: EngineSettings
    load: Plan | None
    now: float = 0.0
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self._engine = Engine(self.settings, clock=lambda: self.now, log=lambda _text: None)
        self._engine.metrics = EngineMetrics(self.settings, STARTED.timestamp())
        timer = StepTimer(self.settings)
        self._cost = timer.cost
        self._requests = requests(self.load) if self.load is not None else iter(())
        self._between = gaps(self.load) if self.load is not None and self.load.rate_per_second else None
        self._due: list[float] = [0.0] * (self.load.concurrency or 0) if self.load is not None else []
        if self._between is not None:
            self._due.append(next(self._between))
        self._open: dict[str, Session] = {}
        self._taken = count()

    def until(self, second: float) -> None:
        """Lets time pass up to the first step that ends at or after a second.

        Raises:
            RuntimeError: the engine has requests and can run none of them.
        """
        while self.now < second:
            self._take_requests()
            if not self._engine.scheduler.busy:
                self.now = min(second, self._due[0] if self._due else second)
                continue
            began = self.now
            self._step()
            if self.now <= began:
                raise RuntimeError(f"at {began:.3f} s the engine stands still: a request is too large for it")
        self._take_requests()

    def page(self) -> str:
        """The /metrics page of this moment."""
        return stamped(self._engine.metrics.page(self._engine.scheduler), STARTED + timedelta(seconds=self.now))

    def _take_requests(self) -> None:
        """Hands over what has come by now; each is as old as it is."""
        now = self.now
        while self._due and self._due[0] <= now:
            self.now = heapq.heappop(self._due)
            if self._between is not None:
                heapq.heappush(self._due, self.now + next(self._between))
            self._submit(next(self._requests))
        self.now = now

    def _submit(self, request: tuple[list[int], int]) -> None:
        if next(self._taken) > ADMITTED_MOST:
            raise RuntimeError(f"more than {ADMITTED_MOST} requests")
        session = self._engine.submit(*request)
        self._open[session.request.request_id] = session

    def _step(self) -> None:
        result = self._engine.scheduler.step(self.now)
        self._engine.metrics.record(result, self._cost(result.shape))
        self.now = result.ended_seconds
        for session in self._finished(result):
            self._engine.drop(session)
            self._note(session)
            if self._between is None:
                heapq.heappush(self._due, self.now)

    def _finished(self, result: StepResult) -> Iterator[Session]:
        for request in result.finished:
            yield self._open.pop(request.request_id)

    def _note(self, session: Session) -> None:
        request = session.request
        first = request.first_token_seconds or self.now
        self.summary.answers.append(Answer(request.arrival_seconds, first, self.now, request.generated_tokens))


@dataclass(frozen=True)
class Simulator:
    """The bench that pretends GPUs.

    Attributes:
        work: a folder for the models' config.json.
        window: when pages are taken.
    """

    work: Path
    window: Window = WINDOW

    def version(self, case: Case) -> str:
        """The pretended release."""
        return case.version

    def config(self, case: Case) -> None:
        """Nothing: the planner is to know the model by its id."""

    def run(self, case: Case, workload: Object) -> Run:
        """Serves the case's load in virtual time."""
        words = arguments(workload)
        server = VirtualServer(_settings(case, words, self._written(words[1])), case.load)
        pages = []
        for second in self.window.pages:
            server.until(second)
            pages.append(server.page())
        return Run(tuple(pages), server.summary.within(self.window.pages[0], self.window.pages[-1]))

    def _written(self, model: str) -> Path:
        """The catalogue's config.json of a model, as a file."""
        known = known_model(model)
        if known is None:
            raise KeyError(f"{model} is not in the bundled catalogue")
        path = self.work / f"{model.replace('/', '--')}.json"
        path.write_text(json.dumps(dict(known.config)), "utf-8")
        return path


def _settings(case: Case, words: Sequence[str], config: Path) -> EngineSettings:
    """What the simulator makes of a command line, or why it does not start."""
    environment = {
        "INFERPLAN_SIM_VLLM_VERSION": case.version,
        "INFERPLAN_SIM_GPU_PRODUCT": case.gpu or "",
        "INFERPLAN_SIM_GPU_COUNT": str(case.gpus),
        "INFERPLAN_SIM_MODEL_CONFIG": str(config),
    }
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            return prepare(words, read_surroundings(environment))[0]
        except (FlagError, StartupError) as error:
            raise NotStartedError(str(error).splitlines()[-1].strip()) from error
