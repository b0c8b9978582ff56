"""What an engine refuses or ignores although its parser accepts every single flag. Pure.

A version between known releases violates what those on both sides of it do not do; a version that is not known, what
no known release does. What is not known (a setting, the GPU, the model) violates nothing.
"""

from collections.abc import Mapping, Sequence

from inferplan.api.values import Engine
from inferplan.dialects.effective import speaking, speaking_sglang
from inferplan.dialects.registry import Release, release, releases
from inferplan.dialects.rules.case import Case, Rule, Severity, Violation
from inferplan.dialects.rules.front_end import FRONT_END_RULES
from inferplan.dialects.rules.memory import MEMORY_RULES
from inferplan.dialects.rules.parallelism import PARALLELISM_RULES
from inferplan.dialects.rules.quantization import QUANTIZATION_RULES
from inferplan.dialects.rules.scheduling import SCHEDULING_RULES
from inferplan.dialects.rules.sglang import SGLANG_RULES
from inferplan.dialects.sglang_defaults import READ
from inferplan.dialects.situation import NO_VARIABLES, NotKnownError, Situation
from inferplan.dialects.version_order import VersionNumber, known_version, version_number
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig

__all__ = ["RULES", "Severity", "Violation", "violations"]

RULES: Mapping[Engine, tuple[Rule, ...]] = {
    Engine.VLLM: (*SCHEDULING_RULES, *MEMORY_RULES, *PARALLELISM_RULES, *QUANTIZATION_RULES, *FRONT_END_RULES),
    Engine.SGLANG: SGLANG_RULES,
    Engine.TGI: (),
}
"""Every rule of an engine, in the order in which violations are reported."""


def violations(
    config: ServingConfig,
    accelerator: Accelerator,
    model: ModelCard | None,
    given: frozenset[str] = frozenset(),
    *,
    unknown: frozenset[str] = frozenset(),
    environment: Mapping[str, str | None] = NO_VARIABLES,
) -> tuple[Violation, ...]:
    """What this engine version does not do as it is told.

    Args:
        config: Settings as they run, defaults included, each with its origin.
        accelerator: GPUs of one replica.
        model: The model's geometry, None when it is not known.
        given: Keys that somebody set, beyond those whose origin says so.
        unknown: Keys that are set to something that could not be read.
        environment: Variables of the engine's process that are set; None where a value is not known.
    """
    cases = [
        Case(Situation(number, config, accelerator, model, unknown, environment), flags, given)
        for number, flags in _speaking(config)
    ]
    found = (_agreed(rule, cases) for rule in RULES[config.engine])
    return tuple(violation for violation in found if violation is not None)


def _speaking(config: ServingConfig) -> list[tuple[VersionNumber, Release | None]]:
    """The known releases that speak for the version; all of them where it is no version."""
    known = version_number(config.version) is not None
    if config.engine is Engine.VLLM:
        all_releases = [release(Engine.VLLM, version) for version in releases(Engine.VLLM)]
        return [
            (known_version(flags.version), flags) for flags in (speaking(config.version) if known else all_releases)
        ]
    if config.engine is Engine.SGLANG:
        return [(number, _sglang_flags(number)) for number in (speaking_sglang(config.version) if known else READ)]
    return []


def _sglang_flags(number: VersionNumber) -> Release | None:
    known = {known_version(version): version for version in releases(Engine.SGLANG)}
    return release(Engine.SGLANG, known[number]) if number in known else None


def _ask(rule: Rule, case: Case) -> Violation | None:
    try:
        return rule(case)
    except NotKnownError:
        return None


def _agreed(rule: Rule, cases: Sequence[Case]) -> Violation | None:
    """What all releases answer with the same severity; the first that does not settles it."""
    first = _ask(rule, cases[0]) if cases else None
    if first is None:
        return None
    answers = (_ask(rule, case) for case in cases[1:])
    return first if all(answer is not None and answer.severity is first.severity for answer in answers) else None
