"""Was it the right lever, did it come as predicted, and did it harm? Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.closed_loop.cases import Case
from benchmarks.closed_loop.measure import Measures

HARM = 0.05
"""A guarded measure that is worse by more than this share is harm; below, runs of one configuration differ."""
HIGHER_IS_BETTER = frozenset({"output_tokens_per_second"})
RATIO_UNIT = "times today's"
SHOWN = ("output_tokens_per_second", "itl_mean", "ttft_mean")


def settings(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings that a plan changes, best first."""
    changes = (change for one in plan["spec"]["optimizations"] for change in one["configChanges"])
    return tuple(dict.fromkeys(change["parameter"] for change in changes))


def lever(case: Case, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Which settings moved, and whether one of them was to be moved (or none, and what there is to say was said)."""
    moved = settings(plan)
    right = bool(set(moved) & set(case.levers)) if case.levers else not moved
    told = _told(case, plan)
    return {
        "moved": list(moved),
        "acceptable": list(case.levers),
        "right": right and told is not False,
        "besides": [name for name in moved if name not in case.levers],
        "advised": told,
    }


def no_plan(case: Case) -> dict[str, Any]:
    """The same where the planner failed."""
    return {"moved": [], "acceptable": list(case.levers), "right": False, "besides": [], "advised": None}


def _told(case: Case, plan: Mapping[str, Any]) -> bool | None:
    """Whether what helps was advised, and why the planner cannot tell was said; None where nothing is to be said."""
    wanted = [
        *([] if case.advice is None else [_advised(plan, case.advice)]),
        *([] if case.abstains is None else [_abstained(plan, case.abstains)]),
    ]
    return all(wanted) if wanted else None


def _abstained(plan: Mapping[str, Any], code: str) -> bool:
    return any(entry["code"] == code for entry in plan["spec"].get("abstentions") or ())


def _advised(plan: Mapping[str, Any], word: str) -> bool:
    texts = (f"{one['title']} {one['description']}" for one in plan["spec"].get("alternatives") or ())
    return any(word in text.lower() for text in texts)


def ratios(before: Measures, after: Measures) -> dict[str, float]:
    """After over before of what both have and the first has above 0."""
    return {key: after[key] / value for key, value in before.items() if value > 0 and key in after}


def predictions(plan: Mapping[str, Any], realized: Measures) -> dict[str, dict[str, Any]]:
    """Each effect of the combination as a ratio to today, beside what came.

    Args:
        plan: an OptimizationPlan.
        realized: ratios by metric.

    Returns:
        By metric: low, expected (None where the plan names only an interval), high, realized (None where it was not
        measured), within.
    """
    return {
        effect["metric"]: _prediction(effect, realized.get(effect["metric"]))
        for effect in plan["spec"].get("effects") or ()
        if effect["unit"] == RATIO_UNIT or effect.get("current")
    }


def _prediction(effect: Mapping[str, Any], realized: float | None) -> dict[str, Any]:
    today = 1.0 if effect["unit"] == RATIO_UNIT else effect["current"]
    low, high, expected = effect["low"] / today, effect["high"] / today, effect.get("expected")
    return {
        "low": low,
        "expected": None if expected is None else expected / today,
        "high": high,
        "realized": realized,
        "within": None if realized is None else low <= realized <= high,
        "source": effect["source"],
    }


def harms(case: Case, before: Measures, after: Measures) -> list[str]:
    """Guarded measures that got worse by more than 5 %, and targets that held before and are missed now."""
    found = []
    for key, ratio in ratios(before, after).items():
        worse = 1 - ratio if key in HIGHER_IS_BETTER else ratio - 1
        if key in case.guarded and worse > HARM:
            found.append(f"{key} {ratio:.2f}x")
    return found + [f"{name} is missed now" for name in targets(case.spec) if _lost(case, name, before, after)]


def targets(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The measures that the owner's targets name."""
    return tuple(f"{slo['metric']}_p{slo['percentile']}" for slo in spec.get("slo", ()))


def met(case: Case, found: Measures) -> dict[str, bool | None]:
    """Whether each target holds; None where it was not measured."""
    bounds: Sequence[float] = [slo["targetMilliseconds"] for slo in case.spec.get("slo", ())]
    names = targets(case.spec)
    return {name: found[name] <= bound if name in found else None for name, bound in zip(names, bounds, strict=True)}


def _lost(case: Case, name: str, before: Measures, after: Measures) -> bool:
    return met(case, before)[name] is True and met(case, after)[name] is False
