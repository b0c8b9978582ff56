"""Label matchers as PromQL: quoted, so that no text ever ends its string early. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

from inferplan.observe.series_labels import SeriesLabels

_LISTED_LENGTH = 1500
"""Longest list of names in a query for people; beyond it their common prefix."""


def own_matchers(
    labels: SeriesLabels,
    namespace: str,
    selector: Mapping[str, str],
    pods: Iterable[str] = (),
    instances: Iterable[str] = (),
) -> str:
    """Matchers of one instance's series: its namespace, its owner's labels, its pods or targets where it has some."""
    parts = [_equals(labels.namespace, namespace), *(_equals(name, selector[name]) for name in sorted(selector))]
    for label, names in ((labels.pod, sorted(pods)), ("instance", sorted(instances))):
        parts += [one_of(label, names)] if names else []
    return ", ".join(parts)


def _equals(label: str, value: str) -> str:
    return f"{label}={quoted(value)}"


def one_of(label: str, names: Sequence[str]) -> str:
    """A matcher of exactly these names, at least one, sorted; of very many their common prefix."""
    exact = pattern(names)
    many = len(exact) > _LISTED_LENGTH
    return f"{label}=~{quoted(_literal(_common_prefix(names[0], names[-1])) + '.*' if many else exact)}"


def pattern(names: Sequence[str]) -> str:
    """These names and nothing else, as RE2."""
    return "|".join(map(_literal, names))


def quoted(text: str) -> str:
    """A PromQL string: backslash, quote and newline escaped, so that it can never end early."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _literal(text: str) -> str:
    """The text as RE2 that matches only itself; a dash outside of brackets needs no escape and reads better."""
    return re.escape(text).replace("\\-", "-")


def _common_prefix(first: str, last: str) -> str:
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]
