"""Weights on one GPU: bytes by role and pipeline stage, and what a token passes of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from inferplan.domain.architecture import Attention, CompressedAttention, LatentAttention, Mixer
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Scheme
from inferplan.estimate.number_formats import WeightFormat
from inferplan.estimate.placement import VOCABULARY_PADDING, Layout, allocated, round_up, share, stages
from inferplan.estimate.stored import compute_format, head_scheme, inventory, stored_bytes
from inferplan.estimate.tensor import is_family
from inferplan.estimate.tensors import Role, Sharding, Tensor

_BITS_PER_BYTE = 8
_MROPE_FAMILIES = ("qwen2vl", "qwen25vl", "qwen25omni", "qwen3vl", "qwen3omni", "qwen35")
_MROPE_POSITIONS = 4
_HALF_BYTES = 2
_ARITHMETIC_ERROR = 0.005
_LAYOUT_ERROR = 0.01
"""Relative half-widths of what the arithmetic leaves open: of all bytes, and on top of that of quantized matrices,
whose layout kernels choose. Against "Model loading took" in kv_capacity_cases.json: unquantized models without LoRA
come out within 0.1 %, quantized ones whose format is known within 1.8 %."""


@dataclass(frozen=True)
class WeightEntry:
    """One kind of matrix on one GPU.

    Attributes:
        role: What it is for.
        module: Its name.
        layers: Numbers of the layers that have it; empty outside of them.
        parameters: Values on this GPU, per layer.
        size_bytes: Bytes on this GPU, per layer, scales and rounding included.
        weights: Stored format.
        compute: Format in which it is multiplied.
        active: Share of it that one token passes; 1.0 but for experts, and 0.0 for what is only looked up. An
            embedding that is the head too (tied) has 1.0, and there is no entry of a head.
        copies: Experts on this GPU, 1 elsewhere.
        scheme: How it is quantized; None where it is not.
    """

    role: Role
    module: str
    layers: tuple[int, ...]
    parameters: int
    size_bytes: int
    weights: NumberFormat
    compute: NumberFormat
    active: float = 1.0
    copies: int = 1
    scheme: Scheme | None = None

    @property
    def count(self) -> int:
        """How many layers have it, 1 outside of them."""
        return len(self.layers) or 1

    @property
    def bytes_per_copy(self) -> float:
        """Bytes of one expert's share; of all where there are no experts."""
        return self.size_bytes / self.copies


@dataclass(frozen=True)
class WeightTable:
    """The weights of a model as ranks share them.

    Attributes:
        entries: Every kind of matrix on a GPU, all stages together.
        stage_bytes: Bytes per GPU by role, one mapping per pipeline stage as pairs.
        parameters: Parameters of the checkpoint, without multi-token-prediction layers.
        active_parameters: Those that one token passes, the row of the embedding aside.
        low: Lower end of the heaviest GPU's bytes.
        high: Upper end.
        basis: One sentence on how the bytes come about.
        assumptions: What was assumed, each a sentence.
    """

    entries: tuple[WeightEntry, ...]
    stage_bytes: tuple[tuple[tuple[Role, int], ...], ...]
    parameters: int
    active_parameters: int
    low: int
    high: int
    basis: str
    assumptions: tuple[str, ...]

    @property
    def totals(self) -> tuple[int, ...]:
        """Bytes per GPU of each stage."""
        return tuple(sum(size for _, size in roles) for roles in self.stage_bytes)

    @property
    def size_bytes(self) -> int:
        """Bytes on the GPU that holds most."""
        return max(self.totals)

    def by_role(self, stage: int | None = None) -> dict[Role, int]:
        """Bytes per GPU by role, of one stage or of the heaviest."""
        index = self.totals.index(self.size_bytes) if stage is None else stage
        return dict(self.stage_bytes[index])

    @property
    def bytes_per_expert(self) -> float:
        """Bytes of one routed expert on one GPU in the first layer that has experts; 0.0 without."""
        experts = [entry for entry in self.entries if entry.role is Role.EXPERTS]
        return sum(entry.bytes_per_copy for entry in experts if entry.layers[0] == experts[0].layers[0])

    def active_by_compute(self) -> dict[NumberFormat, float]:
        """Parameters on one GPU (all stages together) that one token is multiplied with, by the format they run in."""
        found: dict[NumberFormat, float] = {}
        for entry in self.entries:
            share_of = entry.parameters * entry.count * entry.active
            found[entry.compute] = found.get(entry.compute, 0.0) + share_of
        return found


@lru_cache(maxsize=1024)
def weight_table(card: ModelCard, served: WeightFormat, layout: Layout) -> WeightTable:
    """Sizes the weights of a model on each rank.

    Llama-3.1-8B, bf16, TP 1: 8,030,261,248 parameters, 16,060,522,496 bytes, and 33,554,432 of the rotary table.

    Args:
        card: The model.
        served: How its weights are stored when it is served.
        layout: How ranks share them.
    """
    entries = (*_layer_entries(card, served, layout), *_outer_entries(card, served, layout))
    by_stage = tuple(
        _stage(entries, index, span, layout) for index, span in enumerate(stages(len(card.layers), layout))
    )
    heaviest = max(by_stage, key=lambda roles: sum(roles.values()))
    size, open_part = sum(heaviest.values()), _open_bytes(entries, served)
    width = int(size * _ARITHMETIC_ERROR + open_part)
    parameters, active = _parameters(card, served)
    return WeightTable(
        entries=entries,
        stage_bytes=tuple(tuple(roles.items()) for roles in by_stage),
        parameters=parameters,
        active_parameters=active,
        low=max(0, size - width),
        high=size + width,
        basis=_basis(parameters, served),
        assumptions=served.assumptions,
    )


def _layer_entries(card: ModelCard, served: WeightFormat, layout: Layout) -> Iterator[WeightEntry]:
    own = NumberFormat.BF16 if served.bits <= _HALF_BYTES * _BITS_PER_BYTE else NumberFormat.FP32
    for stored in inventory(card, served.quantization):
        shape = share(stored.tensor, layout)
        yield WeightEntry(
            role=stored.tensor.role,
            module=stored.tensor.module,
            layers=stored.layers,
            parameters=shape.values,
            size_bytes=stored_bytes(stored.tensor, stored.scheme, served.bits, layout),
            weights=own if stored.scheme is None else stored.scheme.weights,
            compute=compute_format(stored.scheme, served.bits, layout.capability),
            active=stored.active,
            copies=shape.copies,
            scheme=stored.scheme,
        )


def _outer_entries(card: ModelCard, served: WeightFormat, layout: Layout) -> Iterator[WeightEntry]:
    """Embedding, head, final norm, rotary table, towers and multi-token-prediction layers."""
    rows = round_up(card.vocab_size, VOCABULARY_PADDING) // layout.tensor * card.hidden_size
    one = card.tied_embeddings and layout.pipeline == 1  # on several stages, the last has a copy
    yield _plain(Role.EMBEDDING, "embed_tokens", rows, served, active=1.0 if one else 0.0)
    if not one:
        yield _head(card, served, layout, rows)
    yield _plain(Role.NORM, "norm", card.hidden_size, served)
    yield _plain(Role.OTHER, "rotary_emb", _rotary_values(card), served, active=0.0)
    if card.extra_parameters:
        yield _plain(Role.OTHER, "extra", card.extra_parameters // layout.tensor, served, active=0.0)
    if layout.towers:
        for tower in card.towers:
            yield _plain(Role.TOWER, tower.name, tower.parameters // layout.towers, served, active=0.0)
    if layout.speculation and card.mtp_layers:
        yield from _prediction(card, served, layout)


def _head(card: ModelCard, served: WeightFormat, layout: Layout, rows: int) -> WeightEntry:
    scheme = head_scheme(served.quantization)
    tensor = Tensor(Role.LM_HEAD, "lm_head", (), card.vocab_size, card.hidden_size, Sharding.VOCABULARY)
    size = stored_bytes(tensor, scheme, served.bits, layout)
    compute = compute_format(scheme, served.bits, layout.capability)
    weights = compute_format(None, served.bits, None) if scheme is None else scheme.weights
    return WeightEntry(Role.LM_HEAD, "lm_head", (), rows, size, weights, compute, scheme=scheme)


def _prediction(card: ModelCard, served: WeightFormat, layout: Layout) -> Iterator[WeightEntry]:
    """Multi-token-prediction layers: as the last decoder layer, and a projection of two hidden states to one.

    vllm/model_executor/models/deepseek_mtp.py (0.8.5 to 0.33.0); embedding and head are the model's own.
    """
    last = len(card.layers) - 1
    for entry in _layer_entries(card, served, layout):
        if last in entry.layers:
            size = card.mtp_layers * entry.size_bytes
            name = f"mtp.{entry.module}"
            yield WeightEntry(Role.OTHER, name, (), entry.parameters, size, entry.weights, entry.compute, 0.0)
    yield _plain(Role.OTHER, "mtp.eh_proj", card.mtp_layers * 2 * card.hidden_size**2, served, active=0.0)


def _plain(role: Role, module: str, values: int, served: WeightFormat, *, active: float = 1.0) -> WeightEntry:
    own = compute_format(None, served.bits, None)
    return WeightEntry(role, module, (), values, allocated(values * served.bits // _BITS_PER_BYTE), own, own, active)


def _rotary_values(card: ModelCard) -> int:
    """Cosines and sines of every position, one table per width of the rotated part; not shared by ranks.

    vllm/model_executor/layers/rotary_embedding/base.py, and four times the positions in mrope.py (0.10.2 to 0.33.0).
    Llama-3.1-8B: 131,072 x 128, 32 MiB in 16 bit, the difference between its 14.9575 GiB of parameters and the 14.9888
    of its log.
    """
    widths = {_rotated_width(layer.mixer) for layer in card.layer_counts}
    sees = any(is_family(card.architecture, name) for name in _MROPE_FAMILIES)
    return (card.max_position_embeddings or 0) * (_MROPE_POSITIONS if sees else 1) * sum(widths)


def _rotated_width(mixer: Mixer | None) -> int:
    """A quarter of the head where queries are gated (partial_rotary_factor of Qwen3-Next and Qwen3.5), 0 without."""
    if isinstance(mixer, LatentAttention):
        return mixer.qk_rope_head_dim
    if isinstance(mixer, CompressedAttention):
        return mixer.rope_head_dim
    if isinstance(mixer, Attention):
        return mixer.head_dim // 4 if mixer.output_gate else mixer.head_dim
    return 0


def _stage(entries: tuple[WeightEntry, ...], index: int, span: tuple[int, int], layout: Layout) -> dict[Role, int]:
    """Bytes of one stage by role: embedding and towers on the first, head and prediction on the last."""
    roles: dict[Role, int] = {}
    for entry in entries:
        if entry.layers:
            count = sum(span[0] <= layer < span[1] for layer in entry.layers)
        else:
            count = int(_is_on(entry, index, layout.pipeline - 1))
        roles[entry.role] = roles.get(entry.role, 0) + count * entry.size_bytes
    return roles


def _is_on(entry: WeightEntry, stage: int, last: int) -> bool:
    if entry.module == "rotary_emb":
        return True
    at_end = entry.role in {Role.LM_HEAD, Role.NORM} or entry.module.startswith("mtp.")
    return stage == (last if at_end else 0)


def _open_bytes(entries: tuple[WeightEntry, ...], served: WeightFormat) -> float:
    """Half-width of what the served format leaves open, bytes."""
    spread = _LAYOUT_ERROR + (served.quantization.spread if served.quantization is not None else 0.0)
    quantized = sum(entry.size_bytes * entry.count for entry in entries if entry.scheme is not None)
    return spread * quantized


def _parameters(card: ModelCard, served: WeightFormat) -> tuple[int, int]:
    """All parameters, and those that a token passes. Llama-3.1-8B: 8,030,261,248 and 7,504,924,672 with its head."""
    layers = [
        (stored.tensor.parameters * len(stored.layers), stored.active)
        for stored in inventory(card, served.quantization)
    ]
    embedding = card.vocab_size * card.hidden_size
    outside = card.hidden_size + card.extra_parameters + sum(tower.parameters for tower in card.towers)
    heads = embedding * (1 if card.tied_embeddings else 2)
    active = round(sum(size * part for size, part in layers)) + embedding + card.hidden_size
    return sum(size for size, _ in layers) + heads + outside, active


def _basis(parameters: int, served: WeightFormat) -> str:
    quantization = served.quantization
    stored = f"{served.bits} bit" if quantization is None else f"{quantization.weights} ({quantization.method})"
    return f"{parameters / 1e9:.2f} billion parameters from the config's shapes, {stored}, with scales and rounding"
