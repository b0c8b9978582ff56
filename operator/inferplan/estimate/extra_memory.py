"""Memory of what is not the model's decoder: LoRA slots, a draft model, encoders' profile. Pure."""

from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import GIB
from inferplan.estimate.memory_overheads import Span
from inferplan.estimate.placement import Layout, share
from inferplan.estimate.tensors import Role, layer_tensors
from inferplan.estimate.weights import WeightTable

_LORA_RANK = 16
_LORA_SPREAD = 0.35
_ADAPTED = frozenset({Role.ATTENTION, Role.MLP, Role.SHARED_EXPERTS})
_PACKED = {"qkv_proj": 3, "gate_proj": 2}
_NO_IMAGES = frozenset({"0", "{}"})


def lora_bytes(config: ServingConfig, card: ModelCard, layout: Layout, value_bytes: int) -> Span | None:
    """Slots for adapters: max_loras x max_lora_rank x (inputs + outputs) of every adapted matrix; None without LoRA.

    vllm/lora/layers/ (0.6.6 to 0.33.0): A and B are allocated for all slots at start; fused matrices have an A for
    each part. Llama-3.2-3B, one slot of rank 64: 28 x 54,272 x 64 x 2 = 195 MB (Unsloth's logs: 0.23 GiB with the
    head's slots).
    """
    if config.flag("enable_lora") is not True:
        return None
    slots, rank = config.integer("max_loras") or 1, config.integer("max_lora_rank") or _LORA_RANK
    values = sum(_adapted(card, layout, count, kind) for kind, count in enumerate(card.layer_counts.values()))
    size = float(slots * rank * values * value_bytes)
    return (1 - _LORA_SPREAD) * size, size, (1 + _LORA_SPREAD) * size


def _adapted(card: ModelCard, layout: Layout, count: int, kind: int) -> int:
    """Inputs and outputs of the adapted matrices of one kind of layer, times how many there are."""
    layer = list(card.layer_counts)[kind]
    total = 0
    for tensor in layer_tensors(layer, card.hidden_size):
        if tensor.linear and tensor.role in _ADAPTED:
            part = share(tensor, layout)
            packed = next((parts for name, parts in _PACKED.items() if tensor.module.endswith(name)), 1)
            total += packed * part.inputs + part.outputs
    return count * total


def draft_bytes(card: ModelCard, table: WeightTable, layout: Layout, value_bytes: int) -> Span:
    """A draft head whose checkpoint is not known, bytes per GPU: from one decoder layer to four and a head of its own.

    EAGLE-3 heads are one layer, a projection of three hidden states and often a head of 32,000 entries
    (vllm/model_executor/models/llama_eagle3.py); DFlash drafters have several layers. A rule of thumb.
    """
    layer = table.size_bytes / max(1, len(card.layers)) * layout.pipeline
    head = card.vocab_size * card.hidden_size * value_bytes / layout.tensor
    fusion = 3 * card.hidden_size**2 * value_bytes / layout.tensor
    return 0.5 * layer, layer + fusion + 0.5 * head, 4 * layer + fusion + 2 * head


def profiles_images(config: ServingConfig, card: ModelCard) -> bool:
    """Whether the profile run encodes images or sound: the model has an encoder, and no setting leaves it out."""
    left_out = any(config.flag(key) is True for key in ("language_model_only", "skip_mm_profiling"))
    limits = (config.text("limit_mm_per_prompt") or "").replace(" ", "")
    none_allowed = limits in _NO_IMAGES or (bool(limits) and ":" in limits and _only_zeros(limits))
    return bool(card.towers) and not left_out and not none_allowed


def encoder_bytes(card: ModelCard, tokens: float, value_bytes: int) -> Span:
    """What encoding adds to the peak: the encoder's output for a step's tokens, and its own activations.

    vllm/v1/worker/gpu_model_runner.py, profile_run: the output stays while the decoder runs. How large images are is
    the processor's business: a wide interval.
    """
    output = tokens * card.hidden_size * value_bytes
    return 0.5 * output, output + 0.25 * GIB, 2 * output + 2.5 * GIB


def _only_zeros(limits: str) -> bool:
    return all(part.rsplit(":", 1)[-1].strip('"}') == "0" for part in limits.strip("{}").split(","))
