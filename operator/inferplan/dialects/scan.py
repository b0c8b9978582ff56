"""A command line's words → the flags and positional words that an engine's parser sees in them. Pure.

The rules are argparse's (Lib/argparse.py, 3.12) and what vLLM does before it: dotted keys, `-O3`, `--config`
(vllm/utils/argparse_utils.py, 0.33.0). Words whose text is not known are never guessed.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inferplan.dialects.grammar import Ambiguous, Grammar, Meaning
from inferplan.dialects.registry import FlagKind
from inferplan.dialects.words import Word

_NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?|-\.[0-9]+")
_LEVEL = re.compile(r"-O(=?)(.+)", re.DOTALL)
_LEVELS = frozenset({"0", "1", "2", "3"})


@dataclass(frozen=True)
class Argument:
    """One flag in the list.

    Attributes:
        name: As written, without its value.
        meaning: What it means; Ambiguous for a prefix of several flags, None for what no release knows.
        words: Places in the list: the flag's own word first, then those of its values.
        joined: The place in the first word's text behind which its value stands (after `=`), None where it has none.
        path: Keys behind the first dot: `--speculative-config.method` gives ("method",).
    """

    name: str
    meaning: Meaning | Ambiguous | None
    words: tuple[int, ...]
    joined: int | None = None
    path: tuple[str, ...] = ()

    def values(self, words: Sequence[Word]) -> tuple[str, ...]:
        """Texts of its values; of a joined one the part behind `=`."""
        own = () if self.joined is None else (words[self.words[0]].text[self.joined :],)
        return (*own, *(words[index].text for index in self.words[1:]))

    def unknown(self, words: Sequence[Word]) -> tuple[str, ...]:
        """Names of what is not known in its values."""
        return tuple(name for index in self.words for name in words[index].unknown)


@dataclass(frozen=True)
class Scan:
    """A command line, taken apart.

    Attributes:
        arguments: Flags in order.
        positionals: Places of words that no flag takes.
        hidden: Places of words that may hold flags which cannot be seen.
        doubtful: Places of words that a flag which no release knows may take, or may not.
    """

    arguments: tuple[Argument, ...]
    positionals: tuple[int, ...]
    hidden: tuple[int, ...]
    doubtful: tuple[int, ...] = ()


def scan(words: Sequence[Word], grammar: Grammar) -> Scan:
    """Takes a command line apart."""
    return _Scanner(words, grammar).run()


def is_flag(text: str) -> bool:
    """Whether a word starts a flag for argparse: a dash, more than that, no negative number, no blank in its name."""
    if len(text) < len("-x") or not text.startswith("-") or _NUMBER.fullmatch(text):
        return False
    return " " not in text.partition("=")[0]


class _Scanner:
    def __init__(self, words: Sequence[Word], grammar: Grammar) -> None:
        self._words = words
        self._grammar = grammar
        self._arguments: list[Argument] = []
        self._positionals: list[int] = []
        self._hidden: list[int] = []
        self._doubtful: list[int] = []

    def run(self) -> Scan:
        index = 0
        while index < len(self._words):
            word = self._words[index]
            if word.text == "--" and not word.unknown:
                self._positionals.extend(range(index + 1, len(self._words)))
                break
            index = self._step(index, word)
        found = (self._arguments, self._positionals, self._hidden, self._doubtful)
        return Scan(*(tuple(part) for part in found))  # type: ignore[arg-type]  # four lists, four fields

    def _step(self, index: int, word: Word) -> int:
        if is_flag(word.text) and not _starts_unknown(word) and not _name_unknown(word):
            return self._flag(index, word)
        (self._positionals if self._is_positional(index, word) else self._hidden).append(index)
        return index + 1

    def _is_positional(self, index: int, word: Word) -> bool:
        """Known words that are no flags; and the first word whose text is not known: it stands where the model does."""
        if not _starts_unknown(word):
            return not is_flag(word.text)
        return not self._positionals and (index == 0 or not word.may_vanish)

    def _flag(self, index: int, word: Word) -> int:
        name, equals, _ = word.text.partition("=")
        level = self._level(index, word)
        if level is not None:
            return level
        joined = len(name) + 1 if equals else None
        base, *path = self._spelling(name)
        meaning = self._grammar.meaning(base)
        following = 0 if joined is not None else self._following(index + 1, meaning, dotted=bool(path))
        taken = tuple(range(index, index + 1 + following))
        self._arguments.append(Argument(name, meaning, taken, joined, tuple(path)))
        if meaning is None and joined is None and not path:
            self._doubtful.extend(taken[1:])
        return index + 1 + following

    def _spelling(self, name: str) -> list[str]:
        """A flag's name as the parser looks it up, and the keys behind its first dot."""
        if not name.startswith("--"):
            return [name]
        base, *path = name.split(".") if self._grammar.rules.dotted_keys else [name]
        return [base.replace("_", "-") if self._grammar.rules.underscores else base, *path]

    def _level(self, index: int, word: Word) -> int | None:
        """`-O3`, `-O=3`, `-O 3`; None where the word is no such thing."""
        match = _LEVEL.fullmatch(word.text)
        following = self._words[index + 1].text if index + 1 < len(self._words) else ""
        if match is None and not (word.text == "-O" and following in _LEVELS and self._grammar.rules.level):
            return None
        dest, *path = self._grammar.rules.level.split(".")
        meaning = self._grammar.meaning(f"--{dest.replace('_', '-')}" if dest else "-O")
        joined = match.end(1) if match is not None else None
        taken = (index,) if match is not None else (index, index + 1)
        self._arguments.append(Argument("-O", meaning, taken, joined, tuple(path)))
        return index + len(taken)

    def _following(self, index: int, meaning: Meaning | Ambiguous | None, *, dotted: bool) -> int:
        """How many of the next words the flag takes."""
        available = sum(1 for _ in self._values(index))
        if dotted or not isinstance(meaning, Meaning):
            return min(available, 1)
        if meaning.flag.kind in {FlagKind.SWITCH, FlagKind.TRUE, FlagKind.HELP, FlagKind.BOOLEAN}:
            return self._stated(index, meaning)
        if meaning.flag.nargs in {"+", "*"}:
            return sum(1 for number, word in enumerate(self._values(index)) if number == 0 or not word.may_vanish)
        return min(available, 1)

    def _stated(self, index: int, meaning: Meaning) -> int:
        """A switch's own value: the word true or false, where some release that may run takes one."""
        takes = FlagKind.BOOLEAN in meaning.kinds
        said = index < len(self._words) and self._words[index].text.lower() in {"true", "false"}
        return 1 if takes and said else 0

    def _values(self, index: int) -> Iterator[Word]:
        for word in self._words[index:]:
            if is_flag(word.text) and not _starts_unknown(word):
                return
            yield word


def _starts_unknown(word: Word) -> bool:
    """Whether the word's first letter is not known, so that it may be a flag."""
    return bool(word.pieces) and bool(word.pieces[0].unknown)


def _name_unknown(word: Word) -> bool:
    """Whether an unknown stretch stands in the flag's name, before any `=`."""
    for piece in word.pieces:
        if piece.unknown:
            return True
        if "=" in piece.text:
            return False
    return False
