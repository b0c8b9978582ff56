"""The client of a Prometheus without sockets: what it sends, what it tries again, what it gives up."""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import pytest
from tests.support.sessions import Answer as Scripted
from tests.support.sessions import FakeSession

from inferplan.observe.prometheus import (
    BACKOFF_SECONDS,
    CONCURRENT_QUERIES,
    PARSED_AT_ONCE_BYTES,
    HttpPrometheus,
    Limits,
    PrometheusError,
    RangeAnswer,
    Sample,
    Watch,
)

SECRET = "secret-of-the-server"
ATTEMPTS = 3
FINE = Scripted(200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}}).encode())
ONE = {"metric": {}, "value": [1.5, "2"]}
TWO = Scripted(200, json.dumps({"status": "success", "data": {"resultType": "vector", "result": [ONE]}}).encode())


def at_once(_low: float, _high: float) -> float:
    """Waits between attempts take no time."""
    return 0.0


class Client:
    """A client on a scripted session, and what it told of its queries."""

    def __init__(
        self,
        *script: Scripted | Exception,
        access: Any = None,
        limits: Limits | None = None,
        uniform: Callable[[float, float], float] = at_once,
    ) -> None:
        self.session = FakeSession(*script)
        self.seen: list[tuple[str, float, int]] = []
        times = iter(range(10_000))
        watch = Watch(lambda: next(times) / 1000, uniform, lambda *told: self.seen.append(told))
        session: Any = self.session
        self.prometheus = HttpPrometheus("http://prom:9090", session, watch, access, limits)

    @property
    def results(self) -> list[str]:
        return [result for result, _, _ in self.seen]


async def test_a_query_is_posted_without_redirects_or_compression() -> None:
    client = Client(TWO)
    answer = await client.prometheus.query("up")
    assert (answer.samples, answer.evaluated_at) == ((Sample({}, 2.0),), 1.5)
    (asked,) = client.session.asked
    assert (asked["method"], asked["url"], asked["data"]) == ("POST", "http://prom:9090/api/v1/query", {"query": "up"})
    assert asked["allow_redirects"] is False
    assert asked["headers"]["Accept-Encoding"] == "identity"
    assert client.seen == [("ok", pytest.approx(0.002), len(TWO.body))]


async def test_a_range_is_asked_for_with_times_to_the_millisecond() -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()
    client = Client(Scripted(200, body))
    assert await client.prometheus.query_range("up", 1_700_000_000.0004, 1_700_086_400, 3600) == RangeAnswer()
    (asked,) = client.session.asked
    assert asked["url"] == "http://prom:9090/api/v1/query_range"
    assert asked["data"] == {"query": "up", "start": "1700000000.000", "end": "1700086400.000", "step": "3600.000"}


PASSING = [Scripted(503), Scripted(429), Scripted(500), aiohttp.ClientConnectionError(SECRET), ConnectionResetError()]


@pytest.mark.parametrize("trouble", [*PASSING, aiohttp.ConnectionTimeoutError(SECRET)])
async def test_passing_trouble_is_tried_twice_more(trouble: Scripted | Exception) -> None:
    client = Client(trouble, trouble, FINE)
    assert (await client.prometheus.query("up")).samples == ()
    assert len(client.session.asked) == ATTEMPTS
    assert client.results == ["ok"]


@pytest.mark.parametrize("trouble", PASSING)
async def test_trouble_that_stays_is_an_error(trouble: Scripted | Exception) -> None:
    client = Client(trouble)
    with pytest.raises(PrometheusError) as error:
        await client.prometheus.query("up")
    assert SECRET not in str(error.value)
    assert len(client.session.asked) == ATTEMPTS
    assert client.results == ["error"]


CERTIFICATE = aiohttp.ClientConnectorCertificateError(None, ssl.SSLCertVerificationError())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "trouble",
    [
        Scripted(400, b'{"status": "error", "errorType": "bad_data"}'),
        Scripted(401),
        Scripted(403),
        Scripted(501),
        Scripted(302),
        Scripted(200, b"<html>"),
        Scripted(200, FINE.body, {"Content-Encoding": "gzip"}),
        CERTIFICATE,
    ],
)
async def test_what_will_not_pass_is_not_repeated(trouble: Scripted | Exception) -> None:
    client = Client(trouble)
    with pytest.raises(PrometheusError):
        await client.prometheus.query("up")
    assert len(client.session.asked) == 1
    assert client.results == ["error"]


async def test_waits_grow_and_are_spread() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.0

    with pytest.raises(PrometheusError):
        await Client(Scripted(503), uniform=uniform).prometheus.query("up")
    assert asked == [pytest.approx((0.1, 0.3)), pytest.approx((0.4, 1.2))]
    assert len(BACKOFF_SECONDS) == ATTEMPTS - 1


@pytest.mark.parametrize("waits", ["30", "999999999999"])
async def test_a_wait_beyond_the_querys_own_time_is_not_begun(waits: str) -> None:
    client = Client(Scripted(503, b"", {"Retry-After": waits}))
    with pytest.raises(PrometheusError, match="503"):
        await client.prometheus.query("up")
    assert len(client.session.asked) == 1


@pytest.mark.parametrize("waits", ["0", "Wed, 21 Oct 2026 07:28:00 GMT", "-5", "soon", "³", ""])
async def test_a_wait_that_is_no_number_of_seconds_changes_nothing(waits: str) -> None:
    client = Client(Scripted(503, b"", {"Retry-After": waits}), FINE)
    await client.prometheus.query("up")
    assert len(client.session.asked) == 2


async def test_an_answer_that_says_it_is_too_large_is_not_read() -> None:
    answer = Scripted(200, FINE.body, {"Content-Length": str(2 * 1024**2)})
    client = Client(answer, limits=Limits(response_max_bytes=1024**2))
    with pytest.raises(PrometheusError, match="larger than 1 MiB"):
        await client.prometheus.query("up")
    assert len(client.session.asked) == 1


async def test_an_answer_that_turns_out_too_large_is_given_up() -> None:
    client = Client(Scripted(200, b"x" * (1024**2 + 1)), limits=Limits(response_max_bytes=1024**2))
    with pytest.raises(PrometheusError, match="larger than 1 MiB"):
        await client.prometheus.query("up")
    assert len(client.session.asked) == 1


@pytest.mark.parametrize("rows", [1, 6_000])
async def test_an_answer_is_read_alike_at_once_and_in_a_thread(rows: int) -> None:
    result = [{"metric": {"pod": f"llama-{row}", "le": "0.5"}, "value": [1.5, "2"]} for row in range(rows)]
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
    assert (len(body) > PARSED_AT_ONCE_BYTES) is (rows > 1)
    answer = await Client(Scripted(200, body)).prometheus.query("up")
    assert len(answer.samples) == rows


async def test_a_large_answer_that_is_none_is_an_error_too() -> None:
    with pytest.raises(PrometheusError, match="no JSON"):
        await Client(Scripted(200, b"x" * (PARSED_AT_ONCE_BYTES + 1))).prometheus.query("up")


class Renewed:
    """Credentials that were renewed once."""

    def __init__(self) -> None:
        self.token = "old"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}", "X-Scope-OrgID": "team-a", "accept-encoding": "gzip"}

    def tls(self) -> bool:
        return True

    def renewed(self) -> bool:
        before, self.token = self.token, "new"
        return before != self.token


async def test_renewed_credentials_are_tried_and_refused_ones_are_not_tried_again() -> None:
    client = Client(Scripted(401), FINE, access=Renewed())
    await client.prometheus.query("up")
    assert [asked["headers"]["Authorization"] for asked in client.session.asked] == ["Bearer old", "Bearer new"]
    assert client.session.asked[0]["headers"]["X-Scope-OrgID"] == "team-a"
    refused = Client(Scripted(401), access=Renewed())
    with pytest.raises(PrometheusError, match="refuses access"):
        await refused.prometheus.query("up")
    assert len(refused.session.asked) == 2


class Slow(FakeSession):
    """Counts the queries that are under way at once."""

    def __init__(self) -> None:
        super().__init__(FINE)
        self.now = self.most = 0

    def post(self, url: str, **options: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        return _Leaving(self, super().post(url, **options))


class _Leaving:
    def __init__(self, session: Slow, inner: Any) -> None:
        self._session = session
        self._inner = inner

    async def __aenter__(self) -> Any:
        await asyncio.sleep(0)
        return await self._inner.__aenter__()

    async def __aexit__(self, *error: object) -> Any:
        self._session.now -= 1
        return await self._inner.__aexit__(*error)


async def test_so_many_queries_are_under_way_at_once_and_no_more() -> None:
    session: Any = Slow()
    prometheus = HttpPrometheus("http://prom:9090", session, Watch(lambda: 0.0, at_once))
    await asyncio.gather(*(prometheus.query("up") for _ in range(30)))
    assert session.most == CONCURRENT_QUERIES


async def test_no_answer_in_time_is_an_error() -> None:
    class Hanging(FakeSession):
        def post(self, _url: str, **_options: Any) -> Any:
            return _Hang()

    class _Hang:
        async def __aenter__(self) -> Any:
            await asyncio.Event().wait()

        async def __aexit__(self, *error: object) -> None:
            """Nothing to leave."""

    session: Any = Hanging(FINE)
    told: list[tuple[str, float, int]] = []
    watch = Watch(lambda: 0.0, at_once, lambda *seen: told.append(seen))
    prometheus = HttpPrometheus("http://prom:9090", session, watch, limits=Limits(timeout_seconds=0.05))
    with pytest.raises(PrometheusError, match=r"no whole answer within 0\.05 s") as error:
        await prometheus.query("up")
    assert error.value.passing
    assert told == [("error", 0.0, 0)]
