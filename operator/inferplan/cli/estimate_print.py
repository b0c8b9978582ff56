"""Estimates on standard output, one at a time as they come."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import yaml

from inferplan.api.estimate import Estimate
from inferplan.cli.estimate_files import Refused
from inferplan.cli.estimate_table import estimate_table
from inferplan.cli.output import encodable, one_line, write

Answers = Iterable[Estimate | Refused]


def print_lines(answers: Answers, *, alone: bool) -> int:
    """A line of JSON for each, errors too, alone or not. Returns how many could not be answered."""
    del alone
    refused = 0
    for answer in answers:
        refused += isinstance(answer, Refused)
        sys.stdout.write(json.dumps(_object(answer), allow_nan=False) + "\n")  # ASCII: no reader can split a line
        sys.stdout.flush()
    return refused


def print_json(answers: Answers, *, alone: bool) -> int:
    """One object, or a list where there are several. Returns how many could not be answered."""
    refused = 0
    for index, answer in enumerate(answers):
        refused += _complained(answer)
        before = "" if alone else ("[\n" if index == 0 else ",\n")
        write(before + json.dumps(_object(answer), indent=2, ensure_ascii=False, allow_nan=False))
    write("\n" if alone else "\n]\n")
    return refused


def print_yaml(answers: Answers, *, alone: bool) -> int:
    """One document for each. Returns how many could not be answered."""
    refused = 0
    for answer in answers:
        refused += _complained(answer)
        write(yaml.safe_dump(_object(answer), sort_keys=False, allow_unicode=True, width=110, explicit_start=not alone))
    return refused


def print_tables(answers: Answers, *, alone: bool) -> int:
    """A text for people for each; errors only on standard error. Returns how many could not be answered."""
    refused = 0
    for answer in answers:
        refused += _complained(answer)
        if isinstance(answer, Estimate):
            write(estimate_table(answer) + ("" if alone else "\n"))
    return refused


PRINTERS: dict[str, Callable[..., int]] = {
    "table": print_tables,
    "json": print_json,
    "jsonl": print_lines,
    "yaml": print_yaml,
}
"""Output formats by name."""


def _object(answer: Estimate | Refused) -> dict[str, Any]:
    if isinstance(answer, Refused):
        return {"error": encodable(one_line(answer.reason))}
    return answer.model_dump(mode="json", by_alias=True)


def _complained(answer: Estimate | Refused) -> bool:
    """Whether it is an error; then it is told on standard error."""
    if isinstance(answer, Estimate):
        return False
    print(encodable(f"inferplan estimate: {one_line(answer.reason)}"), file=sys.stderr)
    return True
