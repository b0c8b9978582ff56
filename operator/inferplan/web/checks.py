"""What the API server's CEL rules and the engine's own parser would refuse, for documents that pass neither.

An HTTP request and a file on a laptop never meet an API server: the rules of `api.rules` are checked here again.
Pure; knows no framework.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from inferplan.api.apply import ApplyMode, Forge, GitStrategy, forge_of
from inferplan.api.base import Scalar
from inferplan.api.instance import OPTIMIZER_SPELLINGS, InstanceSpec, ModelSpec, WorkloadSpec
from inferplan.api.values import Engine
from inferplan.dialects.keys import KeyKind, key_of, neutral_key, read_plain
from inferplan.web.problems import Problem, shown

_TEXT_MAX = 256


@dataclass(frozen=True)
class Fields:
    """Where the checked values stand in the reader's document."""

    current_config: str
    forbid: str
    model: str
    slo: str
    workload: str
    optimizers: str


def settings_problems(engine: Engine, config: Mapping[str, Scalar], where: str) -> tuple[Problem, ...]:
    """Settings that the engine does not know, that are given twice, or whose value its flag does not take."""
    first: dict[str, str] = {}
    problems: list[Problem] = []
    for name, value in config.items():
        try:
            key = neutral_key(engine, name)
            _check(key, value)
        except ValueError as error:
            problems.append(Problem(f"{where}.{name}", str(error)))
            continue
        if first.setdefault(key, name) != name:
            problems.append(Problem(f"{where}.{name}", f"means the same setting as {first[key]}; give one"))
    return tuple(problems)


def cross_field_problems(spec: InstanceSpec, fields: Fields) -> tuple[Problem, ...]:
    """What no single field shows: rules between fields, and names that the engine does not know."""
    return (
        *_forbid(spec, fields.forbid),
        *(_model(spec.model, fields.model) if spec.model is not None else ()),
        *_slo(spec, fields.slo),
        *(_workload(spec.workload, fields.workload) if spec.workload is not None else ()),
        *_optimizers(spec, fields.optimizers),
        *_apply(spec),
    )


def _check(key: str, value: Scalar) -> None:
    """Null leaves a setting unknown; everything else must be a value of the key.

    Raises:
        ValueError: It is none; the message says what is.
    """
    if value is None:
        return
    try:
        read = read_plain(key, value)
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(value)} must be {_allowed(key)}") from None
    if isinstance(read, str) and not 1 <= len(read) <= _TEXT_MAX:
        raise ValueError(f"{shown(value)} must be {_allowed(key)}")


def _allowed(key: str) -> str:
    """What the key takes; a flag without a key takes what its engine takes."""
    found = key_of(key)
    if found is None:
        return f"true or false, a number, or text of at most {_TEXT_MAX} characters"
    words = " or ".join(f'"{word}"' for word, _ in found.words)
    return f"{_ALLOWED[found.kind]}, or {words}" if words else _ALLOWED[found.kind]


_ALLOWED = {
    KeyKind.COUNT: "a whole number from 1",
    KeyKind.HUMAN_COUNT: "a whole number from 1",
    KeyKind.SHARE: "a number above 0 and at most 1",
    KeyKind.SWITCH: "true or false",
    KeyKind.TEXT: f"text of at most {_TEXT_MAX} characters",
}


def _forbid(spec: InstanceSpec, where: str) -> tuple[Problem, ...]:
    problems = []
    for index, name in enumerate(spec.constraints.forbid):
        try:
            if name not in OPTIMIZER_SPELLINGS:
                neutral_key(spec.engine, name, negations=True)
        except ValueError as error:
            problems.append(Problem(f"{where}[{index}]", str(error)))
    return tuple(problems)


def _model(model: ModelSpec, where: str) -> tuple[Problem, ...]:
    if model.config is not None and model.config_map_ref is not None:
        return (Problem(where, "the config.json is given inline and by reference to a ConfigMap; give one"),)
    return ()


def _slo(spec: InstanceSpec, where: str) -> tuple[Problem, ...]:
    targets = [(target.metric, target.percentile) for target in spec.slo]
    twice = {target for target in targets if targets.count(target) > 1}
    if twice:
        metric, percentile = min(twice)
        return (Problem(where, f"{metric} p{percentile} is given twice"),)
    broken = next(
        (
            (low, high)
            for low in spec.slo
            for high in spec.slo
            if low.metric == high.metric
            and low.percentile < high.percentile
            and low.target_milliseconds > high.target_milliseconds
        ),
        None,
    )
    if broken is None:
        return ()
    low, high = broken
    why = (
        f"{high.metric} p{high.percentile} may take {high.target_milliseconds} ms and p{low.percentile}"
        f" {low.target_milliseconds} ms; a higher percentile cannot have a lower target"
    )
    return (Problem(where, why),)


def _workload(workload: WorkloadSpec, where: str) -> tuple[Problem, ...]:
    pairs = (
        ("input", workload.input_tokens, workload.input_tokens_p95),
        ("output", workload.output_tokens, workload.output_tokens_p95),
    )
    return tuple(
        Problem(where, f"the 95th percentile of {name} tokens, {p95}, is below their mean, {mean}")
        for name, mean, p95 in pairs
        if mean is not None and p95 is not None and p95 < mean
    )


def _optimizers(spec: InstanceSpec, where: str) -> tuple[Problem, ...]:
    names = spec.constraints.optimizers
    return (Problem(where, "each optimizer may be named once"),) if len(set(names)) < len(names) else ()


def _apply(spec: InstanceSpec) -> tuple[Problem, ...]:
    git = spec.apply.git
    if spec.apply.mode is ApplyMode.GITOPS and git is None:
        return (Problem("spec.apply", "mode GitOps needs git (repository, branch, path)"),)
    if git is not None and git.strategy is GitStrategy.PULL_REQUEST and forge_of(git) is None:
        needs = "strategy PullRequest needs it where the host is neither github.com nor gitlab.com"
        return (Problem("spec.apply.git.forge", f"{needs}: {', '.join(Forge)}"),)
    return ()
