"""The HTTP face: vLLM's OpenAI-like endpoints, /health, /version and /metrics, over one simulated engine."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from inferplan_lab.engine.serving import Engine, Session, tokens_of

DEFAULT_COMPLETION_TOKENS = 16
"""max_tokens of /v1/completions when the request does not say, as the OpenAI API has it."""
WORD = " token"
"""The text of every generated token."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_BODY_BYTES = 64 * 2**20


class RequestError(ValueError):
    """A request that is answered with an error.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Call:
    """One request for text, whichever endpoint it came through.

    Attributes:
        model: the name in the answer.
        prompt: token numbers.
        output_tokens: to generate.
        stream: answer with server-sent events.
        usage: the stream ends with a chunk that has the usage.
        chat: it came through /v1/chat/completions.
    """

    model: str
    prompt: Sequence[int]
    output_tokens: int
    stream: bool
    usage: bool
    chat: bool


def _chat_text(messages: Any) -> str:  # noqa: ANN401 - the body of a request, not yet checked
    """The text of a conversation."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise RequestError("messages must be a list of objects with role and content")
    return "".join(f"<{message.get('role')}>{message.get('content')}" for message in messages)


def _prompt_tokens(prompt: Any) -> list[int]:  # noqa: ANN401 - the body of a request, not yet checked
    """The tokens of a prompt: a text, token numbers, or a list of one of them."""
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    numbers = isinstance(prompt, list) and bool(prompt) and all(isinstance(token, int) for token in prompt)
    if not isinstance(prompt, str) and not numbers:
        raise RequestError("prompt must be one text or one list of token numbers")
    return tokens_of(prompt)


def read_call(body: Any, engine: Engine, *, chat: bool) -> Call:  # noqa: ANN401 - JSON that came over the wire
    """Check a request's body.

    Args:
        body: the parsed JSON.
        engine: whose model names and lengths count.
        chat: it came through /v1/chat/completions.

    Returns:
        The call.

    Raises:
        RequestError: the body is not a request that this server answers.
    """
    if not isinstance(body, dict):
        raise RequestError("the body must be a JSON object")
    names = engine.settings.model_names
    model = body.get("model") or names[0]
    if model not in names:
        raise RequestError(f"The model `{model}` does not exist.", 404)
    tokens = tokens_of(_chat_text(body.get("messages"))) if chat else _prompt_tokens(body.get("prompt"))
    wanted = body.get("max_completion_tokens") or body.get("max_tokens")
    if wanted is None:
        wanted = max(1, engine.settings.max_model_len - len(tokens)) if chat else DEFAULT_COMPLETION_TOKENS
    if not isinstance(wanted, int) or wanted < 1:
        raise RequestError(f"max_tokens must be at least 1, got {wanted}.")
    options = body.get("stream_options")
    usage = isinstance(options, dict) and bool(options.get("include_usage"))
    return Call(model, tokens, wanted, bool(body.get("stream")), usage, chat)


class _Answer:
    """The JSON of one call's answer."""

    def __init__(self, call: Call, session: Session) -> None:
        self._call = call
        self._session = session
        kind = "chat.completion" if call.chat else "text_completion"
        self._frame = {
            "id": session.request.request_id,
            "object": f"{kind}.chunk" if call.chat and call.stream else kind,
            "created": int(time.time()),
            "model": call.model,
        }

    def _choice(self, tokens: int, reason: str | None) -> dict[str, Any]:
        """The one choice, with so many tokens of text."""
        text = WORD * tokens
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": reason}
        if not self._call.chat:
            return {**choice, "text": text}
        message = {"role": "assistant", "content": text}
        return {**choice, ("delta" if self._call.stream else "message"): message}

    def usage(self) -> dict[str, int]:
        """Tokens in and out."""
        prompt, output = self._session.request.prompt_tokens, self._session.ready_tokens
        return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}

    def whole(self) -> dict[str, Any]:
        """The answer without streaming."""
        choice = self._choice(self._session.ready_tokens, "length")
        return {**self._frame, "choices": [choice], "usage": self.usage()}

    def chunk(self, tokens: int) -> dict[str, Any]:
        """One part of a stream."""
        reason = "length" if self._session.finished else None
        return {**self._frame, "choices": [self._choice(tokens, reason)]}

    def last(self) -> dict[str, Any]:
        """The part of a stream that has the usage."""
        return {**self._frame, "choices": [], "usage": self.usage()}


def _event(data: object) -> bytes:
    """One server-sent event."""
    return f"data: {json.dumps(data)}\n\n".encode()


class Endpoints:
    """The handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def application(self) -> web.Application:
        """The aiohttp application.

        Returns:
            With all routes.
        """
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/version", self.version),
                web.get("/metrics", self.metrics),
                web.get("/v1/models", self.models),
                web.post("/v1/completions", self.completions),
                web.post("/v1/chat/completions", self.chat),
            ],
        )
        return app

    async def health(self, _request: web.Request) -> web.Response:
        """200 and nothing: the server listens only once it is loaded."""
        return web.Response()

    async def version(self, _request: web.Request) -> web.Response:
        """The pretended release."""
        return web.json_response({"version": self._engine.settings.machine.version})

    async def metrics(self, _request: web.Request) -> web.Response:
        """The metrics page."""
        text = self._engine.metrics.page(self._engine.scheduler)
        return web.Response(body=text.encode(), headers={"Content-Type": METRICS_TYPE})

    async def models(self, _request: web.Request) -> web.Response:
        """The served names."""
        settings = self._engine.settings
        entry = {"object": "model", "owned_by": "vllm", "max_model_len": settings.max_model_len}
        return web.json_response({"object": "list", "data": [{"id": name, **entry} for name in settings.model_names]})

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/completions."""
        return await self._answer(request, chat=False)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        return await self._answer(request, chat=True)

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        """Read, run and answer one call."""
        try:
            call = read_call(await request.json(), self._engine, chat=chat)
            session = self._engine.submit(call.prompt, call.output_tokens)
        except ValueError as error:
            status = error.status if isinstance(error, RequestError) else 400
            problem = {"message": str(error), "type": "BadRequestError", "code": status}
            return web.json_response({"error": problem}, status=status)
        try:
            if call.stream:
                return await self._stream(request, call, session)
            while not session.finished:
                await session.wake.wait()
                session.wake.clear()
            return web.json_response(_Answer(call, session).whole())
        finally:
            self._engine.drop(session)

    async def _stream(self, request: web.Request, call: Call, session: Session) -> web.StreamResponse:
        """Answer with server-sent events."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        answer, sent = _Answer(call, session), 0
        with contextlib.suppress(ConnectionResetError):
            while not session.finished or sent < session.ready_tokens:
                await session.wake.wait()
                session.wake.clear()
                new, sent = session.ready_tokens - sent, session.ready_tokens
                await response.write(_event(answer.chunk(new)))
            end = _event(answer.last()) if call.usage else b""
            await response.write(end + b"data: [DONE]\n\n")
        return response


async def serve(engine: Engine, address: tuple[str, int], stop: asyncio.Event, log: Callable[[str], None]) -> None:
    """Listen and run the engine until told to stop.

    Args:
        engine: loaded.
        address: host and port.
        stop: set to leave; open requests are dropped.
        log: takes one line.

    Raises:
        OSError: the address cannot be bound.
    """
    app = Endpoints(engine).application()
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    work = asyncio.create_task(engine.run())
    halt = asyncio.create_task(stop.wait())
    try:
        await web.TCPSite(runner, *address).start()
        log(f"Starting vLLM API server on http://{address[0]}:{address[1]}")
        log("Application startup complete.")
        await asyncio.wait({work, halt}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (work, halt):
            task.cancel()
        ended = await asyncio.gather(work, halt, return_exceptions=True)
        await runner.cleanup()
    if isinstance(ended[0], Exception):
        raise ended[0]
