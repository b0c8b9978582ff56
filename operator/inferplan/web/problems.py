"""What is wrong with a document, in lines for people: field, value, what is allowed. Pure; knows no framework."""

import difflib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_VALUE_LENGTH_MAX = 60
_SCALARS = frozenset({"bool", "int", "float", "str"})  # how pydantic names the members of a union of plain values
_PLAIN = "text, a number, true, false or null"
_NOT_FINITE = "finite_number"


class Spelling(Enum):
    """How fields are spelled where the reader wrote them."""

    KUBE = "camelCase"
    HTTP = "snake_case"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        field: Path of the field: `spec.slo[0].metric`; empty for the document itself.
        message: What is wrong with it, without the path.
        allowed: What may stand there, where that is a short list.
    """

    field: str
    message: str
    allowed: tuple[str, ...] | None = None

    @property
    def line(self) -> str:
        """The problem in one line."""
        return f"{self.field}: {self.message}" if self.field else self.message


def problems_of(
    error: ValidationError, model: type[BaseModel], spelling: Spelling, prefix: str = ""
) -> tuple[Problem, ...]:
    """Every finding of pydantic once, paths in the reader's spelling.

    Args:
        error: What pydantic found.
        model: The model that was asked for.
        spelling: camelCase for Kubernetes objects, snake_case for HTTP.
        prefix: Path of the model in the document: "spec".
    """
    entries = error.errors(include_url=False)
    found = [_problem(entry, model, spelling, prefix) for entry in entries if not _follows_from_another(entry, entries)]
    return tuple({problem.field: problem for problem in reversed(found)}.values())[::-1]


def shown(value: object) -> str:
    """A value as JSON, cut to what a line bears."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= _VALUE_LENGTH_MAX else f"{text[:_VALUE_LENGTH_MAX]}…"


def nearest(word: str, known: Sequence[str]) -> str:
    """`, did you mean "x"?` where a known name is near, else nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f', did you mean "{near[0]}"?' if near else ""


def _follows_from_another(entry: ErrorDetails, entries: Sequence[ErrorDetails]) -> bool:
    """A list that is too short only because its entries were refused is no problem of its own."""
    place = entry["loc"]
    return entry["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in entries
    )


def _problem(entry: ErrorDetails, model: type[BaseModel], spelling: Spelling, prefix: str) -> Problem:
    place = entry["loc"]
    if _is_member(entry) and not _is_field(model, place):
        value = entry["input"]
        wanted = "a finite number" if isinstance(value, float) and not math.isfinite(value) else _PLAIN
        return Problem(_path(model, place[:-1], spelling, prefix), f"{shown(value)} must be {wanted}")
    message, allowed = _message(entry, model, spelling)
    return Problem(_path(model, place, spelling, prefix), message, allowed)


def _is_member(entry: ErrorDetails) -> bool:
    """Whether the value is none of one member of a union of plain values, which the path then ends with."""
    place, kind = entry["loc"], str(entry["type"])
    return len(place) > 1 and place[-1] in _SCALARS and (kind.endswith(("_type", "_parsing")) or kind == _NOT_FINITE)


def _message(entry: ErrorDetails, model: type[BaseModel], spelling: Spelling) -> tuple[str, tuple[str, ...] | None]:
    value = shown(entry["input"])
    match entry["type"]:
        case "missing":
            return "is missing", None
        case "extra_forbidden":
            known = _names(_model_at(model, entry["loc"][:-1]), spelling)
            return f"unknown field{nearest(str(entry['loc'][-1]), known)}", known
        case "enum" | "literal_error":
            allowed = tuple(re.findall(r"'([^']*)'", str(entry.get("ctx", {}).get("expected", ""))))
            return f"{value} is not allowed; allowed: {', '.join(allowed)}", allowed
        case "json_invalid":
            return f"the body is no JSON: {entry.get('ctx', {}).get('error', '')}", None
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{value} must be an object with fields", None
        case "string_type":
            return f"{value} must be text; put it in quotes", None
        case "string_pattern_mismatch":
            return f"{value} must match {entry.get('ctx', {}).get('pattern')}", None
        case _:
            rule = entry["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            return f"{value} must be {rule}" if rule != entry["msg"] else f"{value}: {rule}", None


def _path(model: type[BaseModel], place: Sequence[int | str], spelling: Spelling, prefix: str) -> str:
    text = prefix
    for part, owner in zip(place, _owners(model, place), strict=True):
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f"{'.' if text else ''}{_spelled(owner, part, spelling)}"
    return text


def _owners(model: type[BaseModel], place: Sequence[int | str]) -> Iterator[type[BaseModel] | None]:
    """For each step of the path, the model whose field it is; None inside free-form values."""
    current: type[BaseModel] | None = model
    for part in place:
        yield current
        if isinstance(part, str) and current is not None:
            field = _field(current, part)
            current = None if field is None else _inner(field[1].annotation)


def _model_at(model: type[BaseModel], place: Sequence[int | str]) -> type[BaseModel] | None:
    return list(_owners(model, [*place, ""]))[-1]


def _is_field(model: type[BaseModel], place: Sequence[int | str]) -> bool:
    owner = _model_at(model, place[:-1])
    return owner is not None and _field(owner, str(place[-1])) is not None


def _field(model: type[BaseModel], name: str) -> tuple[str, FieldInfo] | None:
    return next(
        ((own, info) for own, info in model.model_fields.items() if name in {own, info.alias}),
        None,
    )


def _inner(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401  an annotation has any type
    """The model inside an annotation such as `tuple[SLO, ...]` or `ModelSpec | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part)) is not None), None)


def _names(model: type[BaseModel] | None, spelling: Spelling) -> tuple[str, ...]:
    if model is None:
        return ()
    return tuple(_spelled(model, own, spelling) for own in model.model_fields)


def _spelled(model: type[BaseModel] | None, name: str, spelling: Spelling) -> str:
    field = None if model is None else _field(model, name)
    if field is None:
        return name
    own, info = field
    return own if spelling is Spelling.HTTP else info.alias or own
