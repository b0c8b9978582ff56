"""Where POST /api/v1/analyze gets its measurements: the request, a running engine, or the operator's last sighting.

What the request states wins, and then nothing is connected to. Else a host:port is asked for its pages, if the
administrator allows it, and namespace/name is what the operator saw last. Any other name rests on the request alone.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

from inferplan.api.exchange import AnalyzeRequest, AnalyzeResponse
from inferplan.api.instance import InstanceSpec
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.seen import SeenInstance
from inferplan.observe.addresses import NotAllowedError
from inferplan.observe.endpoint import Endpoint, EndpointError, endpoint_of, is_endpoint
from inferplan.observe.engine_pages import PageError
from inferplan.observe.reduce import nothing
from inferplan.observe.scrape import Scrape, ScrapeError
from inferplan.web.analyze import answer_of_operator, answer_of_sighting, sighting_of_operator
from inferplan.web.measured import any_given, stated_metrics
from inferplan.web.memory import InstanceId, Sighting, SightingMemory
from inferplan.web.pages import read_page, sighting_of_pages
from inferplan.web.ports import Clock, Engines, OpenEngine, Parts
from inferplan.web.problems import Problem, shown
from inferplan.web.requests import InvalidRequestError, spec_of

LOOKS_MAX = 4
"""Engines whose pages are read at once: pages take memory while they are."""

_PAGES_MAX = 6
_LINE_MAX = 500  # a page can put text of any length into what is wrong with it
_PAGE_SECONDS = 1.0  # gauges move within a second; more pages show more of it
_INSTANCE = re.compile(r"([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)/([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)")


class NoSuchInstanceError(LookupError):
    """The request names an instance of the cluster that is not there; one line for people."""


class BusyError(RuntimeError):
    """As many pages are read at once as may be; one line for people."""


class Analyst:
    """Answers POST /api/v1/analyze.

    Args:
        clock: Gives the present time, with a zone.
        parts: The service's parts.
        memory: Where looks are put for `optimize`.
    """

    def __init__(self, clock: Clock, parts: Parts, memory: SightingMemory) -> None:
        self._clock = clock
        self._parts = parts
        self._memory = memory
        self._looks = 0

    async def answer(self, request: AnalyzeRequest) -> AnalyzeResponse:
        """The analysis.

        Raises:
            UnknownEngineError: `instance_type` is no engine.
            InvalidRequestError: A field cannot be used, or contradicts another.
            NotAllowedError: The engine is not on the administrator's list; nothing was connected to.
            NoSuchInstanceError: The cluster has no such instance, or there is no cluster.
            BusyError: Too many pages are being read.
            KubeError: The cluster does not answer.
        """
        spec = spec_of(request)
        _check_sources(request)
        named = None if _states_metrics(request) else named_instance(request.instance_id)
        if named is not None:
            return await self._seen(request, spec, *named)
        sighting = await self._look(request, spec)
        now = self._clock()
        answer = await asyncio.to_thread(answer_of_sighting, request, spec, sighting, now)
        self._memory.put(InstanceId(request.instance_id, request.instance_type), sighting, now)
        return answer

    async def _look(self, request: AnalyzeRequest, spec: InstanceSpec) -> Sighting:
        if any_given(request.metrics):
            return Sighting("metrics of the request", stated_metrics(request.metrics, spec.slo))
        if request.metrics_text:
            with self._slot():
                return await asyncio.to_thread(_sighting_of_text, request, spec)
        if is_endpoint(request.instance_id):
            endpoint = _endpoint(request.instance_id)
            if self._parts.engines is None:
                raise NotAllowedError(f"{endpoint} is not connected to: this service may connect to nothing")
            with self._slot():
                return await self._pages(self._parts.engines, request, spec, endpoint)
        why = (
            f"{shown(request.instance_id)} is a name: give metrics or metrics_text, or host:port of a running engine,"
            " or namespace/name of an instance in the operator's cluster"
        )
        return Sighting("nothing", nothing(Missing(Reason.METRICS_MISSING, why), spec.slo).metrics)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._looks >= LOOKS_MAX:
            raise BusyError(f"pages of {LOOKS_MAX} engines are being read already; try again in a few seconds")
        self._looks += 1
        try:
            yield
        finally:
            self._looks -= 1

    async def _pages(
        self, engines: Engines, request: AnalyzeRequest, spec: InstanceSpec, endpoint: Endpoint
    ) -> Sighting:
        """A look at a running engine. One that does not answer is a finding, not a mistake of the request."""
        try:
            engine = await engines.open(endpoint)
            pages = await self._sampled(engine, request.sample_seconds)
            version = request.engine_version or await engine.version()
            source = f"{len(pages)} pages of http://{endpoint}/metrics"
            return await asyncio.to_thread(sighting_of_pages, spec, pages, None, source, version)
        except (PageError, ScrapeError) as error:
            why = Missing(Reason.METRICS_MISSING, f"http://{endpoint}: {error}"[:_LINE_MAX])
            return Sighting(f"http://{endpoint}/metrics", nothing(why, spec.slo).metrics, self._clock())

    async def _sampled(self, engine: OpenEngine, seconds: float) -> tuple[Scrape, ...]:
        """Pages about a second apart, the last one `seconds` after the first."""
        pauses = min(_PAGES_MAX - 1, max(1, round(seconds / _PAGE_SECONDS)))
        pages = [await self._page(engine)]
        for _ in range(pauses):
            await self._parts.sleep(seconds / pauses)
            pages.append(await self._page(engine))
        return tuple(pages)

    async def _page(self, engine: OpenEngine) -> Scrape:
        text = await engine.page()
        return await asyncio.to_thread(read_page, text, self._clock())

    async def _seen(self, request: AnalyzeRequest, spec: InstanceSpec, namespace: str, name: str) -> AnalyzeResponse:
        if self._parts.seen is None:
            raise NoSuchInstanceError(
                f"{namespace}/{name} names an instance of a cluster, and this service has none: give metrics or"
                " metrics_text, or ask the operator's own service"
            )
        seen = await self._parts.seen.analysis(namespace, name)
        if seen is None:
            raise NoSuchInstanceError(
                f"{namespace}/{name}: the operator has not seen such an instance in the namespaces that it watches"
            )
        _check_engine(spec, seen)
        now = self._clock()
        sighting = sighting_of_operator(seen)
        if sighting is not None:
            self._memory.put(InstanceId(request.instance_id, request.instance_type), sighting, now)
        return await asyncio.to_thread(answer_of_operator, request, seen, now)


def named_instance(instance_id: str) -> tuple[str, str] | None:
    """Namespace and name where the id names an instance of the cluster."""
    found = _INSTANCE.fullmatch(instance_id)
    return None if found is None else (found[1], found[2])


def _check_sources(request: AnalyzeRequest) -> None:
    if any_given(request.metrics) and request.metrics_text:
        raise InvalidRequestError(Problem("metrics_text", "metrics are given as well; give one"))


def _states_metrics(request: AnalyzeRequest) -> bool:
    return any_given(request.metrics) or bool(request.metrics_text)


def _check_engine(spec: InstanceSpec, seen: SeenInstance) -> None:
    if spec.engine is not seen.engine:
        why = f'"{spec.engine}" is not what the instance runs: its spec says {seen.engine}'
        raise InvalidRequestError(Problem("instance_type", why, (seen.engine,)))


def _endpoint(instance_id: str) -> Endpoint:
    try:
        return endpoint_of(instance_id)
    except EndpointError as error:
        raise InvalidRequestError(Problem("instance_id", str(error))) from None


def _sighting_of_text(request: AnalyzeRequest, spec: InstanceSpec) -> Sighting:
    try:
        pages = tuple(read_page(text, None) for text in request.metrics_text)
        return sighting_of_pages(spec, pages, request.interval_seconds, "metrics_text of the request", None)
    except ScrapeError as error:
        raise InvalidRequestError(Problem("metrics_text", str(error)[:_LINE_MAX])) from None
