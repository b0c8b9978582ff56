"""An aiohttp session without sockets: answers from a script, records what was asked."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One scripted answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def content(self) -> "Answer":
        return self

    @property
    def content_length(self) -> int:
        return len(self.body)

    async def text(self) -> str:
        return self.body.decode()

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), size):
            yield self.body[at : at + size]


class FakeSession:
    """Stands in for aiohttp.ClientSession; an exception in the script is raised. The last entry repeats."""

    def __init__(self, *script: Answer | Exception) -> None:
        self._script = list(script)
        self.asked: list[dict[str, Any]] = []

    @asynccontextmanager
    async def request(self, method: str, url: str, **options: Any) -> AsyncIterator[Answer]:
        self.asked.append({"method": method, "url": url, **options})
        entry = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(entry, Exception):
            raise entry
        yield entry

    def post(self, url: str, **options: Any) -> Any:
        return self.request("POST", url, **options)

    def get(self, url: str, **options: Any) -> Any:
        return self.request("GET", url, **options)
