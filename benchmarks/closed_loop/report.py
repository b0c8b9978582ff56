"""The results as Markdown. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
HEAD = """\
# Closed loop

Written by `benchmarks/closed_loop/run.py`; every figure is in `closed_loop_*.json` beside it.
Each case is served, `inferplan plan` gets its objects and its /metrics pages, the plan's own server-side apply changes
the Deployment, and that is served again under the same load (same seed). A ratio is after over before, by the engine's
own pages.
"""
ABOUT = {
    "simulator": """
## The engine simulator
Its flags, scheduler, memory and metrics in virtual time, on pretended GPUs. Its step times are a roofline as the
planner's are, though other code with other constants: this tests that the right lever is found, that the plan can be
applied as it stands and does not harm, and that the whole way from pages to arguments holds together. It does **not**
test how accurate the forecast is on a real GPU; `accuracy.md` does. fp8 weights halve traffic here and nothing else.
""",
    "cpu": """
## The real vLLM on a CPU
vLLM for CPUs with a small model of random weights. The scheduler is the real one; the planner knows no GPU, so it
promises only what bounds of measurements allow. Engine and clients share the cores; what other programs took of them
is measured, and a run in which that was more than 5 % is done again, twice at most, and the least disturbed counts.
""",
    "gpu": """
## The real vLLM on an H100
vLLM with the shape of Qwen3-8B and random weights on one NVIDIA H100 80GB HBM3: kernels, memory and step times are
real, the text of the answers is not, so what fp8 costs in quality is not seen here.
The GPU was lent for 13 minutes, in which three of the four cases ran, one after the other with one cache of compiled
graphs. That cache is what two of the KV cache's intervals missed: a start that compiles peaks half a GiB higher. The
intervals have it since, the figures here are as they were told.
""",
}
SHOWN = {"output_tokens_per_second": "throughput", "itl_mean": "ITL", "ttft_mean": "TTFT"}


def report(found: Mapping[str, Row]) -> str:
    """The whole text.

    Args:
        found: the documents by kind of engine.
    """
    return HEAD + "".join(ABOUT[kind] + _section(document["cases"]) for kind, document in found.items())


def _section(rows: Sequence[Row]) -> str:
    return "\n".join(["", *_counts(rows), "", *_levers(rows), "", *_forecasts(rows), "", *_cases(rows)]) + "\n"


def _counts(rows: Sequence[Row]) -> list[str]:
    right = sum(row["lever"]["right"] for row in rows)
    harmed = [row["case"] for row in rows if row.get("harm")]
    judged = [one["within"] for row in rows for name, one in _told(row) if name in SHOWN and one["within"] is not None]
    runs = [row[when] for row in rows for when in ("before", "after") if "machine" in row.get(when, {})]
    others = max((run["machine"]["others"] for run in runs), default=0.0)
    lines = [
        f"* Right lever, or none where none is right: **{right} of {len(rows)}**.",
        f"* Harm: **{len(harmed)}**{' (' + ', '.join(harmed) + ')' if harmed else ''}.",
        f"* Realized within the predicted interval (throughput, ITL, TTFT): {sum(judged)} of {len(judged)}.",
    ]
    return (
        lines
        if not others
        else [*lines, f"* Other programs took up to {others:.0%} of the cores in a run that counts."]
    )


def _levers(rows: Sequence[Row]) -> list[str]:
    head = [
        "| case | plan | right lever | besides | throughput | ITL | TTFT | E2E | by hand: these but TTFT | harm |",
        "|---|---|---|---|--:|--:|--:|--:|---|---|",
    ]
    return head + [_lever(row) for row in rows]


def _lever(row: Row) -> str:
    lever, ratios = row["lever"], row.get("ratios", {}).get("pages", {})
    realized = [_times(ratios.get(name)) for name in (*SHOWN, "e2e_mean")]
    plan = row["summary"]
    if lever["advised"] is not None:
        plan += ", and what to say was said" if lever["advised"] else ", **what to say was not said**"
    harm = "; ".join(row.get("harm", ())) or "no"
    right = "yes" if lever["right"] else "**no**"
    return _line([row["case"], plan, right, ", ".join(lever["besides"]), *realized, _to_be_had(row), harm])


def _to_be_had(row: Row) -> str:
    """Throughput and time of a whole request with the setting found by hand."""
    control = row.get("control")
    if control is None:
        return ""
    if "notStarted" in row["before"]:
        return "starts" if "pages" in control["measured"] else "does not start"
    before, after = row["before"]["pages"], control["measured"]["pages"]
    names = ("output_tokens_per_second", "itl_mean", "e2e_mean")
    return ", ".join(_times(after[name] / before[name]) for name in names)


def _forecasts(rows: Sequence[Row]) -> list[str]:
    head = [
        "| case | metric | predicted, times today's | realized | clients saw | within |",
        "|---|---|---|--:|--:|---|",
    ]
    return head + [_forecast(row, name, one) for row in rows for name, one in _told(row)]


def _told(row: Row) -> Sequence[tuple[str, Row]]:
    return tuple(row.get("predictions", {}).items())


def _forecast(row: Row, name: str, one: Row) -> str:
    middle = "" if one["expected"] is None else f"{one['expected']:.2f} "
    within = {True: "yes", False: "**no**", None: "not measured"}[one["within"]]
    clients = row["ratios"]["clients"].get(name)
    span = f"{middle}({one['low']:.2f} to {one['high']:.2f})"
    return _line([row["case"], SHOWN.get(name, name), span, _times(one["realized"]), _times(clients), within])


def _cases(rows: Sequence[Row]) -> list[str]:
    return ["| case | what is wrong | may move |", "|---|---|---|"] + [
        _line([row["case"], row["why"], ", ".join(row["lever"]["acceptable"]) or "nothing"]) for row in rows
    ]


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
