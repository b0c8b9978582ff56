"""A container as the engine sees it."""

import pytest

from inferplan.api.values import Engine
from inferplan.dialects.container import (
    Container,
    engine_containers,
    engine_of,
    expand,
    has_variable,
    read_container,
    version_of_image,
)


def test_a_template_is_read() -> None:
    container = read_container(
        {
            "name": "vllm",
            "image": "vllm/vllm-openai:v0.33.0",
            "command": ["vllm", "serve"],
            "args": ["M", "--port", 8000],
            "env": [{"name": "TP", "value": "4"}, {"name": "KEY", "valueFrom": {}}, {"name": "EMPTY"}],
            "resources": {"limits": {"nvidia.com/gpu": 4}},
            "ports": [{"containerPort": 8000}, {"name": "http", "containerPort": 9000}],
        }
    )
    assert container == Container(
        name="vllm",
        image="vllm/vllm-openai:v0.33.0",
        command=("vllm", "serve"),
        args=("M", "--port", "8000"),
        environment={"TP": "4", "EMPTY": ""},
        limits={"nvidia.com/gpu": "4"},
        ports=(("", 8000), ("http", 9000)),
    )
    assert read_container({}) == Container(name="")


def test_variables_refer_to_earlier_ones_and_later_ones_win() -> None:
    entries = [
        {"name": "N", "value": "4"},
        {"name": "SECRET", "value": "1"},
        {"name": "SECRET", "valueFrom": {}},
        {"name": "FLAG", "value": "--max-num-seqs=$(N)"},
        {"name": "LATER", "value": "$(SECRET)"},
    ]
    environment = read_container({"env": entries}).environment
    assert environment == {"N": "4", "FLAG": "--max-num-seqs=4", "LATER": "$(SECRET)"}


@pytest.mark.parametrize(
    ("word", "expanded", "left"),
    [("$(A)-$(B)", "1-$(B)", True), ("$$(A)", "$(A)", True), ("$A ${A}", "$A ${A}", False), ("x$(A)", "x1", False)],
)
def test_expansion_is_kubernetes_own(word: str, expanded: str, left: bool) -> None:
    assert expand(word, {"A": "1"}) == expanded
    assert has_variable(expanded) is left


@pytest.mark.parametrize(
    ("container", "engine"),
    [
        (Container("c", command=("vllm",), args=("serve", "M")), Engine.VLLM),
        (Container("c", command=("sh", "-c", "exec vllm serve M")), Engine.VLLM),
        (Container("c", command=("python3", "-m", "sglang.launch_server")), Engine.SGLANG),
        (Container("c", "x/text-generation-inference:3"), Engine.TGI),
        (Container("c", "reg:5000/vllm-openai@sha256:ab"), Engine.VLLM),
        (Container("c", "lmsysorg/sglang"), Engine.SGLANG),
        (Container("c", "vllm/vllm-openai:v1", command=("sleep", "1")), None),  # a sidecar from the same image
        (Container("c", "envoy:v1", args=("--port", "1")), None),
    ],
)
def test_the_engine_is_told_by_its_start_command_then_its_image(container: Container, engine: Engine | None) -> None:
    assert engine_of(container) is engine


def test_only_containers_of_the_engine_are_taken() -> None:
    vllm, proxy = Container("vllm", "vllm/vllm-openai:v0.33.0"), Container("proxy", "envoy")
    assert engine_containers((proxy, vllm), Engine.VLLM) == (vllm,)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.33.0", (Engine.VLLM, "0.33.0")),
        ("docker.io/vllm/vllm-openai:v0.33.0@sha256:ab", (Engine.VLLM, "0.33.0")),
        ("lmsysorg/sglang:v0.5.6.post2", (Engine.SGLANG, "0.5.6.post2")),
        ("mirror.local/vllm/vllm-openai:v0.33.0", None),
        ("vllm/vllm-openai:latest", None),
        ("vllm/vllm-openai", None),
        ("", None),
    ],
)
def test_only_a_release_images_tag_is_a_version(image: str, version: tuple[Engine, str] | None) -> None:
    assert version_of_image(image) == version
