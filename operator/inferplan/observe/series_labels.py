"""Labels that tell whose a series is, and the one that says what it is: for the present and for past hours. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

KEY_LABEL = "inferplan_key"
"""Says in the answer to a union of expressions which of them a series comes from."""

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


@dataclass(frozen=True)
class SeriesLabels:
    """What a source calls the labels that tell whose a series is.

    Attributes:
        namespace: Label that holds the Kubernetes namespace.
        pod: Label that holds the pod's name.
    """

    namespace: str = "namespace"
    pod: str = "pod"

    def group(self, extra: Sequence[str] = ()) -> tuple[str, ...]:
        """Labels of a pod's target and model, and further ones: what tells replicas apart."""
        return tuple(dict.fromkeys((self.namespace, self.pod, "instance", "model_name", *extra)))


KUBERNETES_LABELS = SeriesLabels()
"""As the Prometheus operator's monitors and the usual scrape configurations name them."""


def is_label_name(name: str) -> bool:
    """Whether PromQL takes it as a label's name as it stands."""
    return _LABEL_NAME.fullmatch(name) is not None


def tagged(expression: str, tag: str) -> str:
    """The expression, its series told apart from those of others by a tag."""
    return f'label_replace({expression}, "{KEY_LABEL}", "{tag}", "", "")'
