"""Expand `$(NAME)` references the way Kubernetes does in command, args and env.

Rules (Kubernetes API reference, Container.command): `$(NAME)` becomes the variable's value; a name that is not defined
stays as it is written; `$$` becomes `$`, so `$$(NAME)` yields the literal `$(NAME)`; any other `$` is left alone.
"""

import re
from collections.abc import Iterable, Mapping

# `$$`, or `$(` up to the next `)`. Kubernetes takes any text between the brackets as the name.
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its references replaced; replacements are not expanded again."""

    def replacement(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        return variables.get(match.group(1), match.group(0))

    return _REFERENCE.sub(replacement, text)


def expand_all(texts: Iterable[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    """Expand each of `texts`."""
    return tuple(expand(text, variables) for text in texts)
