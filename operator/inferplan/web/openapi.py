"""The OpenAPI document's parts: schemas in snake_case, and the examples that /docs offers to try."""

from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import models_json_schema

from inferplan.api.exchange import ErrorResponse, OptimizeRequest, OptimizeResponse
from inferplan.web.answers import InternalError, InvalidRequest

_REFERENCE = "#/components/schemas/{model}"

DESCRIPTION = (
    "Plans what to change in a running LLM server (vLLM, SGLang). The answer rests on what the request says;"
    " nothing is fetched and nothing is changed."
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

OPTIMIZE_OPERATION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": _REFERENCE.format(model="OptimizeRequest")},
                "examples": {
                    "nothing-known": {"summary": "Settings only: rules of thumb", "value": NOTHING_KNOWN},
                    "measured": {"summary": "Model, GPU and metrics known", "value": MEASURED},
                },
            }
        },
    },
    "responses": {
        str(code): {
            "description": meaning,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=model)}}},
        }
        for code, meaning, model in (
            (200, "The plan, best change first.", "OptimizeResponse"),
            (400, "instance_type is no engine.", "ErrorResponse"),
            (413, "The body is larger than 1 MiB.", "ErrorResponse"),
            (422, "The body is malformed; every problem is named.", "InvalidRequest"),
            (500, "Internal error; the id is in the server's log.", "InternalError"),
        )
    },
}


def component_schemas() -> dict[str, Any]:
    """Schemas of everything that requests and answers hold, in snake_case."""
    _, document = models_json_schema(
        [
            (OptimizeRequest, "validation"),
            (OptimizeResponse, "serialization"),
            (ErrorResponse, "serialization"),
            (InvalidRequest, "serialization"),
            (InternalError, "serialization"),
        ],
        by_alias=False,
        ref_template=_REFERENCE,
    )
    schemas: dict[str, Any] = _without_kubernetes(document["$defs"])
    return schemas


def _without_kubernetes(node: Any) -> Any:  # noqa: ANN401  a JSON schema has any shape
    """The same schema without the extensions that only an API server understands."""
    if isinstance(node, dict):
        return {
            key: _without_kubernetes(value) for key, value in node.items() if not str(key).startswith("x-kubernetes-")
        }
    return [_without_kubernetes(entry) for entry in node] if isinstance(node, list) else node
