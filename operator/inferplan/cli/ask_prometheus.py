"""Asks a Prometheus for one instance, the way the operator does."""

import asyncio
import random
import time
from contextlib import AsyncExitStack

from pydantic import ValidationError

from inferplan.api.reasons import Reason
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Metrics
from inferplan.observe.assemble import SpecError
from inferplan.observe.metric_names import metric_names
from inferplan.observe.prometheus import PrometheusError, Watch
from inferplan.observe.prometheus_session import open_prometheus
from inferplan.observe.queries import all_queries, scope
from inferplan.observe.reduce import Asked, measurements
from inferplan.settings import PrometheusSource


async def ask(inputs: Inputs, url: str) -> Metrics | Missing:
    """What this Prometheus measured of the instance, or why it says nothing.

    Raises:
        BadInputError: spec.metrics.selector or the URL cannot be used.
    """
    asked = _asked(inputs)
    source = _source(url)
    async with AsyncExitStack() as stack:
        watch = Watch(time.monotonic, random.uniform)
        prometheus = await open_prometheus(stack, "default", source, watch)
        try:
            answers = await asyncio.gather(*(prometheus.query(query) for query in asked.queries.values()))
        except PrometheusError as error:
            return Missing(Reason.PROMETHEUS_ERROR, str(error))
    found = measurements(asked, dict(zip(asked.queries, (answer.samples for answer in answers), strict=True)))
    return found.metrics if found.problem is None else found.problem


def _source(url: str) -> PrometheusSource:
    try:
        return PrometheusSource(url=url)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadInputError(f'--prometheus: "{url}" {why}') from None


def _asked(inputs: Inputs) -> Asked:
    spec = inputs.spec
    names = metric_names(spec.engine, spec.engine_version)
    try:
        where = scope(inputs.namespace, spec.metrics.selector, (), spec.metrics.window_seconds)
    except SpecError as error:
        raise BadInputError(str(error)) from None
    return Asked(all_queries(names, where, spec.slo), names, spec.slo, where.window_seconds, None)
