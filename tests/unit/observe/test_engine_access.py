"""From a request's host and port to the address that is connected to: looked up once, checked, pinned."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from inferplan.observe.addresses import NotAllowedError
from inferplan.observe.allow_list import allow_list
from inferplan.observe.endpoint import endpoint_of
from inferplan.observe.engine_pages import EngineAccess, EnginePages, PageError


@dataclass
class FakePages:
    """Writes down what is connected to; `down` does not answer."""

    down: frozenset[str] = frozenset()
    asked: list[tuple[str, int, str | None]] = field(default_factory=list)

    async def page(self, address: str, port: int, host: str | None = None) -> str:
        self.asked.append((address, port, host))
        if address in self.down:
            raise PageError("/metrics cannot be read: Connection refused")
        return "page"

    async def version(self, address: str, port: int, host: str | None = None) -> str | None:
        self.asked.append((address, port, host))
        return "0.33.0"


@dataclass
class FakeResolver:
    """Answers with one list of addresses after the other, as a name that is being rebound does."""

    answers: Sequence[Sequence[str]] = ()
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        return self.answers[len(self.asked) - 1]


def access(pages: Any, resolver: FakeResolver, *entries: str) -> EngineAccess:
    return EngineAccess(allow_list(entries), pages, resolver)


@pytest.mark.parametrize("then", ["10.0.0.1", "169.254.169.254", "127.0.0.1"])
async def test_a_name_that_is_rebound_is_connected_to_only_where_it_was_checked(then: str) -> None:
    pages, resolver = FakePages(), FakeResolver([["10.9.9.9"], [then], [then]])
    engine = await access(pages, resolver, "engine.lab").open(endpoint_of("engine.lab:8000"))
    for _ in range(3):
        await engine.page()
    await engine.version()
    assert resolver.asked == ["engine.lab"]
    assert pages.asked == [("10.9.9.9", 8000, "engine.lab:8000")] * 4


async def test_a_rebound_name_that_is_asked_again_is_checked_again() -> None:
    pages, resolver = FakePages(), FakeResolver([["127.0.0.1"], ["169.254.169.254"]])
    door = access(pages, resolver, "engine.lab", "127.0.0.0/8")
    await (await door.open(endpoint_of("engine.lab:8000"))).page()
    with pytest.raises(NotAllowedError, match=r"engine\.lab resolves to 169\.254\.169\.254, which is not on"):
        await door.open(endpoint_of("engine.lab:8000"))
    assert [address for address, _, _ in pages.asked] == ["127.0.0.1"]


@pytest.mark.parametrize(
    "bad",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1%eth0", "0.0.0.0", "?"],
)
async def test_one_bad_address_of_several_refuses_the_name(bad: str) -> None:
    pages, resolver = FakePages(), FakeResolver([["10.0.0.1", bad, "10.0.0.2"]])
    with pytest.raises(NotAllowedError, match="was not connected to"):
        await access(pages, resolver, "engine.lab").open(endpoint_of("engine.lab:8000"))
    assert pages.asked == []


@pytest.mark.parametrize("text", ["evil.example:8000", "10.0.0.1:8000", "169.254.169.254:80", "[fd00:ec2::254]:80"])
async def test_what_is_not_on_the_list_is_neither_looked_up_nor_connected_to(text: str) -> None:
    pages, resolver = FakePages(), FakeResolver()
    with pytest.raises(NotAllowedError, match="is not on the administrator's list, and was not connected to"):
        await access(pages, resolver, "engine.lab", "127.0.0.0/8").open(endpoint_of(text))
    assert (pages.asked, resolver.asked) == ([], [])


async def test_a_mapped_address_is_connected_to_as_what_it_is() -> None:
    pages = FakePages()
    door = access(pages, FakeResolver(), "127.0.0.0/8")
    await (await door.open(endpoint_of("[::ffff:127.0.0.1]:8000"))).page()
    assert pages.asked == [("127.0.0.1", 8000, "[::ffff:7f00:1]:8000")]


async def test_the_next_address_is_tried_and_then_kept() -> None:
    pages = FakePages(down=frozenset({"127.0.0.1"}))
    engine = await access(pages, FakeResolver(), "127.0.0.1", "::1").open(endpoint_of("localhost:8000"))
    await engine.page()
    await engine.page()
    assert [address for address, _, _ in pages.asked] == ["127.0.0.1", "::1", "::1"]


async def test_an_engine_that_is_down_everywhere_is_told() -> None:
    pages = FakePages(down=frozenset({"127.0.0.1", "::1"}))
    engine = await access(pages, FakeResolver(), "127.0.0.1", "::1").open(endpoint_of("localhost:8000"))
    with pytest.raises(PageError, match="Connection refused"):
        await engine.page()


@pytest.mark.parametrize("error", [OSError("nobody knows it"), UnicodeError("label too long")])
async def test_a_name_that_is_not_found_is_told(error: Exception) -> None:
    async def resolve(*_: object) -> Sequence[str]:
        raise error

    door = EngineAccess(allow_list(["engine.lab"]), FakePages(), resolve)  # type: ignore[arg-type]
    with pytest.raises(PageError, match=f"^engine.lab was not found: {error}$"):
        await door.open(endpoint_of("engine.lab:8000"))


async def test_a_resolver_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    monkeypatch.setattr("inferplan.observe.addresses.RESOLVE_SECONDS", 0.01)
    door = EngineAccess(allow_list(["engine.lab"]), FakePages(), resolve)  # type: ignore[arg-type]
    with pytest.raises(PageError, match="was not found within"):
        await door.open(endpoint_of("engine.lab:8000"))


async def test_no_addresses_at_all_are_a_refusal() -> None:
    with pytest.raises(NotAllowedError):
        await access(FakePages(), FakeResolver([[]]), "engine.lab").open(endpoint_of("engine.lab:8000"))


async def test_pages_are_fetched_from_addresses_only() -> None:
    session: Any = None  # nothing is asked
    with pytest.raises(PageError, match=r'"engine\.lab" is no IP address'):
        await EnginePages(session).page("engine.lab", 8000)
    assert await EnginePages(session).version("2130706433", 8000) is None
