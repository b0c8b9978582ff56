"""Absolute speeds out of improvement_pairs.json: other sources, and GPUs that no constant was fitted to.

The pairs' own numbers before and after, as far as the estimates have them, and AccelMark's online runs: requests at a
rate, where the file has medians (p50). Where more arrived than was served there is no latency to compare: points with
a median TTFT above half a second are left out. Nor is the TTFT compared of runs that send all requests at once.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.documents import Configs, Document, slug
from benchmarks.accuracy.formats import NotExpressibleError
from benchmarks.accuracy.lines import Line
from benchmarks.accuracy.model import Output, Value, value_of
from benchmarks.accuracy.model_shapes import shapes
from benchmarks.accuracy.pairs import Pair, pair_of
from benchmarks.accuracy.scores import Estimated, coverage, median, percentile, relative_error

_NAMES = {"tokens": "outputTokensPerSecond", "tpot": "itlMilliseconds", "ttft": "ttftMilliseconds"}
_WHAT = {"tokens": "output tokens/s", "tpot": "TPOT", "ttft": "TTFT"}
_CALM_MILLISECONDS = 500.0


@dataclass(frozen=True)
class Point:
    """One absolute number.

    Attributes:
        document: The instance and load.
        quantity: tokens, tpot or ttft.
        measured: Tokens per second or milliseconds.
        source: Where it comes from.
        gpu: GPU family.
    """

    document: Document
    quantity: str
    measured: float
    source: str
    gpu: str


def read_points(path: Path, configs: Configs) -> list[Point]:
    """All points of the file, each once; TensorRT-LLM's and what cannot be written as an instance are left out."""
    known = shapes()
    found = [point for record in json.loads(path.read_text()) for point in points_of(record, configs, known)]
    return list({(point.quantity, point.measured, point.source, point.gpu): point for point in found}.values())


def points_of(record: Mapping[str, Any], configs: Configs, known: Mapping[str, dict[str, Any]]) -> list[Point]:
    """The points of one pair; nothing where it cannot be written as two instances."""
    try:
        pair = pair_of(record, configs, known)
    except NotExpressibleError:
        return []
    if pair.transferred:
        return []
    return [*_of_pair(pair, record), *_online(pair, record)]


def _of_pair(pair: Pair, record: Mapping[str, Any]) -> Iterator[Point]:
    for document, side in ((pair.before, "metrics_before"), (pair.after, "metrics_after")):
        load = document["spec"].get("workload")
        for quantity, measured in _absolute(record[side], load).items():
            yield Point(document, quantity, measured, pair.source, pair.gpu)


def _absolute(metrics: Mapping[str, float], load: Mapping[str, Any] | None) -> dict[str, float]:
    if load is None:
        return {}
    tokens_in, tokens_out = load["inputTokens"], load["outputTokens"]
    found = {
        "tokens": (
            metrics.get("output_tok_s"),
            _times(metrics.get("total_tok_s"), tokens_out / (tokens_in + tokens_out)),
            _times(metrics.get("requests_per_s"), tokens_out),
        ),
        "tpot": (metrics.get("tpot_ms_mean"), metrics.get("itl_ms_mean")),
    }
    return {name: told[0] for name, values in found.items() if (told := [value for value in values if value])}


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _online(pair: Pair, record: Mapping[str, Any]) -> Iterator[Point]:
    """AccelMark's online runs of both sides: medians at a rate."""
    for rate, sides in (record.get("online_by_target_qps") or {}).items():
        for document, side in ((pair.before, "before"), (pair.after, "after")):
            measured = sides.get(side) or {}
            if not 0 < (measured.get("ttft_ms_p50") or 0) < _CALM_MILLISECONDS:
                continue
            online = _at_rate(document, float(rate))
            for quantity in ("tpot", "ttft"):
                yield Point(online, quantity, measured[f"{quantity}_ms_p50"], f"{pair.source} online", pair.gpu)


def _at_rate(document: Document, rate: float) -> Document:
    spec = document["spec"]
    load = {key: value for key, value in spec["workload"].items() if key != "concurrency"}
    name = slug(f"{document['metadata']['name']}-at-{rate:g}")
    workload = {**load, "requestsPerSecond": rate}
    return {**document, "metadata": {"name": name}, "spec": {**spec, "workload": workload}}


@dataclass(frozen=True)
class Placed:
    """A point and its estimate; None where there is none."""

    point: Point
    value: Value | None

    @property
    def error(self) -> float | None:
        """How far off it is."""
        return None if self.value is None else relative_error(self.value.expected, self.point.measured)


def placed(points: Sequence[Point], outputs: Sequence[Output]) -> list[Placed]:
    """Points beside the outputs for them."""
    both = zip(points, outputs, strict=True)
    return [Placed(point, value_of(output, _NAMES[point.quantity])) for point, output in both]


def elsewhere_lines(found: Sequence[Placed]) -> Iterator[Line]:
    """Errors and coverage of each quantity."""
    for quantity, what in _WHAT.items():
        asked = [one for one in found if one.point.quantity == quantity]
        errors = [one.error for one in asked if one.error is not None]
        size = (len(errors), len(asked))
        named = f"{what}, other sources and GPUs (improvement_pairs.json)"
        pairs = [
            Estimated(one.point.measured, one.value.low, one.value.expected, one.value.high)
            for one in asked
            if one.value is not None
        ]
        yield Line(f"elsewhere.{quantity}", f"{named}: median error", median(errors), *size)
        yield Line(f"elsewhere.{quantity}.p90", f"{named}: 90th percentile", percentile(errors, 0.9), *size)
        yield Line(f"elsewhere.{quantity}.coverage", f"{named}: 80 % intervals cover", coverage(pairs), *size)


def elsewhere_table(found: Sequence[Placed]) -> Iterator[str]:
    """Median errors by GPU and by source."""
    yield "| by | | points | output tokens/s | TPOT | TTFT |"
    yield "|---|---|---:|---:|---:|---:|"
    for name in ("gpu", "source"):
        groups: dict[str, list[Placed]] = defaultdict(list)
        for one in found:
            groups[getattr(one.point, name)].append(one)
        for group in sorted(groups):
            cells = (_middle(groups[group], quantity) for quantity in _WHAT)
            yield f"| {name} | {group} | {len(groups[group])} | {' | '.join(cells)} |"


def _middle(found: Sequence[Placed], quantity: str) -> str:
    errors = [one.error for one in found if one.point.quantity == quantity and one.error is not None]
    middle = median(errors)
    return "" if middle is None else f"{middle:.1%}"
