"""What plans promised and what came of them, from the plans themselves. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from inferplan.api.instance_status import LEDGER_MAX, LedgerEntry
from inferplan.api.plan import Phase
from inferplan.dialects.untyped import mapping, scalar

_TRIED = frozenset({Phase.VERIFIED, Phase.ROLLED_BACK, Phase.FAILED})
_CHANGES_MOST = 1000


def newest_first(entries: Iterable[LedgerEntry | None]) -> tuple[LedgerEntry, ...]:
    """What an instance's status holds of them."""
    found = sorted((entry for entry in entries if entry is not None), key=lambda entry: entry.ended_at or "")
    return tuple(reversed(found))[:LEDGER_MAX]


def ledger_entry(document: Mapping[str, Any]) -> LedgerEntry | None:
    """What became of a plan; None where it never came as far as to a pod, or cannot be read.

    Args:
        document: The plan as it is stored.
    """
    status = mapping(document.get("status"))
    attempt, canary = mapping(status.get("attempt")), mapping(status.get("canary"))
    if status.get("phase") not in _TRIED or not (attempt.get("patchedAt") or canary):
        return None
    shown = mapping(status.get("verification")) or mapping(canary.get("verification"))
    fields = {name: shown[name] for name in ("predicted", "realized", "error", "verdict") if name in shown}
    ended = mapping(shown.get("window")).get("endedAt") or attempt.get("patchedAt") or canary.get("startedAt")
    summary = mapping(mapping(document.get("spec")).get("summary"))
    try:
        return LedgerEntry(
            plan=scalar(mapping(document.get("metadata")).get("name")),
            changes=scalar(summary.get("changes"))[:_CHANGES_MOST],
            phase=scalar(status.get("phase")),
            ended_at=scalar(ended),
            **fields,
        )
    except ValidationError:
        return None
