"""What batching and its advice ask of an observation: what limits, what is missed, what somebody switched off. Pure."""

from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from inferplan.api.instance import SLOMetric
from inferplan.api.values import ConfigChange, Evidence
from inferplan.diagnose.bottlenecks import Diagnosis
from inferplan.diagnose.signals import Signals
from inferplan.diagnose.slo import slo_states
from inferplan.dialects.effective import effective
from inferplan.dialects.keys import flag_name
from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import Origin, ServingConfig, SettingValue

STEP_METRICS = frozenset({SLOMetric.ITL, SLOMetric.TPOT})
"""Latencies that grow with the time of a step."""


@dataclass(frozen=True)
class Look:
    """One observation with its diagnosis and the owner's wishes."""

    observation: Observation
    diagnosis: Diagnosis
    policy: Policy

    @cached_property
    def signals(self) -> Signals:
        """The replica's numbers."""
        return Signals(self.observation)

    @property
    def config(self) -> ServingConfig:
        """What runs."""
        return self.observation.config

    @property
    def metrics(self) -> Metrics:
        """What was measured."""
        return self.observation.metrics

    @property
    def card(self) -> ModelCard | None:
        """The model; None where it is not known."""
        return None if isinstance(self.observation.model, Missing) else self.observation.model

    @property
    def queued(self) -> bool:
        """Whether requests wait because something is full."""
        return self.diagnosis.queued

    @property
    def preempting(self) -> bool:
        """Whether requests lost their places in the cache."""
        return (self.signals.preemptions or 0.0) > 0

    @cached_property
    def missed_steps(self) -> tuple[str, ...]:
        """Targets between tokens that are missed, each with its number."""
        return self._missed(of_steps=True)

    @cached_property
    def missed_starts(self) -> tuple[str, ...]:
        """Targets of the first token and of the whole request that are missed."""
        return self._missed(of_steps=False)

    def _missed(self, *, of_steps: bool) -> tuple[str, ...]:
        states = slo_states(self.policy.slo, self.metrics)
        missed = [state for state in states if state.met is False]
        return tuple(state.sentence for state in missed if (state.slo.metric in STEP_METRICS) is of_steps)

    def number(self, name: str) -> float | None:
        """A metric by name; None where it was not measured."""
        return value_of(getattr(self.metrics, name))

    def evidence(self, *names: str) -> tuple[Evidence, ...]:
        """Those of these metrics that were measured, as a plan shows them."""
        return self.metrics.evidence(*names)

    def change(self, key: str, value: SettingValue | None, reason: str, *seen: str) -> ConfigChange:
        """A change of one setting.

        Args:
            key: The setting.
            value: Its new value; None takes the flag out, so that the release's default holds.
            reason: Why.
            seen: Metrics that it rests on.
        """
        return ConfigChange(
            parameter=key,
            flag=flag_name(self.config.engine, key),
            current_value=self.config.value(key),
            recommended_value=value,
            removes_flag=value is None,
            reason=reason,
            evidence=self.evidence(*seen),
        )

    def switched_off(self, key: str) -> bool:
        """Whether somebody said no to what the release would do by itself."""
        return self.config.flag(key) is False and self.default(key) is True

    def default(self, key: str) -> SettingValue | None:
        """What the release does on this hardware where the setting is not given; None where that is not certain."""
        kept = {
            name: setting
            for name, setting in self.config.items()
            if name != key and setting.origin is not Origin.VERSION_DEFAULT
        }
        bare = replace(self.config, settings=MappingProxyType(kept))
        return effective(bare, self.observation.accelerator, model=self.card).value(key)
