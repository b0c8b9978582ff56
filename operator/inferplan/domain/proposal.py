"""What an optimizer answers: a proposal, or an abstention with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from inferplan.api.instance import SLO, Checkpoint, Objective, OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import Optimization
from inferplan.domain.serving import SettingValue


@dataclass(frozen=True)
class Proposal:
    """A change that an optimizer stands behind; the engine gives it its id and its place."""

    optimizer: OptimizerName
    optimization: Optimization


@dataclass(frozen=True)
class Abstention:
    """Why an optimizer proposes nothing, and what would change that."""

    optimizer: OptimizerName
    code: Reason
    reason: str


class Undone(NamedTuple):
    """One setting of a plan that had to be undone.

    Attributes:
        after: What it was set to; None for a flag that was taken out.
        before: What ran before, and did no harm; None where it is not known.
    """

    after: SettingValue | None
    before: SettingValue | None = None


@dataclass(frozen=True)
class Policy:
    """What the owner wants and allows.

    Attributes:
        objective: What to favour.
        slo: Latency targets.
        optimizers: Optimizers that may propose.
        forbid: Optimizers, keys and flags that must not be touched.
        min_max_model_len: max_model_len is never proposed below this, tokens.
        minimum_gain_percent: Changes that surely bring less are dropped.
        checkpoints: Quantized twins that the owner accepts.
        failed: Changes of plans that did harm before, on the same image, model and GPUs.
        rules_of_thumb: Whether unmeasured rules may speak. True where somebody asks over HTTP with next to
            nothing known; False for a live workload, where a plan could be applied.
    """

    objective: Objective = Objective.BALANCED
    slo: tuple[SLO, ...] = ()
    optimizers: tuple[OptimizerName, ...] = tuple(OptimizerName)
    forbid: tuple[str, ...] = ()
    min_max_model_len: int | None = None
    minimum_gain_percent: int = 5
    checkpoints: tuple[Checkpoint, ...] = ()
    failed: tuple[Mapping[str, Undone], ...] = ()
    rules_of_thumb: bool = False
