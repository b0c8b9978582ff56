"""How weights are stored and multiplied: number formats, their scales, and which modules of a model have them."""

from dataclasses import dataclass
from enum import StrEnum

from inferplan.domain.module_patterns import ModulePattern


class NumberFormat(StrEnum):
    """A format of stored numbers. BF16 stands for FP16 too: both take 16 bits and run at the same rate."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    MXFP8 = "mxfp8"
    INT8 = "int8"
    FP6 = "fp6"
    INT6 = "int6"
    INT4 = "int4"
    NVFP4 = "nvfp4"
    MXFP4 = "mxfp4"
    NF4 = "nf4"
    INT3 = "int3"
    INT2 = "int2"

    @property
    def bits(self) -> int:
        """Bits of one stored value, without its scale."""
        return _BITS[self]


_BITS = {
    NumberFormat.FP32: 32,
    NumberFormat.BF16: 16,
    NumberFormat.FP8: 8,
    NumberFormat.MXFP8: 8,
    NumberFormat.INT8: 8,
    NumberFormat.FP6: 6,
    NumberFormat.INT6: 6,
    NumberFormat.INT4: 4,
    NumberFormat.NVFP4: 4,
    NumberFormat.MXFP4: 4,
    NumberFormat.NF4: 4,
    NumberFormat.INT3: 3,
    NumberFormat.INT2: 2,
}


class Scaling(StrEnum):
    """Which values of a matrix share one scale."""

    TENSOR = "tensor"
    CHANNEL = "channel"
    GROUP = "group"
    BLOCK = "block"


class Reach(StrEnum):
    """Which matrices a method quantizes at all; embeddings, norms, convolutions and routers never are."""

    LINEAR = "linear"
    EXPERTS = "experts"


@dataclass(frozen=True)
class Scheme:
    """How one matrix is stored and multiplied.

    Attributes:
        weights: Format of the weights.
        activations: Format that inputs are quantized to; None where weights are widened to the running dtype.
        scaling: Which values share a scale.
        group_size: Inputs that share a scale (GROUP) or the width of a square block (BLOCK); None elsewhere.
        scale_bits: Bits of one scale.
        zero_bits: Bits of one zero point, 0 without.
    """

    weights: NumberFormat
    activations: NumberFormat | None = None
    scaling: Scaling = Scaling.TENSOR
    group_size: int | None = None
    scale_bits: int = 32
    zero_bits: int = 0

    def bits_per_value(self, inputs: int) -> float:
        """Bits that one value takes with its share of scales and zero points, in a matrix of that many inputs.

        AWQ, 4 bits in groups of 128: 4 + (16 + 4) / 128 = 4.15625. FP8 in blocks of 128: 8 + 32 / 128² = 8.00195.
        NVFP4: 4 + 8 / 16 = 4.5. INT8 per channel of 4,096 inputs: 8 + 32 / 4096 = 8.0078.
        """
        shared = self.scale_bits + self.zero_bits
        sharing = {
            Scaling.TENSOR: float("inf"),
            Scaling.CHANNEL: float(inputs),
            Scaling.GROUP: float(self.group_size or inputs),
            Scaling.BLOCK: float((self.group_size or inputs) ** 2),
        }
        return self.weights.bits + shared / sharing[self.scaling]


@dataclass(frozen=True)
class Part:
    """Modules that have a scheme of their own."""

    modules: tuple[ModulePattern, ...]
    scheme: Scheme


@dataclass(frozen=True)
class Quantization:
    """How a checkpoint is quantized, or how an engine quantizes while loading.

    Attributes:
        method: quant_method as the config says, or the engine's name of the method.
        scheme: Of the matrices within reach that neither `kept` nor a part names; None where parts name them all.
        kept: Modules that stay in the model's dtype.
        kv_cache: Format of the KV cache that the checkpoint brings; None where it says nothing.
        reach: Which matrices the scheme goes for.
        parts: Modules with schemes of their own; the first that fits counts, also before `kept`.
        assumptions: What the config leaves open and was assumed; each a sentence.
        spread: Relative half-width of what the assumptions leave open in the bytes of quantized matrices, 0.0 where
            nothing is open.
    """

    method: str
    scheme: Scheme | None
    kept: tuple[ModulePattern, ...] = ()
    kv_cache: NumberFormat | None = None
    reach: Reach = Reach.LINEAR
    parts: tuple[Part, ...] = ()
    assumptions: tuple[str, ...] = ()
    spread: float = 0.0

    @property
    def weights(self) -> NumberFormat:
        """Format of most of the weights."""
        return self._main.weights

    @property
    def activations(self) -> NumberFormat | None:
        """Format that inputs are quantized to; None for weight-only quantization."""
        return self._main.activations

    @property
    def group_size(self) -> int | None:
        """Values that share a scale, None where a whole channel or tensor does."""
        return self._main.group_size

    @property
    def _main(self) -> Scheme:
        return self.scheme or min((part.scheme for part in self.parts), key=lambda scheme: scheme.weights.bits)

    def __post_init__(self) -> None:
        if self.scheme is None and not self.parts:
            raise ValueError(f"quantization {self.method} names no scheme")
