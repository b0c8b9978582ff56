"""Asks a Prometheus for one instance, the way the operator does."""

import asyncio

import aiohttp

from inferplan.api.reasons import Reason
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Metrics
from inferplan.observe.assemble import SpecError
from inferplan.observe.metric_names import metric_names
from inferplan.observe.prometheus import HttpPrometheus, PrometheusError
from inferplan.observe.queries import all_queries, scope
from inferplan.observe.reduce import Asked, measurements


async def ask(inputs: Inputs, url: str) -> Metrics | Missing:
    """What this Prometheus measured of the instance, or why it says nothing.

    Raises:
        BadInputError: spec.metrics.selector cannot be used.
    """
    asked = _asked(inputs)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        prometheus = HttpPrometheus(url, session, lambda _: None)
        try:
            answers = await asyncio.gather(*(prometheus.query(query) for query in asked.queries.values()))
        except PrometheusError as error:
            return Missing(Reason.PROMETHEUS_ERROR, str(error))
    found = measurements(asked, dict(zip(asked.queries, answers, strict=True)))
    return found.metrics if found.problem is None else found.problem


def _asked(inputs: Inputs) -> Asked:
    spec = inputs.spec
    names = metric_names(spec.engine, spec.engine_version)
    try:
        where = scope(inputs.namespace, spec.metrics.selector, (), spec.metrics.window_seconds)
    except SpecError as error:
        raise BadInputError(str(error)) from None
    return Asked(all_queries(names, where, spec.slo), names, spec.slo, where.window_seconds, None)
