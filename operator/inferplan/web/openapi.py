"""The OpenAPI document's parts: schemas in snake_case, and the examples that /docs offers to try."""

from typing import Any

from pydantic import BaseModel, JsonValue
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from inferplan.api.exchange import (
    AnalyzeRequest,
    AnalyzeResponse,
    ErrorResponse,
    OptimizeRequest,
    OptimizeResponse,
)
from inferplan.api.listing import InstanceList, PlanList, PlanResource
from inferplan.web.answers import InternalError, InvalidRequest
from inferplan.web.deciding import WordRequest

BEARER = "bearer"
"""Name of the security scheme."""

WITH_TOKEN: dict[str, Any] = {"security": [{BEARER: []}]}
"""Part of an operation that needs a token, or may need one (INFERPLAN_AUTHENTICATION)."""

NO_TOKEN = (401, "There is no token, or the API server does not take it.", "ErrorResponse")
NOT_PERMITTED = (403, "The caller may not; the answer says which right is missing.", "ErrorResponse")

_REFERENCE = "#/components/schemas/{model}"

DESCRIPTION = (
    "Sees what limits a running LLM server (vLLM, SGLang, TGI) and plans what to change in it. Nothing is changed; the"
    " only thing that is fetched are /metrics and /version of engines that the administrator allows. In the operator,"
    " plans can be approved, rejected and rolled back by those who may."
)

NOTHING_KNOWN: dict[str, JsonValue] = {
    "instance_id": "localhost:8000",
    "instance_type": "vllm",
    "current_config": {"max_batch_size": 32, "quantization": "none", "max_model_len": 4096},
}
"""The least that gives an answer: rules of thumb, marked as such."""

MEASURED: dict[str, JsonValue] = {
    "instance_id": "serving/llama-8b",
    "instance_type": "vllm",
    "engine_version": "0.33.0",
    "current_config": {"max_batch_size": 32, "max_model_len": 4096},
    "model": {
        "id": "meta-llama/Llama-3.1-8B-Instruct",
        "config": {
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_attention_heads": 32,
            "num_hidden_layers": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
            "torch_dtype": "bfloat16",
        },
    },
    "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 1},
    "metrics": {
        "window_seconds": 900,
        "num_requests_running": 32,
        "num_requests_waiting": 12,
        "kv_cache_usage": 0.3,
        "kv_cache_tokens": 400000,
        "itl_mean_milliseconds": 12,
    },
}
"""With model, GPU and metrics: the scheduler's cap is what limits this instance."""

RUNNING_ENGINE: dict[str, JsonValue] = {
    "instance_id": "localhost:8000",
    "instance_type": "vllm",
    "sample_seconds": 20,
    "slo_targets": [{"metric": "ttft", "percentile": 95, "target_milliseconds": 500}],
}
"""An engine on the service's own machine, which is asked for its pages."""

KV_BOUND: dict[str, JsonValue] = {
    "instance_id": "llama-8b",
    "instance_type": "vllm",
    "engine_version": "0.33.0",
    "current_config": {"max_batch_size": 256, "max_model_len": 8192},
    "slo_targets": [
        {"metric": "ttft", "percentile": 95, "target_milliseconds": 500},
        {"metric": "itl", "percentile": 95, "target_milliseconds": 40},
    ],
    "metrics": {
        "window_seconds": 900,
        "num_requests_running": 42,
        "num_requests_waiting": 17,
        "kv_cache_usage": 0.998,
        "kv_cache_usage_mean": 0.97,
        "preemptions_per_second": 0.4,
        "requests_per_second": 6.2,
        "prompt_tokens_mean": 1900,
        "generation_tokens_mean": 240,
        "ttft_p95_milliseconds": 2900,
        "itl_p95_milliseconds": 31,
    },
}
"""What a person read off a dashboard: the KV cache is full."""

_REFUSALS = (
    (400, "instance_type is no engine.", "ErrorResponse"),
    (413, "The body is larger than 1 MiB.", "ErrorResponse"),
    (422, "The body is malformed; every problem is named.", "InvalidRequest"),
    (500, "Internal error; the id is in the server's log.", "InternalError"),
)


def answers_of(*answers: tuple[int, str, str]) -> dict[str, Any]:
    """The `responses` of an operation: status, meaning and model of each answer."""
    return {
        "responses": {
            str(code): {
                "description": meaning,
                "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model)}}},
            }
            for code, meaning, model in answers
        }
    }


def _body(model: str, **examples: tuple[str, dict[str, JsonValue]]) -> dict[str, Any]:
    """The `requestBody` of an operation, with examples that /docs offers to try."""
    content = {
        "schema": {"$ref": _REFERENCE.format(model=model)},
        "examples": {
            name.replace("_", "-"): {"summary": summary, "value": value} for name, (summary, value) in examples.items()
        },
    }
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


OPTIMIZE_OPERATION: dict[str, Any] = {
    **_body(
        "OptimizeRequest",
        nothing_known=("Settings only: rules of thumb", NOTHING_KNOWN),
        measured=("Model, GPU and metrics known", MEASURED),
    ),
    **answers_of(
        (200, "The plan, best change first.", "OptimizeResponse"),
        NO_TOKEN,
        NOT_PERMITTED,
        (503, "The cluster does not answer.", "ErrorResponse"),
        *_REFUSALS,
    ),
    "security": [{}, {BEARER: []}],
}

ANALYZE_OPERATION: dict[str, Any] = {
    **_body(
        "AnalyzeRequest",
        kv_bound=("Metrics stated: a full KV cache", KV_BOUND),
        running_engine=("A running engine, asked for its pages", RUNNING_ENGINE),
    ),
    **answers_of(
        (200, "What limits the instance; what cannot be told stands in `unknowns`.", "AnalyzeResponse"),
        NO_TOKEN,
        (
            403,
            "The engine is not on the administrator's list, or the instance not for the caller.",
            "ErrorResponse",
        ),
        (404, "The cluster has no such instance, or there is no cluster.", "ErrorResponse"),
        (503, "Too many engines are being asked, or the cluster does not answer.", "ErrorResponse"),
        *_REFUSALS,
    ),
    "security": [{}, {BEARER: []}],
}

WORD_OPERATION: dict[str, Any] = {
    **_body("WordRequest", seen=("With a reason", {"note": "seen in staging"})),
    **answers_of(
        (200, "The plan with the caller's word in `spec.approval`.", "PlanResource"),
        NO_TOKEN,
        NOT_PERMITTED,
        (404, "There is no such plan, or no cluster.", "ErrorResponse"),
        (409, "The plan is in no phase for it, or its `plan_hash` is another.", "ErrorResponse"),
        (503, "The cluster does not answer.", "ErrorResponse"),
        *(entry for entry in _REFUSALS if entry[0] != 400),  # noqa: PLR2004  no engine is named
    ),
    **WITH_TOKEN,
}
WORD_OPERATION["requestBody"]["required"] = False

_REQUESTS: tuple[type[BaseModel], ...] = (OptimizeRequest, AnalyzeRequest, WordRequest)
_ANSWERS: tuple[type[BaseModel], ...] = (
    OptimizeResponse,
    AnalyzeResponse,
    InstanceList,
    PlanList,
    PlanResource,
    ErrorResponse,
    InvalidRequest,
    InternalError,
)


def components() -> dict[str, Any]:
    """Everything that operations refer to: schemas, and how a caller says who they are."""
    bearer = {
        "type": "http",
        "scheme": "bearer",
        "description": "A Kubernetes token: `kubectl create token ACCOUNT`, or your own.",
    }
    return {"schemas": _component_schemas(), "securitySchemes": {BEARER: bearer}}


def _component_schemas() -> dict[str, Any]:
    """Schemas of everything that requests and answers hold, in snake_case."""
    read: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in _REQUESTS]
    written: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "serialization") for model in _ANSWERS]
    _, document = models_json_schema([*read, *written], by_alias=False, ref_template=_REFERENCE)
    schemas: dict[str, Any] = _without_kubernetes(document["$defs"])
    return schemas


def _without_kubernetes(node: Any) -> Any:  # noqa: ANN401  a JSON schema has any shape
    """The same schema without the extensions that only an API server understands."""
    if isinstance(node, dict):
        return {
            key: _without_kubernetes(value) for key, value in node.items() if not str(key).startswith("x-kubernetes-")
        }
    return [_without_kubernetes(entry) for entry in node] if isinstance(node, list) else node
