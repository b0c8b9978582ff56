"""Asks a Prometheus for one instance, the way the operator does."""

import random
import time
from contextlib import AsyncExitStack

from pydantic import ValidationError

from inferplan.api.reasons import Reason
from inferplan.cli.clock import now
from inferplan.cli.errors import BadInputError
from inferplan.cli.inputs import Inputs
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig
from inferplan.observe.assemble import SpecError, check_selector
from inferplan.observe.fleet import FleetReader
from inferplan.observe.fleet_part import Asked
from inferplan.observe.meter import served_names
from inferplan.observe.metric_names import metric_names
from inferplan.observe.prometheus import HttpPrometheus, PrometheusError, Watch
from inferplan.observe.prometheus_session import open_prometheus
from inferplan.observe.reduce import Measurements, reduce
from inferplan.observe.series_labels import SeriesLabels
from inferplan.settings import PrometheusSource, SettingsError, load_settings


async def ask(inputs: Inputs, config: ServingConfig, place: str) -> Measurements | Missing:
    """What this Prometheus measured of the instance, or why it says nothing.

    Raises:
        BadInputError: spec.metrics.selector, the URL or a file of the source cannot be used, or no source has the name.
    """
    source, spec = _source(place), inputs.spec
    try:
        check_selector(spec.metrics.selector)
    except SpecError as error:
        raise BadInputError(str(error)) from None
    names = metric_names(spec.engine, config.version)
    asked = Asked(inputs.namespace, spec.metrics.selector, None, served_names(config), names.running)
    async with AsyncExitStack() as stack:
        prometheus = await _opened(stack, place, source)
        labels = SeriesLabels(source.namespace_label, source.pod_label)
        reader = FleetReader(prometheus, labels, now, time.monotonic, namespaces=lambda: frozenset({inputs.namespace}))
        try:
            targets = frozenset(slo.metric.value for slo in spec.slo)
            snapshot = await reader.read(spec.metrics.window_seconds, frozenset(spec.metrics.selector), targets)
        except PrometheusError as error:
            return Missing(Reason.PROMETHEUS_ERROR, str(error))
    readings = snapshot.readings(asked)
    if isinstance(readings, Missing):
        return readings
    found = reduce(readings, names, spec.slo)
    return found if found.problem is None else found.problem


async def _opened(stack: AsyncExitStack, place: str, source: PrometheusSource) -> HttpPrometheus:
    try:
        return await open_prometheus(stack, place, source, Watch(time.monotonic, random.uniform))
    except SettingsError as error:
        raise BadInputError(str(error)) from None


def _source(place: str) -> PrometheusSource:
    """What the option names: a URL, or a source of the administrator's, as the operator has them."""
    if place.startswith(("http://", "https://")):
        return _plain(place)
    try:
        sources = load_settings().prometheus_sources
    except SettingsError as error:
        raise BadInputError(str(error)) from None
    if place not in sources:
        known = ", ".join(sorted(sources)) or "none"
        raise BadInputError(
            f'--prometheus: "{place}" is no URL (http:// or https://) and no name in INFERPLAN_PROMETHEUS_SOURCES'
            f" ({known})"
        )
    return sources[place]


def _plain(url: str) -> PrometheusSource:
    try:
        return PrometheusSource(url=url)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadInputError(f'--prometheus: "{url}" {why}') from None
