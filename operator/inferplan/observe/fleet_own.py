"""The query of one instance, as a person pastes it: the same expressions as a fleet's, its own series alone. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from inferplan.observe.fleet_matchers import one_of
from inferplan.observe.fleet_queries import COUNTER_SPLITS, Metric, by_rank
from inferplan.observe.metric_kinds import RANK_LABELS
from inferplan.observe.series_labels import KUBERNETES_LABELS

_SHOWN = ("instance", *RANK_LABELS)
"""Labels of a query for people, beside the pod's."""


@dataclass(frozen=True)
class Own:
    """One instance's series, as a person asks for them.

    Attributes:
        window_seconds: Length of ranges.
        matchers: Label matchers without braces.
        pod_label: What the source calls the pod's label.
    """

    window_seconds: int
    matchers: str
    pod_label: str = KUBERNETES_LABELS.pod

    def query(self, kind: str, key: str, name: str) -> str:
        """What gives a quantity of this instance."""
        group = (self.pod_label, *_SHOWN)
        inner = by_rank(kind, key, Metric(name, self.matchers, self.window_seconds), group)
        return f"sum by ({', '.join(group)}) ({inner})" if kind == "rate" and key in COUNTER_SPLITS else inner

    def gpu_query(self, name: str, pods: Iterable[str], *, exported: bool) -> str:
        """A share of time of these pods' GPUs."""
        label = "exported_pod" if exported else "pod"
        return f"avg by ({label}) (avg_over_time({name}{{{one_of(label, sorted(pods))}}}[{self.window_seconds}s]))"
