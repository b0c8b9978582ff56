"""What every detector of findings is given. Pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from inferplan.api.analysis import Bottleneck, Unknown
from inferplan.diagnose.finding import Cause, Diagnosis
from inferplan.diagnose.signals import REQUESTS_MIN, Signals
from inferplan.dialects.known_defects import FoundDefects, known_defects
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.serving import ServingConfig


@dataclass(frozen=True)
class Case:
    """One observation with its diagnosis."""

    signals: Signals
    diagnosis: Diagnosis

    @property
    def observation(self) -> Observation:
        """What was seen."""
        return self.signals.observation

    @property
    def metrics(self) -> Metrics:
        """What was measured."""
        return self.signals.metrics

    @property
    def config(self) -> ServingConfig:
        """What runs."""
        return self.signals.config

    @cached_property
    def known_defects(self) -> FoundDefects:
        """Defects that this configuration meets and that a later release mends."""
        seen = self.observation
        model = seen.model if isinstance(seen.model, ModelCard) else None
        return known_defects(seen.config, seen.accelerator, model)

    @property
    def is_steady(self) -> bool:
        """Whether the numbers tell of serving: not of an idle engine or of its start, and no contradiction in them."""
        return self.diagnosis.cause not in {Cause.IDLE, Cause.COLD_START, Cause.UNKNOWN}

    def enough_requests(self, least: float = REQUESTS_MIN) -> bool:
        """Whether so many requests of a replica finished in the window."""
        return (self.signals.finished or 0.0) >= least


Detector = Callable[[Case], Iterator[Bottleneck | Unknown]]
"""Finds, says what it cannot tell, or yields nothing."""
