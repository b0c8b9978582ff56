"""What is raised on the way to an answer → the refusal that a client reads."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from inferplan.kube.errors import KubeError
from inferplan.observe.addresses import NotAllowedError
from inferplan.web.answers import invalid, refusal
from inferplan.web.bodies import BODY_BYTES_MAX, BodyTooLargeError
from inferplan.web.callers import NotPermittedError, UnauthenticatedError
from inferplan.web.deciding import WordRefusedError
from inferplan.web.looking import BusyError, NoSuchInstanceError
from inferplan.web.requests import InvalidRequestError, UnknownEngineError, allowed_engines

_RETRY_SECONDS = "5"


class NotHereError(LookupError):
    """There is no such object, or no cluster to look for it; one line for people."""


class OtherVersionError(ValueError):
    """A plan was written by another version and cannot be read; one line for people."""


def add_refusals(app: FastAPI, paths: tuple[str, ...]) -> None:
    """Registers an answer for everything that is raised on purpose.

    Args:
        app: The application.
        paths: What there is, for those who ask for something else.
    """

    async def no_such_page(request: Request, error: Any) -> JSONResponse:  # noqa: ANN401  as Starlette calls it
        return _no_such_page(request, error, paths)

    app.add_exception_handler(HTTPException, no_such_page)
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, _handler(answer))


def _handler(answer: Callable[[Any], JSONResponse]) -> Any:  # noqa: ANN401  Starlette's own type is as wide
    async def handle(_: Request, error: Exception) -> JSONResponse:
        return answer(error)

    return handle


def unknown_engine(error: UnknownEngineError) -> JSONResponse:
    """Answer 400."""
    allowed = allowed_engines()
    why = f'instance_type: "{error}" is no engine; allowed: {", ".join(allowed)}'
    return refusal(400, why, "instance_type", allowed)


def _too_large(_: Exception) -> JSONResponse:
    answer = refusal(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
    answer.headers["connection"] = "close"  # the rest of the body is not read
    return answer


def _later(error: Exception) -> JSONResponse:
    answer = refusal(503, str(error))
    answer.headers["retry-after"] = _RETRY_SECONDS
    return answer


def _unauthenticated(error: Exception) -> JSONResponse:
    answer = refusal(401, str(error))
    answer.headers["www-authenticate"] = "Bearer"
    return answer


def _no_cluster_answer(error: KubeError) -> JSONResponse:
    return _later(KubeError(f"the cluster does not answer: {error}"))


_ANSWERS: dict[type[Exception], Callable[[Any], JSONResponse]] = {
    UnknownEngineError: unknown_engine,
    InvalidRequestError: lambda error: invalid(error.problems),
    BodyTooLargeError: _too_large,
    NotAllowedError: lambda error: refusal(403, f"instance_id: {error}", "instance_id"),
    NoSuchInstanceError: lambda error: refusal(404, f"instance_id: {error}", "instance_id"),
    NotHereError: lambda error: refusal(404, str(error)),
    OtherVersionError: lambda error: refusal(409, str(error)),
    UnauthenticatedError: _unauthenticated,
    NotPermittedError: lambda error: refusal(403, str(error)),
    WordRefusedError: lambda error: refusal(409, str(error)),
    BusyError: _later,
    KubeError: _no_cluster_answer,
}


def _no_such_page(request: Request, error: HTTPException, paths: tuple[str, ...]) -> JSONResponse:
    if error.status_code == 405:  # noqa: PLR2004  method not allowed
        answer = refusal(error.status_code, f"{request.method} is not allowed for {request.url.path}")
    else:
        answer = refusal(error.status_code, f"there is nothing at {request.url.path}", allowed=paths)
    answer.headers.update(error.headers or {})
    return answer
