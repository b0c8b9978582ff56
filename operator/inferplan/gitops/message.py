"""A proposal as a commit's message; pure."""

import re

from inferplan.gitops.port import Proposal

TITLE_MAX = 200
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9-]")


def commit_message(proposal: Proposal) -> str:
    """Title, text and trailers; nothing in the text can be taken for a trailer, or end a trailer's line."""
    body = proposal.body.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    parts = [_line(proposal.title)[:TITLE_MAX], *([body] if body else [])]
    trailers = [f"{_NOT_IN_A_NAME.sub('-', name)}: {_line(value)}" for name, value in proposal.trailers]
    return "\n\n".join([*parts, *(["\n".join(trailers)] if trailers else [])]) + "\n"


def _line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
