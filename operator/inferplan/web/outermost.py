"""What every request passes: it is counted and timed, and an unforeseen error becomes a 500 without a trace."""

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inferplan.web.answers import InternalError, refusal

_LOGGER = logging.getLogger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"
"""Label of what clients make up: an unbounded label would let them fill the server's memory."""


class HttpMetrics:
    """The service's own metrics.

    Args:
        registry: Where they go, beside what is there already; by default one of their own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.requests = Counter(
            "inferplan_http_requests",
            "HTTP requests answered.",
            ("path", "method", "code"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "inferplan_http_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ("path", "method"),
            registry=self.registry,
        )


class Outermost:
    """ASGI middleware around the whole application.

    Args:
        app: The application.
        metrics: Where requests are counted.
        new_id: Gives the ids of internal errors.
        paths: Paths, or their templates, that are counted under their own name.
    """

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, new_id: Callable[[], str], paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._new_id = new_id
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: list[int] = []
        started = perf_counter()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except asyncio.CancelledError:  # the server stops, and what it answers takes longer than it waits
            if not status:
                await refusal(503, "the service is being stopped; ask again later")(scope, receive, watch)
        except Exception:
            error_id = self._new_id()
            _LOGGER.exception("internal error %s: %s %s", error_id, scope["method"], scope["path"])
            if not status:
                body = InternalError(error="internal error", id=error_id)
                await JSONResponse(body.to_http(), 500)(scope, receive, watch)
        finally:
            self._count(scope, status, perf_counter() - started)

    def _count(self, scope: Scope, status: list[int], seconds: float) -> None:
        template = getattr(scope.get("route"), "path_format", scope["path"])
        path = template if template in self._paths else _OTHER
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        code = str(status[0]) if status else "none"
        self._metrics.requests.labels(path, method, code).inc()
        self._metrics.seconds.labels(path, method).observe(seconds)
