"""What Prometheus answers is foreign: every odd answer is an error of ours, and none of its text gets on."""

import json
import math
from typing import Any

import aiohttp
import pytest
from tests.support.sessions import Answer, FakeSession

from inferplan.observe.prometheus import (
    ATTEMPTS,
    RESPONSE_MAX_BYTES,
    HttpPrometheus,
    PrometheusError,
    Sample,
    read_answer,
)

SECRET = "secret-of-the-server"


def body(result: Any, kind: str = "vector", status: str = "success") -> bytes:
    return json.dumps({"status": status, "data": {"resultType": kind, "result": result}}).encode()


def series(value: Any, **labels: Any) -> dict[str, Any]:
    return {"metric": labels, "value": [1.5, value]}


def client(*script: Answer | Exception) -> tuple[HttpPrometheus, FakeSession, list[str]]:
    session, seen = FakeSession(*script), list[str]()
    return HttpPrometheus("http://prom:9090", session, seen.append), session, seen  # type: ignore[arg-type]


def test_a_vector_becomes_samples() -> None:
    assert read_answer(200, body([series("1.5", pod="a")])) == (Sample({"pod": "a"}, 1.5),)
    assert read_answer(200, body([])) == ()


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf"])
def test_values_that_are_no_numbers_come_through_as_such(text: str) -> None:
    (sample,) = read_answer(200, body([series(text)]))
    assert not math.isfinite(sample.value)


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (200, f"<html>{SECRET}</html>".encode(), "no JSON"),
        (200, body([series("1")])[:-9], "no JSON"),
        (200, b"\xff\xfe", "no JSON"),
        (200, b"[" * 200_000, "no JSON"),
        (200, b"[]", "no JSON object"),
        (200, b"null", "no JSON object"),
        (404, b"not found", "no JSON"),
        (401, b"", "no JSON"),
        (400, json.dumps({"status": "error", "errorType": "bad_data", "error": SECRET}).encode(), "bad_data"),
        (200, json.dumps({"status": "error", "errorType": SECRET}).encode(), "unknown error"),
        (200, json.dumps({"status": "error", "errorType": [SECRET]}).encode(), "unknown error"),
        (200, json.dumps({"status": "success"}).encode(), "no instant vector"),
        (200, body([], "matrix"), "no instant vector"),
        (200, body([1, "1"], "scalar"), "no instant vector"),
        (200, body({"a": 1}), "no instant vector"),
        (200, body([series(None)]), "no number"),
        (200, body([series("1.5.5")]), "no number"),
        (200, body([{"metric": {}, "value": []}]), "no number"),
        (200, body([{"metric": {}}]), "no number"),
        (200, body([series("1", pod=1)]), "no labels"),
        (200, body([{"metric": [], "value": [0, "1"]}]), "no labels"),
        (200, body(["text"]), "no labels"),
        (302, b"", "redirects"),
        (503, SECRET.encode(), "503"),
    ],
)
def test_an_odd_answer_is_an_error_without_its_text(status: int, answer: bytes, told: str) -> None:
    with pytest.raises(PrometheusError, match=told) as error:
        read_answer(status, answer)
    assert SECRET not in str(error.value)


async def test_a_query_is_posted_without_redirects_or_compression() -> None:
    prometheus, session, seen = client(Answer(200, body([series("2")])))
    assert await prometheus.query("up") == (Sample({}, 2.0),)
    (asked,) = session.asked
    assert (asked["method"], asked["url"], asked["data"]) == ("POST", "http://prom:9090/api/v1/query", {"query": "up"})
    assert asked["allow_redirects"] is False
    assert asked["headers"]["Accept-Encoding"] == "identity"
    assert seen == ["ok"]


@pytest.mark.parametrize("trouble", [Answer(503, b""), aiohttp.ClientConnectionError(SECRET), TimeoutError()])
async def test_passing_trouble_is_tried_once_more(trouble: Answer | Exception) -> None:
    prometheus, session, _ = client(trouble, Answer(200, body([])))
    assert await prometheus.query("up") == ()
    assert len(session.asked) == ATTEMPTS


@pytest.mark.parametrize("trouble", [Answer(503, b""), aiohttp.ClientConnectionError(SECRET), TimeoutError()])
async def test_trouble_that_stays_is_an_error(trouble: Answer | Exception) -> None:
    prometheus, session, seen = client(trouble)
    with pytest.raises(PrometheusError) as error:
        await prometheus.query("up")
    assert SECRET not in str(error.value)
    assert len(session.asked) == ATTEMPTS
    assert seen == ["error"]


async def test_a_refused_query_is_not_repeated() -> None:
    refusal = json.dumps({"status": "error", "errorType": "bad_data"}).encode()
    prometheus, session, _ = client(Answer(400, refusal))
    with pytest.raises(PrometheusError):
        await prometheus.query("up{")
    assert len(session.asked) == 1


async def test_a_huge_answer_is_given_up() -> None:
    prometheus, session, _ = client(Answer(200, b"x" * (RESPONSE_MAX_BYTES + 1)))
    with pytest.raises(PrometheusError, match="larger than 5 MiB"):
        await prometheus.query("up")
    assert len(session.asked) == 1
