"""Everything but the optimize endpoint: probes, metrics, documentation, errors."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it comes without types
from starlette.types import Receive, Scope, Send
from tests.support.asgi import call
from tests.support.web import Service

from inferplan.web.app import create_app
from inferplan.web.outermost import HttpMetrics, Outermost


def app() -> FastAPI:
    return create_app(lambda: datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_is_answered(path: str) -> None:
    answer = await call(app(), "GET", path)
    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_the_pages_refer_to_no_other_host() -> None:
    page = (await call(app(), "GET", "/docs")).body.decode()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) >= 2
    assert all(source.startswith("/static-offline-docs/") for source in sources)
    assert "http" not in page
    assert "//" not in re.sub(r"<!--.*?-->", "", page)


async def test_what_the_pages_refer_to_is_served() -> None:
    service = app()
    page = (await call(service, "GET", "/docs")).body.decode()
    for source in re.findall(r'(?:src|href)="([^"]*)"', page):
        answer = await call(service, "GET", source)
        assert answer.status == 200
        assert len(answer.body) > 500


async def document() -> Any:
    return (await call(app(), "GET", "/openapi.json")).json


async def test_the_description_is_in_snake_case_and_free_of_kubernetes() -> None:
    schemas = (await document())["components"]["schemas"]
    names = {name for schema in schemas.values() for name in schema.get("properties", {})}
    assert {"instance_id", "current_config", "estimated_total_improvement", "memory_gib"} <= names
    assert all(name == name.lower() for name in names)
    assert "x-kubernetes" not in str(schemas)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_both_answers_of_a_probe_are_described(path: str) -> None:
    answers = (await document())["paths"][path]["get"]["responses"]
    assert {code: list(answer["content"]) for code, answer in answers.items()} == {
        "200": ["text/plain"],
        "503": ["text/plain"],
    }


async def test_every_field_is_described() -> None:
    schemas = (await document())["components"]["schemas"]
    bare = [
        f"{title}.{name}"
        for title, schema in schemas.items()
        for name, entry in schema.get("properties", {}).items()
        if "description" not in entry
    ]
    assert bare == []


async def test_examples_are_valid_by_the_description_and_are_answered_by_it() -> None:
    described = await document()

    def problems(model: str, body: Any) -> list[Any]:
        schema = {"$ref": f"#/components/schemas/{model}", "components": described["components"]}
        return list(Draft202012Validator(schema).iter_errors(body))

    for name in ("optimize", "analyze"):
        operation = described["paths"][f"/api/v1/{name}"]["post"]
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        assert len(examples) == 2
        for example in examples.values():
            assert problems(f"{name.capitalize()}Request", example["value"]) == []
            answer = await Service().post(name, example["value"])
            assert answer.status == 200
            expected = {"optimize": "OptimizeResponse", "analyze": "AnalyzeResponse"}[name]
            assert problems(expected, answer.json) == []


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/api/v1/optimize", "post", {"200", "400", "401", "403", "413", "422", "500", "503"}),
        ("/api/v1/analyze", "post", {"200", "400", "401", "403", "404", "413", "422", "500", "503"}),
        ("/api/v1/instances", "get", {"200", "401", "403", "404", "503"}),
        ("/api/v1/plans", "get", {"200", "401", "403", "404", "503"}),
        ("/api/v1/plans/{namespace}/{name}", "get", {"200", "401", "403", "404", "409", "503"}),
        (
            "/api/v1/plans/{namespace}/{name}/approve",
            "post",
            {"200", "401", "403", "404", "409", "413", "422", "500", "503"},
        ),
    ],
)
async def test_every_status_is_described(path: str, method: str, statuses: set[str]) -> None:
    assert set((await document())["paths"][path][method]["responses"]) == statuses


async def test_whatever_is_referred_to_is_there() -> None:
    described = await document()
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert {"AnalyzeRequest", "AnalyzeResponse", "PlanResource", "InstanceList"} <= names
    assert names <= set(described["components"]["schemas"])


async def test_requests_are_counted_and_made_up_names_share_a_label() -> None:
    service = app()
    await call(service, "POST", "/api/v1/optimize", b"{}")
    await call(service, "GET", "/made-up-name")
    await call(service, "BREW", "/healthz")
    text = (await call(service, "GET", "/metrics")).body.decode()
    assert 'inferplan_http_requests_total{code="422",method="POST",path="/api/v1/optimize"} 1.0' in text
    assert 'inferplan_http_requests_total{code="404",method="GET",path="other"} 1.0' in text
    assert 'method="other",path="/healthz"' in text
    assert 'inferplan_http_request_seconds_count{method="GET",path="other"} 1.0' in text
    assert "made-up-name" not in text


async def test_two_services_count_apart() -> None:
    first, second = app(), app()
    await call(first, "GET", "/healthz")
    assert "/healthz" not in (await call(second, "GET", "/metrics")).body.decode()


async def test_an_unknown_path_is_told_where_to_go() -> None:
    answer = await call(app(), "GET", "/api/v2/optimize")
    assert answer.status == 404
    assert "/api/v1/optimize" in answer.json["allowed"]


async def test_a_wrong_method_is_named() -> None:
    answer = await call(app(), "GET", "/api/v1/optimize")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert "GET is not allowed" in answer.json["error"]


async def test_an_unforeseen_error_is_answered_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive, send
        raise RuntimeError("secret detail")

    service = Outermost(broken, metrics=HttpMetrics(), new_id=lambda: "abc123", paths=frozenset())
    answer = await call(service, "GET", "/")
    assert answer.status == 500
    assert answer.json == {"error": "internal error", "id": "abc123"}
    assert "abc123" in caplog.text
    assert "secret detail" in caplog.text
