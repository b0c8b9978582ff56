"""Flags of a command line as a chart's values have them: by name, with the words that say them; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inferplan.gitops.failures import not_editable

_NO = "no-"


@dataclass(frozen=True)
class Flag:
    """A flag.

    Attributes:
        value: Its value as text; "true" and "false" of a switch.
        words: The words that say it.
        start: Where they begin in the command line.
    """

    value: str
    words: tuple[str, ...]
    start: int = field(default=0, compare=False)


@dataclass(frozen=True)
class FlagChange:
    """A flag that is said otherwise: before and after, None where it is not there."""

    name: str
    old: Flag | None
    new: Flag | None


def flags(words: Sequence[str]) -> Mapping[str, Flag]:
    """Flags of a command line by name, without dashes in front and with dashes inside; the last one counts."""
    starts = [index for index, word in enumerate(words) if word.startswith("--")]
    ends = [*starts[1:], len(words)][: len(starts)]
    return dict(_flag(tuple(words[start:end]), start) for start, end in zip(starts, ends, strict=True))


def _flag(words: tuple[str, ...], start: int) -> tuple[str, Flag]:
    spelled, equals, value = words[0].removeprefix("--").partition("=")
    name = spelled.replace("_", "-")
    if equals or len(words) > 1:
        return name, Flag(value if equals else " ".join(words[1:]), words, start)
    if name.startswith(_NO):
        return name.removeprefix(_NO), Flag("false", words, start)
    return name, Flag("true", words, start)


def changed_flags(path: str, before: Sequence[str], after: Sequence[str]) -> Iterator[FlagChange]:
    """Flags that are said otherwise in two command lines, in the order of the second one, gone ones last.

    Raises:
        GitOpsError: Something else than flags differs.
    """
    if _head(before) != _head(after):
        raise not_editable(f"{path}: what stands before the flags changes; change it by hand")
    old, new = flags(before), flags(after)
    for name in (*new, *(name for name in old if name not in new)):
        if old.get(name) != new.get(name):
            yield FlagChange(name, old.get(name), new.get(name))


def _head(words: Sequence[str]) -> list[str]:
    """Words before the first flag."""
    first = next((index for index, word in enumerate(words) if word.startswith("--")), len(words))
    return list(words[:first])
