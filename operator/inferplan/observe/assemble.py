"""What was read, from a cluster, from files or from a request, put together into one Observation. Pure."""

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from inferplan.api.base import Scalar
from inferplan.api.instance import OPTIMIZER_SPELLINGS, AcceleratorSpec, ConstraintsSpec, InstanceSpec
from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.effective import effective
from inferplan.dialects.keys import allowed, neutral_key, read_plain
from inferplan.dialects.masking import Masker
from inferplan.dialects.reading import Reading, read_engine, tagged_version
from inferplan.dialects.report import environment_of
from inferplan.dialects.words import Unreadable, UnreadableCode
from inferplan.domain.drift import VersionSource
from inferplan.domain.gpu import only_memory
from inferplan.domain.gpus_labels import from_labels, requested, with_profile
from inferplan.domain.hardware import Accelerator, accelerator_with, from_catalogue, merge
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_lookup import model_card
from inferplan.domain.observation import (
    NO_ARGUMENTS,
    NO_MODEL_CONFIG,
    Metrics,
    Observation,
    ReplicaMetrics,
)
from inferplan.domain.owner import Owner
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.domain.units import MIB_PER_GIB
from inferplan.observe.drift import drift_of, notes_on
from inferplan.observe.fleet_queries import label_problem


class SpecError(ValueError):
    """A spec that the API server accepts and nobody can use; the message names field, value and what is allowed."""


@dataclass(frozen=True)
class Sources:
    """Everything that was read of one instance.

    Attributes:
        spec: The owner's word.
        container: The engine's container, None without a workload.
        node_labels: Labels of the node that runs a pod of the workload; empty when none runs.
        running_version: What the engine answered on /version.
        model_config: config.json that the spec points to or holds.
        metrics: What was measured.
        replica_metrics: The replicas side by side.
        replicas: Ready replicas that the metrics cover.
        owners: Who else keeps the workload as it is.
    """

    spec: InstanceSpec
    container: Container | None = None
    node_labels: Mapping[str, str] = field(default_factory=dict)
    running_version: str | None = None
    model_config: Mapping[str, Any] | None = None
    metrics: Metrics = field(default_factory=Metrics)
    replica_metrics: tuple[ReplicaMetrics, ...] = ()
    replicas: int | None = None
    owners: tuple[Owner, ...] = ()


@dataclass(frozen=True)
class Assembled:
    """The observation, and what could not be read on the way.

    Attributes:
        observation: What was seen.
        unreadable: What of the arguments could not be read.
        unread: Why the arguments were not read at all; None where they were, or there are none.
        notes: What a reader of the settings should know, each a sentence.
    """

    observation: Observation
    unreadable: tuple[Unreadable, ...] = ()
    unread: Unreadable | None = None
    notes: tuple[str, ...] = ()


def assemble(sources: Sources) -> Assembled:
    """Builds the observation: the spec overrides the workload, the workload overrides the version's defaults.

    Raises:
        SpecError: A key of currentConfig or forbid is unknown.
    """
    check_keys(sources.spec.engine, sources.spec.constraints)
    reading = _reading(sources)
    config = _explicit_config(sources, reading)
    accelerator, model = _accelerator(sources), _model(sources, config.model)
    observation = Observation(
        config=_with_defaults(config, reading, accelerator, model),
        accelerator=accelerator,
        model=model,
        metrics=sources.metrics,
        replica_metrics=sources.replica_metrics,
        replicas=sources.replicas,
        declared=sources.spec.workload,
        owners=sources.owners,
        drift=NO_ARGUMENTS if reading is None else drift_of(reading, accelerator, model, _version_source(sources)),
    )
    if isinstance(reading, Unreadable):
        return Assembled(observation, (reading,), reading)
    if reading is None:
        return Assembled(observation)
    unreadable = tuple(map(Masker(reading).unreadable, reading.unreadable))
    return Assembled(observation, unreadable, notes=notes_on(reading))


def _reading(sources: Sources) -> Reading | Unreadable | None:
    """What the container says, None without one."""
    container = sources.container
    if container is None:
        return None
    reading = read_engine(container, _version(sources))
    if reading is not None:
        return reading
    why = "its command starts no engine that is known"
    return Unreadable(UnreadableCode.UNKNOWN_START, f"containers[{container.name}].command", why)


def _with_defaults(
    config: ServingConfig, reading: Reading | Unreadable | None, accelerator: Accelerator, model: ModelCard | Missing
) -> ServingConfig:
    """The version's defaults for what is not set; none where settings may be hidden."""
    card = None if isinstance(model, Missing) else model
    if reading is None:
        return effective(config, accelerator, model=card)
    if isinstance(reading, Unreadable) or not reading.complete:
        return config
    unknown = reading.unknown - config.settings.keys()
    read = replace(config, complete=not unknown)
    return effective(read, accelerator, unknown, model=card, environment=environment_of(reading))


def policy_of(spec: InstanceSpec, *, rules_of_thumb: bool = False) -> Policy:
    """What the owner wants and allows. Rules of thumb speak only where no live workload could be changed."""
    return Policy(
        objective=spec.objective,
        slo=spec.slo,
        optimizers=spec.constraints.optimizers,
        forbid=spec.constraints.forbid,
        min_max_model_len=spec.constraints.min_max_model_len,
        minimum_gain_percent=spec.constraints.minimum_gain_percent,
        checkpoints=spec.model.checkpoints if spec.model is not None else (),
        rules_of_thumb=rules_of_thumb,
    )


def check_keys(engine: Engine, constraints: ConstraintsSpec) -> None:
    """Every name in constraints.forbid must be an optimizer, a key or a flag.

    Raises:
        SpecError: One is not.
    """
    for name in constraints.forbid:
        if name not in OPTIMIZER_SPELLINGS:
            _key(engine, name, "spec.constraints.forbid", negations=True)


def check_selector(selector: Mapping[str, str]) -> None:
    """Every name in metrics.selector must be a label's.

    Raises:
        SpecError: One is not, or is not for the owner to set.
    """
    for name in selector:
        problem = label_problem(name)
        if problem is not None:
            raise SpecError(f"spec.metrics.selector: {problem}")


def settings_of(engine: Engine, current_config: Mapping[str, Scalar]) -> Mapping[str, Setting]:
    """The spec's own settings by engine-neutral key; null says nothing of a setting.

    Raises:
        SpecError: A key is unknown, given twice in two spellings, or its value is none of that setting.
    """
    keyed = [(_key(engine, name, "spec.currentConfig"), name, value) for name, value in current_config.items()]
    settings: dict[str, Setting] = {}
    for key, name, value in keyed:
        if value is None:
            continue
        if key in settings:
            raise SpecError(f'spec.currentConfig: "{name}" sets {key}, which another key there sets already')
        settings[key] = _setting(key, name, value)
    return MappingProxyType(settings)


def _setting(key: str, name: str, value: SettingValue) -> Setting:
    try:
        return Setting(read_plain(key, value), Origin.SPEC)
    except (ValueError, OverflowError):
        short = reprlib.repr(value)
        raise SpecError(f"spec.currentConfig.{name}: {short} is not allowed; it must be {allowed(key)}") from None


def _key(engine: Engine, name: str, where: str, *, negations: bool = False) -> str:
    try:
        return neutral_key(engine, name, negations=negations)
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None


def _explicit_config(sources: Sources, reading: Reading | Unreadable | None) -> ServingConfig:
    spec = sources.spec
    read = reading.config if isinstance(reading, Reading) else ServingConfig(spec.engine)
    settings = {**read.settings, **settings_of(spec.engine, spec.current_config)}
    model = spec.model.id if spec.model is not None and spec.model.id is not None else read.model
    return ServingConfig(spec.engine, _version(sources), model, MappingProxyType(settings))


def _version(sources: Sources) -> str | None:
    """What the owner states, else what runs, else what the image's tag says, where it can be trusted."""
    stated = sources.spec.engine_version or sources.running_version
    if stated is not None or sources.container is None:
        return stated
    return tagged_version(sources.container, sources.spec.engine)


def _version_source(sources: Sources) -> VersionSource | None:
    if sources.spec.engine_version is not None:
        return VersionSource.SPEC
    if sources.running_version is not None:
        return VersionSource.ENGINE
    return VersionSource.IMAGE if _version(sources) is not None else None


def _model(sources: Sources, model_id: str | None) -> ModelCard | Missing:
    """What config.json says, filled up from the catalogue by the id that the owner states or the engine serves."""
    model = sources.spec.model
    config = sources.model_config or (model.config if model is not None else None)
    pointed = model is not None and model.config_map_ref is not None  # what it points to is missing, not unstated
    known = config or (model_id and not pointed)
    return model_card(config, model_id) if known else NO_MODEL_CONFIG


def _accelerator(sources: Sources) -> Accelerator:
    """What the owner states, else what the node's labels say; the container's limits give the number, and a slice."""
    wanted = requested(sources.container.limits if sources.container is not None else {})
    labelled = from_labels(sources.node_labels, wanted.product)
    stated = _stated(sources.spec.accelerator, wanted.product)
    return merge(merge(stated, labelled), Accelerator(count=wanted.count, shared=wanted.shared))


def _stated(spec: AcceleratorSpec | None, profile: str | None) -> Accelerator:
    if spec is None:
        return Accelerator()
    if spec.product is None:
        gpu = only_memory(round(spec.memory_gib * MIB_PER_GIB)) if spec.memory_gib is not None else None
        return replace(accelerator_with(gpu, None), count=spec.count, source="spec")
    product = with_profile(spec.product, profile)
    return from_catalogue(product, spec.count, spec.memory_gib)
