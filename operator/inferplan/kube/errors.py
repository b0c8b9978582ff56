"""What can go wrong between the operator and the API server.

KubeError
├── NotFoundError      404: the object, or its kind, does not exist
├── ConflictError      409: it exists already, or was changed meanwhile
│   └── OwnedError     409: other field managers own what was to be applied
├── ForbiddenError     401, 403: the operator may not do this
├── InvalidError       400, 413, 415, 422: the API server refuses what was sent
├── ExpiredError       410: a paged list took too long and must start again
├── FencedError        nothing was sent: another operator may act by now
└── UnreachableError   no answer, 429 or 5xx after all retries, or an answer that is no JSON
"""

from http import HTTPStatus


class KubeError(Exception):
    """The API server could not be asked, or said no; one line for people."""


class NotFoundError(KubeError):
    """The object, or its kind, does not exist."""


class ConflictError(KubeError):
    """The object exists already, or was changed meanwhile."""


class OwnedError(ConflictError):
    """Fields that were to be applied belong to other field managers.

    Attributes:
        managers: Who they are, each once, in the order that the API server names them.
    """

    def __init__(self, message: str, managers: tuple[str, ...]) -> None:
        super().__init__(message)
        self.managers = managers


class ForbiddenError(KubeError):
    """The operator may not do this."""


class InvalidError(KubeError):
    """The API server refuses what was sent."""


class ExpiredError(KubeError):
    """A paged list took too long and must start again."""


class FencedError(KubeError):
    """Nothing was sent: another operator may act by now."""


class UnreachableError(KubeError):
    """No proper answer; worth another try later."""


_BY_STATUS: dict[int, type[KubeError]] = {
    HTTPStatus.BAD_REQUEST: InvalidError,
    HTTPStatus.UNAUTHORIZED: ForbiddenError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: ExpiredError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidError,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: InvalidError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidError,
}


def error_of(status: int, message: str, managers: tuple[str, ...] = ()) -> KubeError:
    """The error that an HTTP status stands for; with `managers`, a conflict is about who owns what."""
    if status == HTTPStatus.CONFLICT and managers:
        return OwnedError(f"{status}: {message}", managers)
    return _BY_STATUS.get(status, UnreachableError)(f"{status}: {message}")
