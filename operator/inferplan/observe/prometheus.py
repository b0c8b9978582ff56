"""Asks a Prometheus; the only code that knows its JSON. What it answers is foreign: nothing of it is trusted."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp

from inferplan.kube.connection import TokenFile

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)
RESPONSE_MAX_BYTES = 5 * 1024**2
CONCURRENT_QUERIES = 8  # of one source; Prometheus itself runs 20 at once by default
ATTEMPTS = 2
_NO_CONTENT_CODING = {"Accept-Encoding": "identity", "User-Agent": "inferplan"}


class PrometheusError(Exception):
    """Prometheus could not be asked, or answered what is no result; one line, without any text of the answer."""


class _PassingError(PrometheusError):
    """An error that may pass: worth a second try."""


@dataclass(frozen=True)
class Sample:
    """One series of an instant vector. The value may be NaN or infinite, as PromQL allows."""

    labels: Mapping[str, str]
    value: float


class Prometheus(Protocol):
    """What gathering needs of a Prometheus."""

    async def query(self, promql: str) -> tuple[Sample, ...]:
        """The instant vector of a query.

        Raises:
            PrometheusError: There is no such answer.
        """
        ...


class HttpPrometheus:
    """A Prometheus that the administrator has named. Implements `Prometheus`.

    Args:
        url: Its base URL.
        session: Session with this source's TLS trust, and `auto_decompress` off.
        observe: Called with "ok" or "error" for each query.
        token: Bearer token, where it wants one.
    """

    def __init__(
        self, url: str, session: aiohttp.ClientSession, observe: Callable[[str], None], token: TokenFile | None = None
    ) -> None:
        self._url = f"{url}/api/v1/query"
        self._session = session
        self._observe = observe
        self._token = token
        self._turn = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def query(self, promql: str) -> tuple[Sample, ...]:
        """The instant vector of a query; a failure that may pass is tried once more."""
        try:
            async with self._turn:
                samples = await self._attempts(promql)
        except PrometheusError:
            self._observe("error")
            raise
        self._observe("ok")
        return samples

    async def _attempts(self, promql: str) -> tuple[Sample, ...]:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._once(promql)
            except _PassingError:
                continue
        return await self._once(promql)

    async def _once(self, promql: str) -> tuple[Sample, ...]:
        try:
            async with self._session.post(
                self._url, data={"query": promql}, headers=self._headers(), timeout=TIMEOUT, allow_redirects=False
            ) as response:
                return read_answer(response.status, await _limited(response))
        except TimeoutError:
            raise _PassingError(f"no answer within {TIMEOUT.total:.0f} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _PassingError(f"it could not be asked ({type(error).__name__})") from None

    def _headers(self) -> dict[str, str]:
        token = {"Authorization": f"Bearer {self._token.token()}"} if self._token is not None else {}
        return _NO_CONTENT_CODING | token


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65_536):
        size += len(part)
        if size > RESPONSE_MAX_BYTES:
            raise PrometheusError(f"its answer is larger than {RESPONSE_MAX_BYTES // 1024**2} MiB")
        parts.append(part)
    return b"".join(parts)


def read_answer(status: int, body: bytes) -> tuple[Sample, ...]:
    """The instant vector in an answer of /api/v1/query.

    Raises:
        PrometheusError: It is anything else.
    """
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise PrometheusError("it redirects, which is not followed; set the source to the final URL")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _PassingError(f"it answers with HTTP status {status}")
    document = _document(status, body)
    if document.get("status") != "success":
        kind = document.get("errorType")
        raise PrometheusError(f"it refuses the query ({kind if kind in _ERROR_TYPES else 'unknown error'})")
    data = document.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "vector" or not isinstance(data.get("result"), list):
        raise PrometheusError("its answer is no instant vector")
    return _samples(data["result"])


_ERROR_TYPES = ("timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found")


def _document(status: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise PrometheusError(f"its answer (HTTP status {status}) is no JSON") from None
    if not isinstance(document, dict):
        raise PrometheusError("its answer is no JSON object")
    return document


def _samples(result: Sequence[Any]) -> tuple[Sample, ...]:
    try:
        return tuple(Sample(_labels(entry["metric"]), float(entry["value"][1])) for entry in result)
    except (KeyError, IndexError, TypeError, ValueError):
        raise PrometheusError("a series in its answer has no labels or no number") from None


def _labels(metric: Mapping[str, Any]) -> dict[str, str]:
    if not isinstance(metric, dict) or not all(isinstance(value, str) for value in metric.values()):
        raise TypeError("labels are text")
    return metric
