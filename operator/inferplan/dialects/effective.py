"""What really runs: explicit settings, and the version's own defaults where they are certain. Pure.

A version that is no known release gets a default only where the known ones on both sides of it agree; a version
newer than all, where the two newest do.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from types import MappingProxyType

from inferplan.api.values import Engine
from inferplan.dialects.registry import Release, basis
from inferplan.dialects.sglang_defaults import READ, sglang_defaults
from inferplan.dialects.situation import NO_VARIABLES, Situation
from inferplan.dialects.version_order import VersionNumber, known_version, version_number
from inferplan.dialects.vllm_defaults import vllm_defaults
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue, Surroundings


def defaults(
    engine: Engine, version: str | None, accelerator: Accelerator, model: ModelCard | None = None
) -> Mapping[str, Setting]:
    """Defaults of this version on this hardware where nothing is set; absent where they are not certain."""
    return effective(ServingConfig(engine, version), accelerator, model=model).settings


def effective(
    config: ServingConfig,
    accelerator: Accelerator,
    unknown: frozenset[str] = frozenset(),
    *,
    model: ModelCard | None = None,
    environment: Mapping[str, str | None] = NO_VARIABLES,
) -> ServingConfig:
    """Explicit settings and this version's defaults, each with its origin.

    Args:
        config: What is set.
        accelerator: GPUs of one replica.
        unknown: Keys that are set to something that could not be read: they have no default, nor has what
            depends on them.
        model: The model's geometry: some defaults depend on it.
        environment: Variables of the engine's process that are set; None where a value is not known.
    """
    situation = Situation(VersionNumber((0,)), config, accelerator, model, unknown, environment)
    known = _agreed(_defaults_by_release(situation))
    filled = config.with_defaults(
        {key: Setting(value, Origin.VERSION_DEFAULT) for key, value in known.items() if key not in unknown}
    )
    return replace(filled, surroundings=Surroundings(unknown, environment))


def changed(
    config: ServingConfig,
    settings: Mapping[str, Setting | None],
    accelerator: Accelerator,
    model: ModelCard | None = None,
) -> ServingConfig:
    """The configuration with other settings, and the defaults that then hold.

    Defaults hang on one another: without --no-enable-chunked-prefill vLLM takes 2,048 tokens a step on an A100 instead
    of max_model_len. Where no defaults were filled in, none are.

    Args:
        config: What is set, with the defaults that hold today.
        settings: What is set instead, by key; None for what is taken out.
        accelerator: GPUs of one replica.
        model: The model's geometry.
    """
    kept = {key: setting for key, setting in config.settings.items() if key not in settings}
    given = {key: setting for key, setting in settings.items() if setting is not None}
    around = config.surroundings
    if around is None:
        return replace(config, settings=MappingProxyType({**kept, **given}))
    stated = {key: setting for key, setting in kept.items() if setting.origin is not Origin.VERSION_DEFAULT}
    bare = replace(config, settings=MappingProxyType({**stated, **given}))
    unknown = around.unknown - settings.keys()
    return effective(bare, accelerator, unknown, model=model, environment=around.environment)


def _defaults_by_release(situation: Situation) -> Iterable[Mapping[str, SettingValue]]:
    """One set of defaults for each known release that speaks for the version."""
    config = situation.config
    if config.engine is Engine.VLLM:
        return [
            vllm_defaults(situation.under(known_version(found.version)), found) for found in speaking(config.version)
        ]
    if config.engine is Engine.SGLANG:
        return [sglang_defaults(situation.under(number)) for number in speaking_sglang(config.version)]
    return []


def speaking(version: str | None) -> tuple[Release, ...]:
    """The known vLLM releases that speak for a version: itself, or those on both sides."""
    found = basis(Engine.VLLM, version)
    if found is None:
        return ()
    return (found.release,) if found.also is None else (found.release, found.also)


def speaking_sglang(version: str | None) -> tuple[VersionNumber, ...]:
    """The SGLang releases that were read and speak for a version: itself, or those on both sides."""
    wanted = version_number(version)
    if wanted is None or wanted < READ[0]:
        return ()
    place = bisect_left(READ, wanted)
    if place < len(READ) and READ[place] == wanted:
        return (wanted,)
    return READ[place - 1 : place + 1] if place < len(READ) else READ[-2:]


def _agreed(sets: Iterable[Mapping[str, SettingValue]]) -> Mapping[str, SettingValue]:
    """What all of them say alike."""
    return reduce(_common, sets) if (sets := list(sets)) else {}


def _common(mine: Mapping[str, SettingValue], theirs: Mapping[str, SettingValue]) -> Mapping[str, SettingValue]:
    return {key: value for key, value in mine.items() if theirs.get(key) == value}
