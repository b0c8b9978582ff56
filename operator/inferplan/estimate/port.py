"""What an estimator of speed is: the bundled step model, or another one that is installed beside it."""

from dataclasses import dataclass
from typing import Protocol

from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.load import Load
from inferplan.estimate.result import Performance


@dataclass(frozen=True)
class EstimateInput:
    """What is estimated.

    Attributes:
        config: Engine, version, and settings with the version's defaults filled in.
        accelerator: GPUs of one replica.
        model: The model's geometry.
        cache_tokens: Tokens of requests as the load has them that the replica's KV cache holds; None where not known.
    """

    config: ServingConfig
    accelerator: Accelerator
    model: ModelCard
    cache_tokens: float | None = None


class Estimator(Protocol):
    """Estimates speed. Pure as far as the caller sees: the same question has the same answer."""

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        """How fast the replica serves the load; why not where that has no basis. Never raises."""
        ...
