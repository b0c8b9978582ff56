"""Public quantized twins of models, each with the share of the original's score that its model card states. Pure.

The data names where each figure stands; the cards were read in stored copies of the pages. They say what one benchmark
gave for the whole model, not what your own tasks will.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from inferplan.api.instance import Checkpoint
from inferplan.api.values import QuantizationMethod


@dataclass(frozen=True)
class Twin:
    """A published quantized checkpoint of a model.

    Attributes:
        models: Ids of the original, all spellings of it.
        id: Id of the checkpoint.
        method: Number format of its weights.
        recovery_percent: Of the original's score.
        benchmark: Which score.
        source: Address of the model card that states it.
    """

    models: tuple[str, ...]
    id: str
    method: QuantizationMethod
    recovery_percent: float
    benchmark: str
    source: str

    @property
    def checkpoint(self) -> Checkpoint:
        """The twin as an owner would list it."""
        return Checkpoint(method=self.method, id=self.id)

    @property
    def recovery(self) -> str:
        """The figure with its source."""
        return f"{self.recovery_percent:g} % of the original's {self.benchmark} score by its model card, {self.source}"


def twins_of(model: str | None) -> tuple[Twin, ...]:
    """The known quantized checkpoints of a model, by its id; none for a path, which does not say what it holds."""
    wanted = (model or "").lower()
    return tuple(twin for twin in _twins() if wanted in twin.models)


def twin(checkpoint: str) -> Twin | None:
    """What is known of a checkpoint, by its id."""
    return next((found for found in _twins() if found.id.lower() == checkpoint.lower()), None)


@cache
def _twins() -> tuple[Twin, ...]:
    text = resources.files("inferplan.dialects").joinpath("data", "checkpoints.json").read_text("utf-8")
    return tuple(
        Twin(
            models=tuple(name.lower() for name in entry["models"]),
            id=entry["id"],
            method=QuantizationMethod(entry["method"]),
            recovery_percent=entry["recoveryPercent"],
            benchmark=entry["benchmark"],
            source=entry["source"],
        )
        for entry in json.loads(text)
    )
