"""POST /api/v1/plans/{namespace}/{name}/approve, …/reject, …/rollback: a person's word on a plan."""

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from inferplan.apply.asking import Word
from inferplan.web.bodies import body_of
from inferplan.web.cluster_routes import PLAN, is_place, no_such_plan, unreadable
from inferplan.web.deciding import WordRequest
from inferplan.web.errors import NotHereError
from inferplan.web.gate import NO_CLUSTER, Gate
from inferplan.web.hiding import shown
from inferplan.web.openapi import WORD_OPERATION
from inferplan.web.ports import Parts
from inferplan.web.requests import read_request

_SUMMARIES = {
    Word.APPROVE: "Let a plan that waits be applied",
    Word.REJECT: "Say no to a plan that was not applied",
    Word.ROLLBACK: "Have a plan undone that the workload carries",
}
_DESCRIPTION = (
    "Needs a Kubernetes token whose user has the verb `approve` on `optimizationplans.inferplan.dev` in the plan's"
    " namespace. The user's name is written into `spec.approval.by`. The body may be empty; with `plan_hash` the word"
    " holds for exactly that plan."
)
WORDS = tuple(f"{PLAN}/{word}" for word in Word)
"""The routes' paths."""


def add_word_routes(app: FastAPI, parts: Parts, gate: Gate) -> None:
    """Adds the routes; without a cluster they answer 404 and say so."""
    for word, path in zip(Word, WORDS, strict=True):
        _add(app, path, word, parts, gate)


def _add(app: FastAPI, path: str, word: Word, parts: Parts, gate: Gate) -> None:
    @app.post(
        path,
        summary=_SUMMARIES[word],
        description=_DESCRIPTION,
        tags=["cluster"],
        response_model=None,
        openapi_extra=WORD_OPERATION,
        name=word.value,
    )
    async def say(request: Request, namespace: str, name: str) -> JSONResponse:
        if parts.words is None:
            raise NotHereError(NO_CLUSTER)
        if not is_place(namespace, name):
            raise no_such_plan(namespace, name)
        caller = await gate.to_decide(request, namespace, name)
        body = await body_of(request)
        asked = read_request(body, WordRequest) if body.strip() else WordRequest()
        with unreadable(namespace, name):
            plan = await parts.words.say((namespace, name), word, asked, caller.name)
        if plan is None:
            raise no_such_plan(namespace, name)
        return JSONResponse(shown(plan))
