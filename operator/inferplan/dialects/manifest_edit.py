"""A container with other command or args → the edits of the text that it stands in. Pure."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from inferplan.dialects.container import Container
from inferplan.dialects.manifests import Path, Site
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_text import Edit, ListInsert, ListRemove, StringEdit, edit_text

_WORD = re.compile(r"\s*\S+|\s+")


def edit_manifest(text: str, document: int, site: Site, before: Container, after: Container) -> str | NotEditable:
    """The text with another command and other args at a site, every other byte as it is.

    Args:
        text: The whole file.
        document: Number of the site's document in it, from 0.
        site: Where the container stands.
        before: The container as the text has it.
        after: The container as it shall be.
    """
    edits: list[Edit] = []
    for name, old, new in (("command", before.command, after.command), ("args", before.args, after.args)):
        path = (*site.path, name)
        if old == new:
            continue
        if not old:
            shown = ", ".join(new)
            return NotEditable(f"the container has no {name}; add them by hand: {shown}")
        if isinstance(site.container.get(name), str):
            edits += _string_edits(document, path, old[0], new[0] if new else "")
        else:
            edits += list_edits(document, path, old, new)
    return edit_text(text, edits)


def list_edits(document: int, path: Path, old: Sequence[str], new: Sequence[str]) -> Iterator[Edit]:
    """The edits of a list of strings: items that changed, with what changed in them, and items that came or went."""
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        both = min(i2 - i1, j2 - j1)
        for offset in range(both):
            yield from _string_edits(document, (*path, i1 + offset), old[i1 + offset], new[j1 + offset])
        if i1 + both < i2:
            yield ListRemove(document, path, i1 + both, i2 - i1 - both)
        if j1 + both < j2:
            yield ListInsert(document, path, i2, tuple(new[j1 + both : j2]))


def _string_edits(document: int, path: Path, old: str, new: str) -> Iterator[StringEdit]:
    """The parts of a string that changed, so that the lines and folds of the rest stay as they are."""
    start = _common(old, new)
    end = min(_common(old[::-1], new[::-1]), len(old) - start, len(new) - start)
    mine, theirs = _words(old[start : len(old) - end]), _words(new[start : len(new) - end])
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            first = start + sum(map(len, mine[:i1]))
            yield StringEdit(document, path, first, first + sum(map(len, mine[i1:i2])), "".join(theirs[j1:j2]))


def _words(text: str) -> list[str]:
    """Words, each with the blanks before it, and blanks at the end."""
    return _WORD.findall(text)


def _common(one: str, other: str) -> int:
    """Length of what both begin with."""
    return next(
        (index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
