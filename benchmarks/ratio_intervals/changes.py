"""Cases out of improvement_pairs.json: one setting changed, by source and category.

Where only a throughput was measured, the window before the change has the ITL that the model gives with its times
scaled until its throughput is the measured one: an engine always reports its ITL, a paper does not. At a rate that is
served throughput is the rate: only the ITL is compared there. Left out are TensorRT-LLM, weak sources and pairs in
which more than one setting changed, and numbers that are told as ratios alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.accuracy.documents import Configs, Document
from benchmarks.accuracy.elsewhere import Point, points_of
from benchmarks.accuracy.formats import NotExpressibleError
from benchmarks.accuracy.model_shapes import shapes
from benchmarks.accuracy.pairs import Pair, pair_of
from benchmarks.accuracy.situations import situation
from benchmarks.ratio_intervals.asked import ITL, THROUGHPUT, Case, forecast, window

from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.estimate.forecast import Place
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput

Sides = Mapping[str, tuple[float, float]]
"""What was measured before and after, by quantity: tokens, tpot, ttft."""


def change_cases(path: Path, configs: Configs) -> Iterator[Case | str]:
    """All pairs that can be asked; for the others why not."""
    known = shapes()
    for record in json.loads(path.read_text()):
        try:
            pair = pair_of(record, configs, known)
        except NotExpressibleError as reason:
            yield str(reason)
            continue
        yield from _cases(pair, points_of(record, configs, known))


def _cases(pair: Pair, points: Sequence[Point]) -> Iterator[Case | str]:
    if pair.transferred or pair.doubtful:
        yield "measured on TensorRT-LLM" if pair.transferred else "a weak source, or more than one setting changed"
        return
    found = list(_loads(pair, points))
    yield from (_case(pair, *load) for load in found)
    if not found:
        yield "no absolute number of both sides"


def _loads(pair: Pair, points: Sequence[Point]) -> Iterator[tuple[Document, Document, Sides]]:
    """The two instances under each load that both were measured under; a load at a rate is in the document's name."""
    named = {_name(point.document): point.document for point in points}
    values = {(_name(point.document), point.quantity): point.measured for point in points}
    first, second = _name(pair.before), _name(pair.after)
    for name in sorted(name for name in named if name.startswith(first)):
        other = second + name.removeprefix(first)
        both = {
            quantity: (values[name, quantity], values[other, quantity])
            for quantity in ("tokens", "tpot", "ttft")
            if (name, quantity) in values and (other, quantity) in values
        }
        if "tokens" in both or "tpot" in both:
            yield named[name], named[other], both


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])


def _case(pair: Pair, before: Document, after: Document, both: Sides) -> Case | str:
    first, second = situation(before).asked, situation(after).asked
    if first is None or second is None:
        return "no speed is asked of an instance of which memory is not known"
    return _calibrated(pair, first, second, both)


def _calibrated(
    pair: Pair, first: tuple[EstimateInput, Load], second: tuple[EstimateInput, Load], both: Sides
) -> Case | str:
    load, rate = first[1], first[1].requests_per_second
    measured = {ITL: both["tpot"][1] / both["tpot"][0]} if "tpot" in both else {}
    if rate is None and "tokens" in both:
        measured[THROUGHPUT] = both["tokens"][1] / both["tokens"][0]
    if not measured:
        return "only a throughput, at a rate that is served"
    source = pair.source if rate is None else f"{pair.source}, at a rate"
    category = _category(pair, second[0].model)
    case = Case(category, source, first[0], second[0], load, load.concurrency or 1.0, (), measured)
    return _with_window(case, both)


def _category(pair: Pair, after: ModelCard) -> str:
    """What was changed, with the format of a quantized checkpoint: "quantization to fp8 x fp8"."""
    if pair.category != "quantization" or after.quantization is None:
        return pair.category
    scheme = after.quantization.scheme
    return f"quantization to {scheme.weights} x {scheme.activations or '16 bit'}"


def _with_window(case: Case, both: Sides) -> Case | str:
    made = forecast(case)
    if isinstance(made, Missing):
        return made.reason
    today = made.outlook(Place(case.before.config, case.before.model), {})
    if isinstance(today, Missing):
        return today.reason
    running, load = float(today.running[0]), case.load
    queued = load.concurrency is not None and running < load.concurrency
    if "tpot" in both:
        ttft = both["ttft"][0] if "ttft" in both and not queued else None
        if load.requests_per_second is not None:
            running = load.requests_per_second * ((ttft or 0.0) + load.output_tokens * both["tpot"][0]) / 1e3
        seen = window(load, running, both["tpot"][0], ttft)
    else:
        slower = float(today.throughput[0]) / both["tokens"][0]
        seen = window(load, running, float(today.itl[0]) * 1e3 * slower, None)
    return replace(case, running=running, windows=(seen,))
