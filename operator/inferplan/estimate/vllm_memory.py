"""vLLM's memory per GPU, from its settings: which release, which layout, which terms count. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.gpu import Interconnect, Vendor, usable_of
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import GIB, MIB, MIB_PER_GIB
from inferplan.estimate.extra_memory import draft_bytes, encoder_bytes, lora_bytes, profiles_images
from inferplan.estimate.graph_memory import COUNTED_SINCE, GraphMemory, capture_sizes, has_full_graphs
from inferplan.estimate.kv_compressed_config import is_compressed
from inferplan.estimate.kv_config import cache_settings
from inferplan.estimate.kv_plan import CacheStructure
from inferplan.estimate.kv_structure import cache_structure
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_model import MemoryModel, Overhead, StageMemory, Usable
from inferplan.estimate.memory_overheads import (
    COMPRESSED_GRAPH_BYTES_PER_LAYER,
    GRAPH_BYTES_PER_LAYER,
    Process,
    Span,
    non_torch_bytes,
)
from inferplan.estimate.memory_setting import Speculation, read_limits, read_ranks, read_speculation
from inferplan.estimate.memory_terms import NON_TORCH
from inferplan.estimate.number_formats import WeightFormat, served_format
from inferplan.estimate.placement import Layout, layout_for
from inferplan.estimate.profile_run import Share, profile_run
from inferplan.estimate.release import Release, is_legacy, release_of
from inferplan.estimate.sampler_memory import sampler_memory
from inferplan.estimate.weights import WeightTable, weight_table

_BITS_PER_BYTE = 8
_ROUNDS_UP_SINCE: Release = (0, 14, 0)
_FIRST_READ: Release = (0, 6, 0)


@dataclass(frozen=True)
class Sized:
    """A memory model with the limits that it is asked about.

    Attributes:
        model: The model.
        limits: The configured limits.
        assumptions: What was assumed, each a sentence.
        notes: What a reader should know, each a sentence.
    """

    model: MemoryModel
    limits: Limits
    assumptions: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Case:
    """What the parts are built from."""

    config: ServingConfig
    accelerator: Accelerator
    card: ModelCard
    release: Release
    layout: Layout
    table: WeightTable
    speculation: Speculation
    limits: Limits
    served: WeightFormat

    @property
    def legacy(self) -> bool:
        """Whether the first engine core (V0) runs: to 0.7, and on GPUs before Ampere until it was taken out."""
        return is_legacy(self.release, self.accelerator.compute_capability)

    @property
    def value_bytes(self) -> int:
        """Bytes of a value in the running format."""
        return self.served.bits // _BITS_PER_BYTE


def usable_memory(accelerator: Accelerator) -> Usable | Missing:
    """The memory of one GPU that the engine sees; why not where neither product nor size is known."""
    usable, gpu = accelerator.usable_mib, accelerator.gpu
    if usable is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, "the memory of the GPU is not known")
    if gpu is not None and not gpu.name and usable % MIB_PER_GIB == 0:
        usable = usable_of(usable)  # "24 GB": what the product is called, of which CUDA offers less
        return Usable(usable * MIB, measured=False, basis=f"{usable / MIB_PER_GIB:.2f} GiB of the nominal memory")
    measured = gpu is not None and gpu.usable_is_measured
    said = "as engines on this GPU log it" if measured else "from what NVML says"
    return Usable(usable * MIB, measured, f"{usable / MIB_PER_GIB:.2f} GiB of memory, {said}")


def vllm_memory(config: ServingConfig, accelerator: Accelerator, card: ModelCard) -> Sized | Missing:
    """The model of a vLLM engine; why there is none where a part cannot be sized."""
    usable = usable_memory(accelerator)
    if isinstance(usable, Missing):
        return usable
    case = _case(config, accelerator, card, usable)
    if isinstance(case, Missing):
        return case
    known, assumptions = case
    return Sized(_model(known, usable), known.limits, assumptions, tuple(_notes(known)))


def _case(
    config: ServingConfig, accelerator: Accelerator, card: ModelCard, usable: Usable
) -> tuple[_Case, tuple[str, ...]] | Missing:
    release = release_of(config.version)
    if release is None:
        return Missing(Reason.ENGINE_VERSION_UNKNOWN, f"vLLM's version {config.version} is not known")
    if release < _FIRST_READ:
        why = f"vLLM {config.version} counts what torch has reserved, not what it uses: not sized before 0.6"
        return Missing(Reason.ENGINE_VERSION_UNKNOWN, why)
    parts = (read_ranks(config), read_speculation(config), layout_for(config, accelerator.compute_capability, card))
    served = served_format(config, card)
    missing = next((part for part in (*parts, served) if isinstance(part, Missing)), None)
    if missing is not None:
        return missing
    _, speculation, layout = parts
    legacy = is_legacy(release, accelerator.compute_capability)
    limits, assumed = read_limits(config, card, usable.size_bytes / MIB, release, legacy=legacy)
    if isinstance(speculation, Missing) or isinstance(layout, Missing) or isinstance(served, Missing):
        raise TypeError("unreachable: checked above")
    table = weight_table(card, served, layout)
    case = _Case(config, accelerator, card, release, layout, table, speculation, limits, served)
    return case, (*assumed, *table.assumptions)


def _model(case: _Case, usable: Usable) -> MemoryModel:
    config, card = case.config, case.card
    eager = config.flag("enforce_eager") is True
    share = Share(
        release=case.release,
        tensor=case.layout.tensor,
        expert_shards=case.layout.expert_shards,
        value_bytes=case.value_bytes,
        compiled=not (case.legacy or eager),
        capability=case.accelerator.compute_capability,
        multiprocessors=case.accelerator.gpu.multiprocessors if case.accelerator.gpu is not None else None,
    )
    unsupported = case.speculation.method in {"ngram", "ngram_gpu", "draft_model", "suffix", "medusa", "mlp_speculator"}
    sampler = sampler_memory(case.release, card.architecture, legacy=case.legacy, unsupported_by_v2=unsupported)
    return MemoryModel(
        usable=usable,
        rounds_up=case.release >= _ROUNDS_UP_SINCE,
        stages=stage_memory(case.table, case.config),
        weights_basis=case.table.basis,
        run=profile_run(card, share, sampler),
        experts=not card.is_dense,
        graphs=None if eager else _graphs(case),
        graphs_counted=case.release >= COUNTED_SINCE,
        overheads=tuple(_overheads(case)),
        cache=_cache(case),
        fixed_bytes=config.integer("kv_cache_memory_bytes"),
    )


def stage_memory(table: WeightTable, config: ServingConfig) -> tuple[StageMemory, ...]:
    """Weights of each stage, less what cpu_offload_gb moves to the host (GiB per GPU)."""
    offloaded = (config.fraction("cpu_offload_gb") or 0.0) * GIB
    stages = []
    for index, total in enumerate(table.totals):
        part = total / max(1, table.size_bytes)
        span = tuple(max(0.0, size * part - offloaded) for size in (table.low, table.size_bytes, table.high))
        stages.append(StageMemory((span[0], span[1], span[2]), samples=index == len(table.totals) - 1))
    return tuple(stages)


def _graphs(case: _Case) -> GraphMemory:
    capability = case.accelerator.compute_capability
    return GraphMemory(
        sizes=capture_sizes(case.release, capability, case.config.integer("max_cudagraph_capture_size")),
        layers=-(-case.card.num_layers // case.layout.pipeline),
        bytes_per_layer=COMPRESSED_GRAPH_BYTES_PER_LAYER if is_compressed(case.card) else GRAPH_BYTES_PER_LAYER,
        full=has_full_graphs(case.release),
    )


def _cache(case: _Case) -> CacheStructure | Missing:
    settings = cache_settings(case.config, case.card, case.accelerator)
    return settings if isinstance(settings, Missing) else cache_structure(case.card, settings)


def _overheads(case: _Case) -> Iterator[Overhead]:
    process = _process(case)
    told = "one GPU" if process.ranks == 1 else f"{process.ranks} GPUs {'over' if process.linked else 'without'} NVLink"
    yield _other(
        NON_TORCH,
        non_torch_bytes(process),
        Source.MEASURED_ELSEWHERE,
        f"CUDA's kernels and communication buffers of {told}, as public logs have them",
    )
    lora = lora_bytes(case.config, case.card, case.layout, case.value_bytes)
    if lora is not None:
        yield _other("lora_slots", lora, Source.ROOFLINE, "max_loras x max_lora_rank x inputs and outputs")
    if case.speculation.has_draft:
        draft = draft_bytes(case.card, case.table, case.layout, case.value_bytes)
        yield _other("draft_model", draft, Source.RULE_OF_THUMB, "a draft head of unknown shape: one layer or more")
    if profiles_images(case.config, case.card):
        encoder = encoder_bytes(case.card, float(case.limits.tokens), case.value_bytes)
        yield _other("encoder_profile", encoder, Source.RULE_OF_THUMB, "encoding the largest images while profiling")


def _process(case: _Case) -> Process:
    gpu = case.accelerator.gpu
    return Process(
        release=case.release,
        legacy=case.legacy,
        graphs=case.config.flag("enforce_eager") is not True,
        ranks=case.layout.tensor * case.layout.pipeline,
        linked=gpu is not None and gpu.interconnect is not Interconnect.PCIE,
        capability=case.accelerator.compute_capability,
        multiprocessors=None if gpu is None else gpu.multiprocessors,
        amd=gpu is not None and gpu.vendor is Vendor.AMD,
    )


def _other(name: str, span: Span, source: Source, basis: str) -> Overhead:
    return Overhead(name, span, source, basis)


def _notes(case: _Case) -> Iterator[str]:
    if case.layout.tensor * case.layout.pipeline > (case.accelerator.count or 2**31):
        yield "tensor x pipeline parallelism needs more GPUs than the accelerator has"
    if case.accelerator.shared:
        yield "the GPU is shared with other containers: what they hold is not known"
