"""Refusals as JSON, all of one shape: what is wrong, with which field, what is allowed."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from starlette.responses import JSONResponse

from inferplan.api.base import WireModel
from inferplan.api.exchange import ErrorResponse
from inferplan.web.problems import Problem


class InvalidRequest(ErrorResponse):
    """Answer 422: the first problem in `error`, `field` and `allowed`; every one in `problems`."""

    problems: Annotated[tuple[ErrorResponse, ...], Field(description="Every problem, one line each.")]


class InternalError(WireModel):
    """Answer 500: nothing but an id, which the server's log has too."""

    error: Annotated[str, Field(description="internal error")]
    id: Annotated[str, Field(description="Look for it in the server's log.")]


def refusal(status: int, error: str, field: str | None = None, allowed: Sequence[str] | None = None) -> JSONResponse:
    """An answer with a single problem."""
    body = ErrorResponse(error=error, field=field, allowed=None if allowed is None else tuple(allowed))
    return JSONResponse(body.to_http(), status)


def invalid(problems: Sequence[Problem]) -> JSONResponse:
    """Answer 422."""
    entries = tuple(
        ErrorResponse(error=problem.line, field=problem.field or None, allowed=problem.allowed) for problem in problems
    )
    first = entries[0]
    body = InvalidRequest(error=first.error, field=first.field, allowed=first.allowed, problems=entries)
    return JSONResponse(body.to_http(), 422)
