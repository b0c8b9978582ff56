"""Who calls and what they may do, asked of an API server in memory."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.cluster import FakeCluster

from inferplan.kube.errors import UnreachableError
from inferplan.kube.resources import PLANS
from inferplan.web.callers import (
    FRESH_SECONDS,
    KEPT_MOST,
    REVIEWS_AT_ONCE,
    Caller,
    Callers,
    NotPermittedError,
    Right,
    UnauthenticatedError,
)

ADA = {"username": "ada", "uid": "1", "groups": ["team", "system:authenticated"], "extra": {"scopes": ["a"]}}
APPROVE = Right("approve", PLANS, "serving", "llama-3f9c1d20")


@dataclass
class Stage:
    """An API server that knows two tokens; ada may approve."""

    users: dict[str, Any] = field(default_factory=lambda: {"ada-token": ADA, "bob-token": {"username": "bob"}})
    seconds: float = 0.0
    reviews: list[Mapping[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(reviewer=self.review)
        self.callers = Callers(self.cluster, lambda: self.seconds)

    def review(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.reviews.append(body)
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            user = self.users.get(spec["token"])
            return {"authenticated": True, "user": user} if user is not None else {"authenticated": False}
        return {"allowed": spec["user"] == "ada"}

    async def caller(self, token: str = "ada-token") -> Caller:
        return await self.callers.caller(f"Bearer {token}")


async def test_a_caller_is_who_the_api_server_says_with_all_that_rights_depend_on() -> None:
    stage = Stage()
    caller = await stage.caller()
    await stage.callers.require(caller, APPROVE)
    assert caller.name == "ada"
    assert stage.reviews[1]["spec"] == {
        "user": "ada",
        "uid": "1",
        "groups": ["team", "system:authenticated"],
        "extra": {"scopes": ["a"]},
        "resourceAttributes": {
            "group": "inferplan.dev",
            "resource": "optimizationplans",
            "verb": "approve",
            "namespace": "serving",
            "name": "llama-3f9c1d20",
        },
    }


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "has no token"),
        ("", "has no token"),
        ("Basic YTpi", "no Bearer token"),
        ("Bearer ", "no Bearer token"),
        ("Bearer a b", "no Bearer token"),
        ("Bearer a\nb", "no Bearer token"),
        (f"Bearer {'a' * 16385}", "no Bearer token"),
        ("Bearer nobodys", "wrong, has expired"),
        ("bearer nobodys", "wrong, has expired"),
    ],
)
async def test_without_a_token_that_is_taken_nobody_is_known(header: str | None, told: str) -> None:
    with pytest.raises(UnauthenticatedError, match=told):
        await Stage().callers.caller(header)


@pytest.mark.parametrize("status", [{}, {"authenticated": True}, {"authenticated": True, "user": {"username": ""}},
                                    {"authenticated": "yes", "user": {"username": "ada"}}])  # fmt: skip
async def test_half_an_answer_is_no_caller(status: dict[str, Any]) -> None:
    callers = Callers(FakeCluster(reviewer=lambda _: status), lambda: 0.0)
    with pytest.raises(UnauthenticatedError):
        await callers.caller("Bearer t")


async def test_who_has_not_the_right_is_told_which() -> None:
    stage = Stage()
    with pytest.raises(NotPermittedError) as refused:
        await stage.callers.require(await stage.caller("bob-token"), APPROVE)
    told = 'user "bob" may not approve optimizationplans.inferplan.dev in namespace "serving"'
    assert str(refused.value) == told
    assert Right("list", PLANS).told == "list optimizationplans.inferplan.dev in the whole cluster"


async def test_answers_serve_for_ten_seconds() -> None:
    stage = Stage()
    for _ in range(3):
        await stage.callers.require(await stage.caller(), APPROVE)
    assert len(stage.reviews) == 2
    stage.seconds = FRESH_SECONDS
    del stage.users["ada-token"]
    with pytest.raises(UnauthenticatedError):
        await stage.caller()


async def test_a_right_is_kept_for_exactly_this_caller_and_object() -> None:
    stage = Stage()
    await stage.callers.require(await stage.caller(), APPROVE)
    stage.users["other-token"] = {**ADA, "groups": []}
    await stage.callers.require(await stage.caller("other-token"), APPROVE)
    await stage.callers.require(await stage.caller(), Right("approve", PLANS, "other"))
    assert [body["kind"] for body in stage.reviews].count("SubjectAccessReview") == 3


async def test_so_many_answers_are_kept_and_no_more() -> None:
    stage = Stage()
    stage.users = {f"t{number}": {"username": "ada"} for number in range(KEPT_MOST + 1)}
    for token in stage.users:
        await stage.caller(token)
    await stage.caller(f"t{KEPT_MOST}")
    assert len(stage.reviews) == KEPT_MOST + 1
    await stage.caller("t0")  # the oldest went
    assert len(stage.reviews) == KEPT_MOST + 2


async def test_what_cannot_be_asked_is_asked_again() -> None:
    stage = Stage()
    stage.cluster.broken = {("create", "tokenreviews"): UnreachableError("503: no")}
    with pytest.raises(UnreachableError):
        await stage.caller()
    stage.cluster.broken = {}
    assert (await stage.caller()).name == "ada"


async def test_few_reviews_run_at_once() -> None:
    running, most = 0, 0

    class Slow(FakeCluster):
        async def create(self, *_: Any) -> dict[str, Any]:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return {"status": {"authenticated": True, "user": {"username": "ada"}}}

    callers = Callers(Slow(), lambda: 0.0)
    await asyncio.gather(*(callers.caller(f"Bearer t{number}") for number in range(50)))
    assert most == REVIEWS_AT_ONCE


async def test_a_token_is_neither_logged_nor_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stage = Stage()
    caller = await stage.caller()
    with pytest.raises(UnauthenticatedError) as refused:
        await stage.caller("s3cret-token")
    shown = f"{caller!r}{stage.callers._tokens._kept}{refused.value}{caplog.text}"
    assert "ada-token" not in shown
    assert "s3cret-token" not in shown
