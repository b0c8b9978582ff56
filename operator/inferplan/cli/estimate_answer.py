"""One instance's document → what the model says of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inferplan.api.estimate import EstimatedInstance
from inferplan.api.reasons import Reason
from inferplan.cli.documents import Document
from inferplan.cli.errors import BadInputError
from inferplan.cli.estimate_document import Answer
from inferplan.cli.estimate_fit import cache_tokens, doubt, no_speed
from inferplan.cli.estimate_learned import Learned, learned
from inferplan.cli.estimate_load import Flags, load_of
from inferplan.cli.estimate_spec import strict
from inferplan.cli.inputs import Inputs, inputs_of
from inferplan.cli.output import encodable
from inferplan.dialects.registry import releases
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.between import performance_between
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import UNKNOWN_RELEASES, MemoryEstimate, least_of
from inferplan.estimate.port import EstimateInput, Estimator
from inferplan.estimate.result import Performance
from inferplan.estimate.speed import StepTimeEstimator
from inferplan.observe.assemble import Assembled, Sources, SpecError, assemble

Sizer = Callable[[ServingConfig, Accelerator, ModelCard], MemoryEstimate | Missing]
"""Sizes the memory of one GPU."""

_FIELDS = {
    Reason.MODEL_CONFIG_MISSING: "spec.model",
    Reason.ACCELERATOR_UNKNOWN: "spec.accelerator",
    Reason.SETTING_UNKNOWN: "spec.currentConfig",
    Reason.ENGINE_REFUSES: "spec.currentConfig",
    Reason.ENGINE_VERSION_UNKNOWN: "spec.engineVersion",
    Reason.ENGINE_END_OF_LIFE: "spec.engine",
}
"""The field that is meant where a part has no basis."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every document.

    Attributes:
        flags: The load, where the command line fixes it.
        size: Sizes memory.
        estimator: Estimates speed.
    """

    flags: Flags
    size: Sizer
    estimator: Estimator

    def taught(self, found: Learned) -> Estimator:
        """The estimator with what was learned of an instance; only the bundled one can be taught."""
        if found.calibration is None or not isinstance(self.estimator, StepTimeEstimator):
            return self.estimator
        return StepTimeEstimator(calibration=found.calibration)


def answer(instance: Document, beside: Sequence[Document], asked: Asked) -> Answer:
    """What the model says of one instance.

    Args:
        instance: Its document.
        beside: Documents that may belong to it.
        asked: What is asked.

    Raises:
        BadInputError: The document cannot be used, or nothing can be told of it.
    """
    loose, notes = strict(instance), list[str]()
    inputs = inputs_of(loose.document, beside, notes.append)
    assembled, about_version = _assembled(inputs, instance.place)
    seen = assembled.observation
    _check_count(inputs, seen.config, instance.place)
    stated = load_of(inputs.spec.workload, asked.flags, _replicas(inputs, beside))
    memory = _memory(seen, asked) if not about_version else _memory_of_any(inputs, instance.place, seen, asked)
    known = learned(instance, inputs, assembled)
    performance = _performance(seen, stated.load, memory, asked.taught(known))
    if isinstance(memory, Missing) and isinstance(performance, Missing):
        why = memory.reason.removeprefix("model config: ")
        raise BadInputError(*(f"{instance.place}: {line}" for line in (f"{_field(memory, inputs)}: {why}", *notes)))
    return Answer(
        instance=_which(instance),
        config=seen.config,
        accelerator=seen.accelerator,
        load=stated.load,
        memory=memory,
        performance=performance,
        assumptions=_once(
            *loose.assumptions, *about_version, *_assumed(seen.model, memory, performance), *stated.assumptions
        ),
        notes=_once(*notes, *_unread(assembled), *stated.notes, *known.notes, *_noted(memory, performance)),
    )


def _assembled(inputs: Inputs, place: str) -> tuple[Assembled, tuple[str, ...]]:
    """The observation; of a version that nobody states, that of the newest known release."""
    engine = inputs.spec.engine
    if inputs.workload is not None or inputs.spec.engine_version is not None:
        found = _observed(inputs, None, place)
        if found.observation.config.version is not None:
            return found, ()
    newest = releases(engine)[-1]
    told = f"the engine's version is not known: {engine} {newest}, the newest release that is known, is assumed"
    if UNKNOWN_RELEASES.get(engine):
        told += "; memory is that of the release that leaves least for the KV cache"
    return _observed(inputs, newest, place), (told,)


def _observed(inputs: Inputs, version: str | None, place: str) -> Assembled:
    workload = inputs.workload
    try:
        return assemble(
            Sources(
                spec=inputs.spec,
                container=workload.container if workload is not None else None,
                node_labels=inputs.node_labels,
                running_version=version,
                model_config=inputs.model_config,
            )
        )
    except SpecError as error:
        raise BadInputError(f"{place}: {error}") from None


def _check_count(inputs: Inputs, config: ServingConfig, place: str) -> None:
    """The GPUs that the spec states must hold the ranks that its settings want."""
    count = inputs.spec.accelerator.count if inputs.spec.accelerator is not None else None
    tensor, pipeline = config.integer("tensor_parallel_size") or 1, config.integer("pipeline_parallel_size") or 1
    if count is not None and count < tensor * pipeline:
        ranks = f"tensor_parallel_size {tensor} x pipeline_parallel_size {pipeline}"
        raise BadInputError(
            f"{place}: spec.accelerator.count: {count} is less than {ranks}; it must be {tensor * pipeline} or more"
        )


def _replicas(inputs: Inputs, beside: Sequence[Document]) -> int | None:
    """spec.replicas of the workload, 1 where that is left to Kubernetes; None without a workload."""
    workload = inputs.workload
    if workload is None:
        return None
    found = next(entry for entry in beside if (entry.kind, entry.name) == (workload.kind, workload.name))
    replicas = found.content["spec"].get("replicas", 1)
    return replicas if type(replicas) is int and replicas >= 1 else None


def _memory(seen: Observation, asked: Asked) -> MemoryEstimate | Missing:
    if isinstance(seen.model, Missing):
        return seen.model
    return asked.size(seen.config, seen.accelerator, seen.model)


def _memory_of_any(inputs: Inputs, place: str, seen: Observation, asked: Asked) -> MemoryEstimate | Missing:
    """Memory where nobody states the version: what counts changed between releases by gigabytes."""
    versions = UNKNOWN_RELEASES.get(seen.config.engine, ())
    older = [_memory(_observed(inputs, version, place).observation, asked) for version in versions]
    return least_of([_memory(seen, asked), *older])


def _performance(
    seen: Observation, load: Load | Missing, memory: MemoryEstimate | Missing, estimator: Estimator
) -> Performance | Missing:
    if isinstance(seen.model, Missing):
        return seen.model
    if isinstance(load, Missing):
        return load
    tokens = cache_tokens(seen.config, memory, load)
    expected = None if tokens is None else tokens.expected
    situation = EstimateInput(seen.config, seen.accelerator, seen.model, expected)
    ends = (0.0, 0.0) if tokens is None else (tokens.low, tokens.high)
    return no_speed(situation, memory, load) or performance_between(estimator, situation, load, ends)


def _field(missing: Missing, inputs: Inputs) -> str:
    model = inputs.spec.model
    if missing.code is not Reason.MODEL_UNSUPPORTED or model is None:
        return _FIELDS.get(missing.code, "spec")
    if model.config is not None:
        return "spec.model.config"
    return "spec.model.configMapRef" if model.config_map_ref is not None else "spec.model.id"


def _assumed(*parts: ModelCard | MemoryEstimate | Performance | Missing) -> tuple[str, ...]:
    return tuple(told for part in parts if not isinstance(part, Missing) for told in part.assumptions)


def _unread(assembled: Assembled) -> tuple[str, ...]:
    return (*(f"{problem.where}: {problem.reason}" for problem in assembled.unreadable), *assembled.notes)


def _noted(memory: MemoryEstimate | Missing, performance: Performance | Missing) -> tuple[str, ...]:
    told = tuple(note for part in (memory, performance) if not isinstance(part, Missing) for note in part.notes)
    return told if isinstance(performance, Missing) else (*told, *doubt(memory))


def _which(instance: Document) -> EstimatedInstance:
    namespace = str(instance.metadata.get("namespace") or "default")
    name, place = encodable(instance.name) or None, encodable(instance.place)
    return EstimatedInstance(namespace=encodable(namespace), name=name, place=place)


def _once(*sentences: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentences))
