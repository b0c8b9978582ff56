"""Asks a Prometheus over HTTP, or what speaks its API: Thanos, Mimir, VictoriaMetrics. See `prometheus_answers`."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol, TypeVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from inferplan.observe.foreign import body_within, is_compressed
from inferplan.observe.prometheus_answers import read_answer, read_range
from inferplan.observe.prometheus_types import (
    Answer,
    NativeHistogram,
    Prometheus,
    PrometheusError,
    RangeAnswer,
    Sample,
    Series,
    clock_skew_seconds,
)

__all__ = [
    "Answer",
    "HttpPrometheus",
    "NativeHistogram",
    "Prometheus",
    "PrometheusError",
    "RangeAnswer",
    "Sample",
    "Series",
    "clock_skew_seconds",
]

MIB = 1024**2
CONCURRENT_QUERIES = 8  # of one source; Prometheus itself runs 20 at once by default
CONNECT_SECONDS = 3.0
"""Time for a connection, TLS included: a new connection then still fits into the default time of a query."""

BACKOFF_SECONDS = (0.2, 0.8)
"""Waits between the attempts of one query, half as long to half as long again: three attempts."""

PARSED_AT_ONCE_BYTES = 256 * 1024
"""JSON above is parsed in a thread; below it takes about 10 ms (measured: 10 MB in 0.3 to 0.4 s)."""

_OURS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "inferplan"}
_T = TypeVar("_T")

Observe = Callable[[str, float, int], None]
"""Called after each query with "ok" or "error", its seconds and the bytes of its answer."""


class Access(Protocol):
    """How a source is proven who asks, and who answers."""

    def headers(self) -> Mapping[str, str]:
        """Headers of the administrator, and the one with the credentials.

        Raises:
            PrometheusError: The credentials cannot be read.
        """
        ...

    def tls(self) -> ssl.SSLContext | bool:
        """Trust and client certificate; True for the machine's own trust."""
        ...

    def renewed(self) -> bool:
        """Reads the credentials again, because they were refused; whether they are others now."""
        ...


class OpenAccess:
    """No credentials, and the machine's own trust. Implements `Access`."""

    def headers(self) -> Mapping[str, str]:
        """None."""
        return {}

    def tls(self) -> bool:
        """The machine's own trust."""
        return True

    def renewed(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Limits:
    """What one query may take.

    Attributes:
        timeout_seconds: Time of a query, with all of its attempts and the waits between them.
        response_max_bytes: Size of an answer.
        server_name: Name that the server's certificate is checked against, where it is not the URL's.
    """

    timeout_seconds: float = 10.0
    response_max_bytes: int = 64 * MIB
    server_name: str | None = None


@dataclass(frozen=True)
class Watch:
    """Clock, dice and what is told of each query.

    Attributes:
        monotonic: Seconds since any time.
        uniform: A number between two others, for waits.
        observe: Called after each query.
    """

    monotonic: Callable[[], float]
    uniform: Callable[[float, float], float]
    observe: Observe = field(default=lambda _result, _seconds, _size: None)


class HttpPrometheus:
    """A Prometheus that the administrator has named. Implements `Prometheus`.

    Args:
        url: Its base URL.
        session: Session without cookies and proxies, and with `auto_decompress` off.
        watch: Clock, dice, telemetry.
        access: Credentials and trust.
        limits: What a query may take.
    """

    def __init__(
        self,
        url: str,
        session: aiohttp.ClientSession,
        watch: Watch,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._url = url
        self._session = session
        self._watch = watch
        self._access = access if access is not None else OpenAccess()
        self._limits = limits if limits is not None else Limits()
        self._turn = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def query(self, promql: str) -> Answer:
        """The instant vector of a query, now; what may pass is tried twice more."""
        return await self._ask(_Question("query", {"query": promql}), read_answer)

    async def query_range(self, promql: str, start: float, end: float, step_seconds: float) -> RangeAnswer:
        """The values of a query over time; what may pass is tried twice more."""
        form = {"query": promql, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_seconds:.3f}"}
        return await self._ask(_Question("query_range", form), read_range)

    async def _ask(self, question: "_Question", read: Callable[[int, bytes], _T]) -> _T:
        """Waits for its turn, which takes nothing of the query's own time."""
        async with self._turn:
            started = self._watch.monotonic()
            result, size = "error", 0
            try:
                answer, size = await self._in_time(question, read)
                result = "ok"
            finally:
                self._watch.observe(result, self._watch.monotonic() - started, size)
            return answer

    async def _in_time(self, question: "_Question", read: Callable[[int, bytes], _T]) -> tuple[_T, int]:
        seconds = self._limits.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._attempts(question, read, self._watch.monotonic() + seconds)
        except TimeoutError:
            raise PrometheusError(f"no whole answer within {seconds:g} s", passing=True) from None

    async def _attempts(
        self, question: "_Question", read: Callable[[int, bytes], _T], deadline: float
    ) -> tuple[_T, int]:
        """Tries, waits and tries again, where the wait still fits into the query's time."""
        for backoff in BACKOFF_SECONDS:
            try:
                return await self._once(question, read)
            except PrometheusError as error:
                wait = max(error.wait_seconds, self._watch.uniform(backoff / 2, backoff * 3 / 2))
                if not error.passing or self._watch.monotonic() + wait >= deadline:
                    raise
            await asyncio.sleep(wait)
        return await self._once(question, read)

    async def _once(self, question: "_Question", read: Callable[[int, bytes], _T]) -> tuple[_T, int]:
        try:
            async with self._session.post(
                f"{self._url}/api/v1/{question.endpoint}",
                data=question.form,
                headers={**self._access.headers(), **_OURS},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                allow_redirects=False,
                ssl=self._access.tls(),
                server_hostname=self._limits.server_name,
            ) as response:
                return await self._read(response, read)
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise _asking_failed(error) from None

    async def _read(self, response: aiohttp.ClientResponse, read: Callable[[int, bytes], _T]) -> tuple[_T, int]:
        if response.status == HTTPStatus.UNAUTHORIZED and self._access.renewed():
            raise PrometheusError("it refuses credentials that have been renewed since", passing=True)
        body = await _limited(response, self._limits.response_max_bytes)
        try:
            if len(body) > PARSED_AT_ONCE_BYTES:
                return await asyncio.to_thread(read, response.status, body), len(body)
            return read(response.status, body), len(body)
        except PrometheusError as error:
            error.wait_seconds = _seconds(response.headers.get("Retry-After", ""))
            raise


@dataclass(frozen=True)
class _Question:
    """What is asked: an endpoint of /api/v1 and its form."""

    endpoint: str
    form: Mapping[str, str]


async def _limited(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, as long as it is no larger than that."""
    if is_compressed(response):
        raise PrometheusError("its answer is compressed, which was not asked for")
    body = await body_within(response, most)
    if body is None:
        raise PrometheusError(f"its answer is larger than {most // MIB} MiB")
    return body


def _seconds(retry_after: str) -> float:
    """Retry-After in seconds; 0 where it is a date, or nothing."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else 0.0


def _asking_failed(error: Exception) -> PrometheusError:
    """The error in our words; a certificate that is not trusted will not be trusted a moment later."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "unknown cause"  # OpenSSL's own words
        return PrometheusError(f"its certificate is not trusted ({why})")
    if isinstance(error, TimeoutError):
        return PrometheusError(f"no connection within {CONNECT_SECONDS:g} s", passing=True)
    return PrometheusError(f"it could not be asked ({_cause(error)})", passing=True)


def _cause(error: BaseException) -> str:
    """The kind of error: OpenSSL's own word for one of TLS, else the name of the innermost class that tells it."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return _cause(error.os_error)
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    if isinstance(error, aiohttp.ClientOSError) and error.__cause__ is not None:
        return _cause(error.__cause__)
    return type(error).__name__
