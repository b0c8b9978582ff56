"""A canary beside the workload of `application.Stage`: made, ready or failing, measured beside the others."""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.application import Stage, digest, window

from inferplan.api.attempt import WindowStatus
from inferplan.apply.canary import DropCanary, MakeCanary
from inferplan.apply.case import Act, Beside, Case
from inferplan.apply.pods import PodState
from inferplan.dialects.container import Container


@dataclass
class CanaryStage(Stage):
    """The same with apply.canary.

    Attributes:
        canary: What the canary runs; None where there is none.
        made: How often one was made.
        trouble: Why its pod does not run.
        unplaced: Why no node takes its pod.
        shown: What is measured of it.
        others: What is measured of the others.
        slow: Whether its pod does not become ready.
    """

    apply: dict[str, Any] = field(default_factory=lambda: {"mode": "Approve", "canary": True})
    canary: Container | None = None
    made: int = 0
    trouble: str = ""
    unplaced: str = ""
    shown: WindowStatus | None = field(default_factory=lambda: window(1600.0))
    others: WindowStatus | None = field(default_factory=window)
    slow: bool = False

    def case(self) -> Case:
        case = super().case()
        live = self.live()
        if self.canary is None or live is None:
            return case
        ready = not (self.trouble or self.unplaced or self.slow)
        pod = PodState("llama-canary-0", "c", digest(self.canary), ready, 0, self.trouble, "", self.unplaced)
        beside = replace(live, container=self.canary, available=1 if ready else 0, replicas=1, updated=1, total=1)
        return replace(case, beside=Beside(beside, (pod,), self.shown, self.others))

    def do(self, act: Act) -> None:
        if isinstance(act, MakeCanary):
            self.canary = act.container
            self.made += 1
        elif isinstance(act, DropCanary):
            self.canary = None
        else:
            super().do(act)
