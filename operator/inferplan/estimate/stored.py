"""Which format each weight of a model has, layer by layer, and the bytes that one rank's share of it takes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from inferplan.domain.architecture import Layer
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Quantization, Reach, Scaling, Scheme
from inferplan.estimate.placement import Layout, Shape, allocated, padded_mxfp4, share
from inferplan.estimate.tensor import is_family
from inferplan.estimate.tensors import Role, Sharding, Tensor, active_share, layer_tensors

_BITS_PER_BYTE = 8
_HALF_BITS = 16
_EXPERT_SHARDINGS = frozenset({Sharding.EXPERT_COLUMN, Sharding.EXPERT_ROW})
_FP8_SINCE, _FP4_SINCE, _INT8_SINCE = 89, 100, 75
_NATIVE_SINCE: Mapping[NumberFormat, int] = {
    # Compute capability from which vLLM multiplies in the format (engine-facts section 2c, kernel registry of 0.33.0)
    NumberFormat.FP8: _FP8_SINCE,
    NumberFormat.INT8: _INT8_SINCE,
    NumberFormat.MXFP8: _FP4_SINCE,
    NumberFormat.NVFP4: _FP4_SINCE,
    NumberFormat.MXFP4: _FP4_SINCE,
}


@dataclass(frozen=True)
class Stored:
    """One tensor with its format, and the layers that have it so.

    Attributes:
        tensor: The tensor.
        scheme: How it is stored; None for the model's dtype.
        layers: Numbers of the layers; empty for what lies outside of them.
        active: Share of it that a token passes.
    """

    tensor: Tensor
    scheme: Scheme | None
    layers: tuple[int, ...]
    active: float


@lru_cache(maxsize=256)
def inventory(card: ModelCard, quantization: Quantization | None) -> tuple[Stored, ...]:
    """All tensors of the decoder layers, equal ones together."""
    return tuple(
        Stored(tensor, scheme, numbers, active_share(tensor, layer))
        for layer, members in _kinds(card.layers).items()
        for tensor in _named(card.architecture, layer_tensors(layer, card.hidden_size))
        for scheme, numbers in _schemes(quantization, tensor, members)
    )


def head_scheme(quantization: Quantization | None) -> Scheme | None:
    """The scheme of lm_head: 16 bit, unless the config names it or does not keep it (readers keep it by default)."""
    if quantization is None:
        return None
    names = ("lm_head", "head", "output")
    for part in quantization.parts:
        if any(pattern.means(names) for pattern in part.modules):
            return part.scheme
    kept = quantization.reach is Reach.EXPERTS or any(pattern.means(names) for pattern in quantization.kept)
    return None if kept else quantization.scheme


def compute_format(scheme: Scheme | None, bits: int, capability: int | None) -> NumberFormat:
    """The format in which a matrix is multiplied.

    Where the GPU has no kernels for the inputs' format, weights are widened and the model's dtype is used (fp8 on an
    A100 saves memory, not time). A capability that is not known counts as one that has them.
    """
    own = NumberFormat.BF16 if bits <= _HALF_BITS else NumberFormat.FP32
    if scheme is None or scheme.activations is None:
        return own
    since = _NATIVE_SINCE.get(scheme.activations, 0)
    return own if capability is not None and capability < since else scheme.activations


def stored_bytes(tensor: Tensor, scheme: Scheme | None, bits: int, layout: Layout) -> int:
    """Bytes of one rank's share in one layer, scales and the allocator's rounding included.

    DeepSeek-V3's experts, FP8 in blocks, TP 8: 256 x 512 x 7168 + 256 x 4 x 56 x 4 bytes = 939,753,472 for gate and up
    (each rank's 2 x 256 rows).
    """
    shape = share(tensor, layout)
    if scheme is None:
        return allocated(shape.values * bits // _BITS_PER_BYTE)
    if scheme.weights is NumberFormat.MXFP4 and tensor.sharding in _EXPERT_SHARDINGS:
        shape = padded_mxfp4(shape, layout, tensor.sharding)
    scheme = _as_loaded(scheme, layout.capability)
    values = allocated(shape.values * scheme.weights.bits // _BITS_PER_BYTE)
    scales = allocated(_scales(shape, scheme) * (scheme.scale_bits + scheme.zero_bits) // _BITS_PER_BYTE)
    return values + scales + _absorbed_bytes(tensor, shape, bits)


def _absorbed_bytes(tensor: Tensor, shape: Shape, bits: int) -> int:
    """MLA keeps kv_b_proj in the model's dtype beside a quantized one.

    W_UK and W_UV, process_weights_after_loading in vllm/v1/attention/backends/mla/common.py (0.8.5 to 0.33.0); of one
    that is not quantized they are views. DeepSeek-V3, TP 8: 4096 x 512 x 2 = 4,194,304 bytes a layer.
    """
    return allocated(shape.values * bits // _BITS_PER_BYTE) if tensor.module.endswith("kv_b_proj") else 0


def _as_loaded(scheme: Scheme, capability: int | None) -> Scheme:
    """FP8 blocks without FP8 kernels: Marlin repeats their scales for each output, in 16 bit.

    utils/marlin_utils_fp8.py prepare_fp8_layer_for_marlin (vLLM 0.9.2 to 0.33.0): 16 / 128 instead of 32 / 128² bits.
    """
    blocks = scheme.weights is NumberFormat.FP8 and scheme.scaling is Scaling.BLOCK
    if blocks and capability is not None and capability < _FP8_SINCE:
        return Scheme(scheme.weights, None, Scaling.GROUP, scheme.group_size, scale_bits=16)
    return scheme


def _scales(shape: Shape, scheme: Scheme) -> int:
    """How many scales a share has."""
    size = scheme.group_size or shape.inputs
    match scheme.scaling:
        case Scaling.TENSOR:
            return shape.copies
        case Scaling.CHANNEL:
            return shape.copies * shape.outputs
        case Scaling.GROUP:
            return shape.copies * shape.outputs * ceil(shape.inputs / size)
        case Scaling.BLOCK:
            return shape.copies * ceil(shape.outputs / size) * ceil(shape.inputs / size)


def _kinds(layers: Iterable[Layer]) -> dict[Layer, tuple[int, ...]]:
    """Equal layers with their numbers. Objects are shared between equal layers, so they are compared once."""
    by_object: dict[int, tuple[Layer, list[int]]] = {}
    for number, layer in enumerate(layers):
        by_object.setdefault(id(layer), (layer, []))[1].append(number)
    kinds: dict[Layer, tuple[int, ...]] = {}
    for layer, numbers in by_object.values():
        kinds[layer] = (*kinds.get(layer, ()), *numbers)
    return {layer: tuple(sorted(numbers)) for layer, numbers in kinds.items()}


def _named(architecture: str, tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """Gemma 4 has its experts beside `mlp`, which is the part that every token passes."""
    for tensor in tensors:
        if not is_family(architecture, "gemma4"):
            yield tensor
        elif tensor.role is Role.EXPERTS:
            yield _with_names(tensor, tuple(name for name in tensor.names if name.startswith("experts.")))
        elif tensor.role is Role.SHARED_EXPERTS:
            yield _with_names(tensor, tuple(f"mlp.{name.rpartition('.')[2]}" for name in tensor.names))
        else:
            yield tensor


def _with_names(tensor: Tensor, names: tuple[str, ...]) -> Tensor:
    shape = tensor.outputs, tensor.inputs, tensor.sharding, tensor.copies
    return Tensor(tensor.role, tensor.module, names, *shape)


def _schemes(
    quantization: Quantization | None, tensor: Tensor, members: tuple[int, ...]
) -> Iterator[tuple[Scheme | None, tuple[int, ...]]]:
    """The tensor's schemes, each with the layers that have it."""
    if quantization is None or not tensor.linear:
        yield None, members
        return
    rest = frozenset(members)
    named: list[tuple[Scheme | None, frozenset[int]]] = []
    choices = [(part.scheme, part.modules) for part in quantization.parts]
    for scheme, patterns in (*choices, (None, quantization.kept)):
        hit = frozenset().union(*(pattern.layers_of(tensor.names, rest) for pattern in patterns))
        named.append((scheme, hit))
        rest -= hit
    reached = quantization.reach is Reach.LINEAR or tensor.role is Role.EXPERTS
    named.append((quantization.scheme if reached else None, rest))
    yield from ((scheme, tuple(sorted(layers))) for scheme, layers in named if layers)
