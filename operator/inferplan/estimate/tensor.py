"""One matrix of a model as an engine loads it: its role, its shape, and how ranks share it."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What weights are for."""

    ATTENTION = "attention"
    MLP = "mlp"
    EXPERTS = "experts"
    SHARED_EXPERTS = "sharedExperts"
    ROUTER = "router"
    EMBEDDING = "embedding"
    LM_HEAD = "lmHead"
    NORM = "norm"
    TOWER = "tower"
    OTHER = "other"


class Sharding(StrEnum):
    """How ranks share a matrix. K and V heads below the number of ranks are repeated: see Tensor.kv_heads."""

    COLUMN = "column"
    ROW = "row"
    EXPERT_COLUMN = "expertColumn"
    EXPERT_ROW = "expertRow"
    VOCABULARY = "vocabulary"
    REPLICATED = "replicated"


@dataclass(frozen=True)
class Tensor:
    """One loaded matrix, or as many equal ones as a layer has experts.

    Attributes:
        role: What it is for.
        module: Name in the layer, as vLLM has it.
        names: Names in checkpoints that quantization configs may use; without `linear` they do not matter.
        outputs: Rows that ranks share.
        inputs: Columns.
        sharding: How ranks share it.
        copies: Experts, 1 elsewhere.
        kv_heads: Key/value heads among the rows, which are repeated where there are fewer than ranks.
        kv_width: Rows of one of them, key and value together.
        kv_repeated: Rows of one of them that the checkpoint does not have, since values are keys (Gemma 4).
        linear: Whether quantization may reach it.
    """

    role: Role
    module: str
    names: tuple[str, ...]
    outputs: int
    inputs: int
    sharding: Sharding = Sharding.REPLICATED
    copies: int = 1
    kv_heads: int = 0
    kv_width: int = 0
    kv_repeated: int = 0
    linear: bool = True

    @property
    def parameters(self) -> int:
        """Parameters in the checkpoint."""
        return self.copies * (self.outputs + self.kv_heads * (self.kv_width - self.kv_repeated)) * self.inputs


def linear(
    role: Role,
    where: tuple[str, ...],
    names: tuple[str, ...],
    shape: tuple[int, int],
    sharding: Sharding = Sharding.REPLICATED,
) -> Tensor:
    """A matrix that quantization may reach.

    Args:
        role: What it is for.
        where: Names that its module goes by: ("self_attn", "attn").
        names: Names of the matrices that are fused into it.
        shape: Rows and columns.
        sharding: How ranks share it.
    """
    return Tensor(role, f"{where[0]}.{names[0]}", under(where, names), *shape, sharding)


def plain(role: Role, module: str, outputs: int, inputs: int, sharding: Sharding = Sharding.REPLICATED) -> Tensor:
    """A tensor that no method quantizes."""
    return Tensor(role, module, (), outputs, inputs, sharding, linear=False)


def is_family(architecture: str, name: str) -> bool:
    """Whether an architecture's class belongs to a family: "gptoss" to GptOssForCausalLM and "(read as gpt_oss)"."""
    return name in re.sub(r"[^a-z0-9]", "", architecture.lower())


def under(where: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Every name in every place: ("a", "b") and ("x",) give ("a.x", "b.x")."""
    return tuple(f"{place}.{name}" for place in where for name in names)
