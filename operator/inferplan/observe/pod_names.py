"""Whose a pod was, by its name alone: what ran yesterday is gone, and Prometheus knows names. Pure.

Kubernetes names a Deployment's pod `<deployment>-<template hash>-<suffix>` and a StatefulSet's `<name>-<ordinal>`.
Hash and suffix are of an alphabet of their own (k8s.io/apimachinery/pkg/util/rand), which is what tells the pods of
`llama` from those of `llama-8b`.
"""

import re

_ALPHABET = "[bcdfghjklmnpqrstvwxz2456789]"
_HASH = f"{_ALPHABET}{{8,10}}"
"""A 32-bit number in decimal digits, encoded; one of fewer than eight digits in 400 is shorter, and not looked for."""

_DEPLOYED = re.compile(rf"(?P<name>.+)-{_HASH}-{_ALPHABET}{{5}}", re.ASCII)
_CUT = re.compile(rf"(?P<name>.+)-{_HASH}{_ALPHABET}{{5}}", re.ASCII)
_CUT_LENGTH = 63
"""A generated name is at most this long: all but its suffix is cut to 58 (k8s.io/apiserver, storage/names)."""

_ORDINAL = re.compile(r"(?P<name>.+)-(0|[1-9][0-9]{0,9})", re.ASCII)


def deployment_of(pod: str) -> str | None:
    """The Deployment that a pod of this name belongs to; None where it cannot be one's.

    A Deployment whose name is so long that nothing is left of the hash is not recognized.
    """
    found = _DEPLOYED.fullmatch(pod) or (_CUT.fullmatch(pod) if len(pod) == _CUT_LENGTH else None)
    return found["name"] if found is not None else None


def stateful_set_of(pod: str) -> str | None:
    """The StatefulSet that a pod of this name belongs to; None where it cannot be one's."""
    found = _ORDINAL.fullmatch(pod)
    return found["name"] if found is not None else None
