"""Stand in for a mount namespace: point mount paths to where their files really are. Pure.

A process here sees the machine's own file system, so `/etc/vllm/config.yaml` of a ConfigMap mounted at `/etc/vllm`
lies in the pod's scratch folder. A mount path is rewritten wherever it begins a path in the command, the args and the
values of the environment. Limit: a program that knows such a path by itself, or reads it from a file, doesn't find it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

# What may stand before and after a path in a value: nothing, or anything that can't be a part of a longer path.
_BEFORE = r"(?<![\w./\-])"
_AFTER = r"(?![\w.\-])"


def rewrite(text: str, mounts: Mapping[str, Path]) -> str:
    """Return `text` with each mount path replaced by its folder; the longest mount path wins."""
    paths = sorted((path for path in mounts if path != "/"), key=len, reverse=True)
    if not paths:
        return text
    pattern = _BEFORE + "(" + "|".join(re.escape(path) for path in paths) + ")" + _AFTER
    return re.sub(pattern, lambda match: str(mounts[match.group(1)]), text)


def rewrite_all(texts: Iterable[str], mounts: Mapping[str, Path]) -> tuple[str, ...]:
    """Rewrite each of `texts`."""
    return tuple(rewrite(text, mounts) for text in texts)
