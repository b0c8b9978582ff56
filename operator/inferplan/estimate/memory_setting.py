"""What of an engine's settings sizes memory, read with the assumptions that had to be made. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.release import Release

_LARGE_GPU_MIB = 70 * 1024
_FEW_TOKENS, _MANY_TOKENS = 2048, 8192
_FEW_SEQUENCES, _MANY_SEQUENCES = 256, 1024
_SHARE, _SHARE_SINCE_0_20_2 = 0.9, 0.92
_LEGACY_CHUNKED_ABOVE = 32_768
_MOST_RANKS = 65_536


@dataclass(frozen=True)
class Ranks:
    """The parallel layout of one engine.

    Attributes:
        tensor: Ranks that share each layer.
        pipeline: Stages.
        data: Engines beside each other, which share experts.
        experts: Whether ranks hold whole experts.
    """

    tensor: int
    pipeline: int
    data: int
    experts: bool

    @property
    def of_one_engine(self) -> int:
        """GPUs of one engine."""
        return self.tensor * self.pipeline


@dataclass(frozen=True)
class Speculation:
    """How tokens are speculated.

    Attributes:
        method: The engine's own word, "" for none.
        tokens: Tokens per step.
        model: The draft model, None where there is none.
    """

    method: str = ""
    tokens: int = 0
    model: str | None = None

    @property
    def has_draft(self) -> bool:
        """Whether weights of their own are loaded, beside the model's prediction layers."""
        return self.method not in {"", "ngram", "ngram_gpu", "suffix"} and not self.predicts

    @property
    def predicts(self) -> bool:
        """Whether the checkpoint's own multi-token-prediction layers draft."""
        return self.method.endswith("mtp")


def read_ranks(config: ServingConfig) -> Ranks | Missing:
    """The layout; why not where a degree is not known or absurd."""
    degrees = {}
    for key, least in (("tensor_parallel_size", None), ("pipeline_parallel_size", 1), ("data_parallel_size", 1)):
        degree = config.integer(key) if key in config.settings else least
        if degree is None or not 1 <= degree <= _MOST_RANKS:
            stated = "is not known" if degree is None else f"is {degree}"
            return Missing(Reason.SETTING_UNKNOWN, f"{key} {stated}: how GPUs share the model is not known")
        degrees[key] = degree
    tensor, pipeline, data = degrees.values()
    expert_ranks = config.integer("expert_parallel_size")
    experts = config.flag("enable_expert_parallel") is True or (expert_ranks is not None and expert_ranks > 1)
    return Ranks(tensor, pipeline, data, experts)


def read_speculation(config: ServingConfig) -> Speculation | Missing:
    """What speculative_config says: JSON, or a method's name."""
    text = config.text("speculative_config")
    if text is None or text in {"", "none", "None", "{}"}:
        return Speculation()
    try:
        value = json.loads(text)
    except ValueError:
        value = {"method": text}
    if not isinstance(value, Mapping):
        return Missing(Reason.SETTING_UNKNOWN, "speculative_config is no JSON object")
    model, tokens = value.get("model"), value.get("num_speculative_tokens")
    method = value.get("method") or ("draft_model" if model else "mtp")
    return Speculation(str(method).lower(), tokens if isinstance(tokens, int) else 1, str(model) if model else None)


def read_limits(
    config: ServingConfig, card: ModelCard, total_mib: float, release: Release, *, legacy: bool
) -> tuple[Limits, tuple[str, ...]]:
    """Scheduler limits and share; what is not set is taken as the engine takes it, with a sentence for each guess."""
    assumed: list[str] = []
    large = total_mib >= _LARGE_GPU_MIB
    context = config.integer("max_model_len") or _context(card, assumed)
    sequences = config.integer("max_batch_size")
    if sequences is None:
        sequences = _MANY_SEQUENCES if large and not legacy else _FEW_SEQUENCES
        assumed.append(f"max_num_seqs is not known; {sequences} assumed")
    tokens = config.integer("max_num_batched_tokens")
    if tokens is None:
        chunked = context > _LEGACY_CHUNKED_ABOVE or not legacy
        tokens = (_MANY_TOKENS if large and not legacy else _FEW_TOKENS) if chunked else max(context, _FEW_TOKENS)
        assumed.append(f"max_num_batched_tokens is not known; {tokens} assumed")
    share = config.fraction("gpu_memory_utilization")
    if share is None:
        share = _SHARE_SINCE_0_20_2 if release >= (0, 20, 2) else _SHARE
        assumed.append(f"gpu_memory_utilization is not known; the default {share} assumed")
    return Limits(share, sequences, tokens, context), tuple(assumed)


def _context(card: ModelCard, assumed: list[str]) -> int:
    if card.max_position_embeddings is not None:
        return card.max_position_embeddings
    assumed.append("max_model_len is not known; 8192 assumed")
    return 8192
