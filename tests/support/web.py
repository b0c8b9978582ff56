"""The HTTP service with everything around it in memory: engines, the operator's looks, a clock that sleeping moves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from tests.support.asgi import Answer, call

from inferplan.domain.seen import SeenInstance
from inferplan.kube.errors import KubeError
from inferplan.observe.allow_list import DEFAULT, allow_list
from inferplan.observe.engine_pages import EngineAccess, PageError
from inferplan.web.app import create_app
from inferplan.web.ports import Parts

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SCRAPES = Path(__file__).parents[1] / "scrapes"


@dataclass
class Time:
    """A clock, and the only way to move it."""

    now: datetime = NOW
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)


@dataclass
class FakePages:
    """Engines by port. Gives their pages one after the other, the last one again and again."""

    pages: Mapping[int, Sequence[str]] = field(default_factory=dict)
    running_version: str | None = "0.33.0"
    asked: list[str] = field(default_factory=list)

    async def page(self, address: str, port: int, host: str | None = None) -> str:
        self.asked.append(f"{address}:{port}/metrics as {host}")
        if port not in self.pages:
            raise PageError("/metrics cannot be read: Connection refused")
        before = sum(entry.startswith(f"{address}:{port}/metrics") for entry in self.asked) - 1
        return self.pages[port][min(before, len(self.pages[port]) - 1)]

    async def version(self, address: str, port: int, host: str | None = None) -> str | None:
        self.asked.append(f"{address}:{port}/version as {host}")
        return self.running_version


@dataclass
class FakeSeen:
    """What the operator remembers."""

    instances: Mapping[tuple[str, str], SeenInstance] = field(default_factory=dict)
    error: KubeError | None = None

    async def analysis(self, namespace: str, name: str) -> SeenInstance | None:
        if self.error is not None:
            raise self.error
        return self.instances.get((namespace, name))


@dataclass
class NoLookUps:
    """A resolver that must not be asked."""

    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(f"{host}:{port}")
        return ()


@dataclass
class Service:
    """The service under test."""

    pages: FakePages = field(default_factory=FakePages)
    seen: FakeSeen | None = None
    allowed: Sequence[str] = DEFAULT
    time: Time = field(default_factory=Time)
    resolver: NoLookUps = field(default_factory=NoLookUps)

    def __post_init__(self) -> None:
        pages: Any = self.pages
        engines = EngineAccess(allow_list(self.allowed), pages, self.resolver)
        parts = Parts(engines=engines, seen=self.seen, new_id=lambda: "id", sleep=self.time.sleep)
        self.app: FastAPI = create_app(self.time, parts)

    async def post(self, path: str, body: Any) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await call(self.app, "POST", f"/api/v1/{path}", raw)

    async def analyze(self, body: Any) -> Answer:
        return await self.post("analyze", body)

    async def optimize(self, body: Any) -> Answer:
        return await self.post("optimize", body)


def scrapes(situation: str, *names: str) -> list[str]:
    """Pages of the real vLLM in a known situation, without the line that says when they were taken."""
    texts = [(SCRAPES / situation / f"{name}.txt").read_text("utf-8") for name in names]
    return [text.partition("\n")[2] for text in texts]
