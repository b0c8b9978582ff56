"""Which flag a word means: by the parser of one release, or of all of them where the release is not known. Pure.

An engine's parser is argparse: exact spellings first, then unambiguous prefixes. vLLM turns underscores into dashes
before (vllm/utils/argparse_utils.py, FlexibleArgumentParser.parse_args, 0.33.0).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from inferplan.api.values import Engine
from inferplan.dialects.registry import Basis, FlagKind, FlagSpec, Release, basis, release, releases

_REMEMBERED = 10_000  # an operator sees few spellings; a fuzzer many


@dataclass(frozen=True)
class Meaning:
    """What a word means.

    Attributes:
        flag: The flag, as the newest release that has the spelling describes it.
        negated: Whether the spelling switches off.
        kinds: Every kind that the flag has in the releases that speak here.
        variants: The flag as those releases describe it, the newest first.
        refused: Whether the release that runs has no such flag; another one has.
        abbreviated: Whether the word is a prefix of a spelling.
    """

    flag: FlagSpec
    negated: bool
    kinds: frozenset[FlagKind]
    variants: tuple[FlagSpec, ...]
    refused: bool = False
    abbreviated: bool = False


@dataclass(frozen=True)
class Ambiguous:
    """A prefix that fits several flags: argparse refuses it.

    Attributes:
        names: The flags that it fits.
    """

    names: tuple[str, ...]


class Grammar:
    """The flags of an engine, as far as its version is known.

    Args:
        engine: Serving engine.
        known: What is known of its version; None when nothing is: then the newest release's rules hold, which
            allow most.
    """

    def __init__(self, engine: Engine, known: Basis | None) -> None:
        self.engine = engine
        self.basis = known
        self.releases = _all(engine) if known is None else (known.release,)
        self.rules = self.releases[0].rules
        self._meanings: dict[str, Meaning | Ambiguous | None] = {}

    @property
    def release(self) -> Release | None:
        """The release whose parser is used, None where the version is not known."""
        return self.basis.release if self.basis is not None else None

    def meaning(self, name: str) -> Meaning | Ambiguous | None:
        """The flag that a spelling means here; None where no release knows it."""
        if name not in self._meanings and len(self._meanings) < _REMEMBERED:
            self._meanings[name] = self._look_up(name)
        return self._meanings[name] if name in self._meanings else self._look_up(name)

    def _look_up(self, name: str) -> Meaning | Ambiguous | None:
        found = _exact(self.releases, name) or _abbreviated(self.releases, name)
        if found is not None or self.basis is None:
            return found
        elsewhere = _exact(_all(self.engine), name) or _abbreviated(_all(self.engine), name)
        if not isinstance(elsewhere, Meaning):
            return elsewhere
        return replace(elsewhere, refused=True)


@cache
def grammar(engine: Engine, version: str | None) -> Grammar:
    """The grammar of an engine's version."""
    return Grammar(engine, basis(engine, version))


@cache
def _all(engine: Engine) -> tuple[Release, ...]:
    """All releases, the newest first."""
    return tuple(release(engine, version) for version in reversed(releases(engine)))


def _exact(among: Iterable[Release], name: str) -> Meaning | None:
    hits = [hit for entry in among if (hit := entry.find(name)) is not None]
    return _meaning(hits) if hits else None


def _abbreviated(among: Iterable[Release], name: str) -> Meaning | Ambiguous | None:
    """A prefix counts where a release takes it; an engine that runs has accepted it.

    Where releases resolve it to different flags, it stays ambiguous.
    """
    if not name.startswith("--") or len(name) <= len("--"):
        return None
    candidates = [entry.starting_with(name) for entry in among]
    single = [hits[0] for hits in candidates if len(hits) == 1]
    if single and len({(flag.dest, negated) for flag, negated in single}) == 1:
        return _meaning(single, abbreviated=True)
    names = {flag.names[0] for hits in candidates for flag, _ in hits if flag.names}
    return Ambiguous(tuple(sorted(names))) if names else None


def _meaning(hits: list[tuple[FlagSpec, bool]], *, abbreviated: bool = False) -> Meaning:
    flag, negated = hits[0]
    variants = tuple(dict.fromkeys(entry for entry, _ in hits if entry.dest == flag.dest))
    return Meaning(flag, negated, frozenset(entry.kind for entry in variants), variants, abbreviated=abbreviated)
