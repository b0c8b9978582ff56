"""Reasons are spelled once: what is used is declared, what is declared is used, and each has its meaning."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferplan.api.reasons import ConditionType, Reason

PACKAGE = Path(__file__).resolve().parents[2] / "operator" / "inferplan"
DECLARED_IN = PACKAGE / "api" / "reasons.py"


def used(enum_name: str) -> Iterator[tuple[str, str]]:
    """Member and place of every `<enum_name>.MEMBER` in the package, its declaration excepted."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == DECLARED_IN:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == enum_name:
                yield node.attr, f"{path.relative_to(PACKAGE)}:{node.lineno}"


@pytest.mark.parametrize("enum", [Reason, ConditionType], ids=lambda enum: enum.__name__)
def test_every_declared_member_is_used(enum: type[Reason] | type[ConditionType]) -> None:
    seen = {member for member, _ in used(enum.__name__)}
    assert sorted(set(enum.__members__) - seen) == []


@pytest.mark.parametrize("enum", [Reason, ConditionType], ids=lambda enum: enum.__name__)
def test_every_used_member_is_declared(enum: type[Reason] | type[ConditionType]) -> None:
    undeclared = [place for member, place in used(enum.__name__) if not hasattr(enum, member)]
    assert undeclared == []


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_a_meaning_in_a_sentence(reason: Reason) -> None:
    assert len(reason.meaning.split()) >= 3
    assert reason.meaning.endswith(".")


def test_codes_are_camel_case_and_none_stands_for_two_reasons() -> None:
    codes = [reason.value for reason in Reason]
    assert all(code.isalnum() and code[0].isupper() for code in codes)
    assert len(codes) == len(Reason.__members__)
