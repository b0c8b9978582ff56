"""When a flag's spelling came and went over an engine's known releases, and what took its place. Pure.

What took a flag's place is data/renamed.json, written by hand from the deprecation texts in vllm/engine/arg_utils.py
and vllm/config (0.9.2 to 0.17.1), the keys of SpeculativeConfig, EPLBConfig and StructuredOutputsConfig, and SGLang's
parsers. tests/unit/dialects/test_registry_history.py holds each entry against the releases' flags.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from types import MappingProxyType

from inferplan.api.values import Engine
from inferplan.dialects.registry import FlagSpec, release, releases


@dataclass(frozen=True, slots=True)
class Spelling:
    """Where one spelling of a flag is known.

    Attributes:
        name: The spelling.
        releases: The known releases that have it, oldest first; there may be a gap.
        gone: The first known release after the last of them; None where the newest known one has it.
    """

    name: str
    releases: tuple[str, ...]
    gone: str | None

    @property
    def first(self) -> str:
        """The first known release that has it."""
        return self.releases[0]

    @property
    def last(self) -> str:
        """The last known release that has it."""
        return self.releases[-1]

    def spans(self, known: Sequence[str]) -> str:
        """Where it is known among all known releases, for people: "0.6.6 to 0.16.0 and 0.33.0"."""
        runs: list[list[str]] = []
        for version in known:
            if version not in self.releases:
                runs.append([])
            else:
                runs = runs or [[]]
                runs[-1].append(version)
        return " and ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs if run)


@dataclass(frozen=True, slots=True)
class Successor:
    """What took a flag's place.

    Attributes:
        old: The old flag's first spelling.
        names: The flags that do its work now, a key of a JSON flag behind a dot; empty where nothing does.
        since: The first known release in which they do; empty where nothing does.
        negated: Whether the new one says the opposite: --disable-log-requests is --no-enable-log-requests.
        note: A sentence for people on what else is different; may be empty.
    """

    old: str
    names: tuple[str, ...] = ()
    since: str = ""
    negated: bool = False
    note: str = ""

    @property
    def new(self) -> str:
        """The new flags for people; empty where there is none."""
        return " and ".join(self.names)


def history(engine: Engine, name: str) -> Spelling | None:
    """Which known releases have a spelling (dashes, not underscores); None where none has."""
    return _spellings(engine).get(name)


def renamed(engine: Engine, name: str) -> Successor | None:
    """What took the place of a flag, by any of its spellings or its dest; None where that is not known."""
    table = _successors(engine)
    return table.get(name) or next((table[other] for other in _own_names(engine, name) if other in table), None)


@cache
def known_flags(engine: Engine) -> Mapping[str, tuple[str, ...]]:
    """By dest, every spelling that sets or clears the flag in any known release, the newest release's first."""
    found: dict[str, dict[str, None]] = {}
    for version in reversed(releases(engine)):
        for flag in release(engine, version).flags:
            found.setdefault(flag.dest, {}).update(dict.fromkeys((*flag.names, *flag.negations)))
    return MappingProxyType({dest: tuple(names) for dest, names in found.items()})


@cache
def _own_names(engine: Engine, name: str) -> frozenset[str]:
    """The positive spellings of the flags that a name belongs to; 0.33's `--disable-x` belongs to `--enable-x`."""
    flags = (flag for version in releases(engine) for flag in release(engine, version).flags)
    return frozenset(own for flag in flags if name in {flag.dest, *_all_names(flag)} for own in flag.names)


@cache
def _spellings(engine: Engine) -> Mapping[str, Spelling]:
    versions = releases(engine)
    found: dict[str, list[str]] = {}
    for version in versions:
        for flag in release(engine, version).flags:
            for name in _all_names(flag):
                found.setdefault(name, []).append(version)
    following = dict(pairwise(versions))
    return {name: Spelling(name, tuple(having), following.get(having[-1])) for name, having in found.items()}


def _all_names(flag: FlagSpec) -> tuple[str, ...]:
    return (*flag.names, *flag.negations)


@cache
def _successors(engine: Engine) -> Mapping[str, Successor]:
    text = resources.files("inferplan.dialects").joinpath("data", "renamed.json").read_text("utf-8")
    entries = (
        Successor(
            old=entry["old"],
            names=tuple(entry["new"]),
            since=entry.get("since", ""),
            negated=entry.get("negated", False),
            note=entry.get("note", ""),
        )
        for entry in json.loads(text)[engine]
    )
    return {entry.old: entry for entry in entries}
