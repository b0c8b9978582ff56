"""What an image's name says, and what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferplan.api.values import Engine
from inferplan.dialects.images import (
    Args,
    Image,
    args_of_image,
    engine_of_image,
    read_image,
    version_of_image,
    why_unknown,
)

DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("vllm/vllm-openai:v0.33.0", ("vllm/vllm-openai", "v0.33.0", "")),
        ("docker.io/vllm/vllm-openai", ("vllm/vllm-openai", "", "")),
        ("localhost:5000/a/b", ("localhost:5000/a/b", "", "")),
        ("localhost:5000/a/b:1", ("localhost:5000/a/b", "1", "")),
        (f"a/b:1{DIGEST}", ("a/b", "1", DIGEST[1:])),
        ("", ("", "", "")),
    ],
)
def test_a_reference_is_taken_apart(image: str, parts: tuple[str, str, str]) -> None:
    assert read_image(image) == Image(*parts)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.33.0", (Engine.VLLM, "0.33.0")),
        ("docker.io/vllm/vllm-openai:v0.11.0-x86_64", (Engine.VLLM, "0.11.0")),
        ("vllm/vllm-openai:v0.16.0-cu130-ubuntu2404", (Engine.VLLM, "0.16.0")),
        ("vllm/vllm-openai:v0.8.5.post1", (Engine.VLLM, "0.8.5.post1")),
        (f"vllm/vllm-openai:v0.10.2{DIGEST}", (Engine.VLLM, "0.10.2")),
        ("registry.example.com:5000/hub/vllm/vllm-openai:v0.12.0", (Engine.VLLM, "0.12.0")),
        ("vllm/vllm-openai-rocm:v0.17.0", (Engine.VLLM, "0.17.0")),
        ("lmsysorg/sglang:v0.5.5.post3-cu129-amd64", (Engine.SGLANG, "0.5.5.post3")),
        ("docker.io/lmsysorg/sglang:v0.5.20-xeon", (Engine.SGLANG, "0.5.20")),
        ("lmsysorg/sglang:v0.5.6-rocm700-mi35x", (Engine.SGLANG, "0.5.6")),
        ("ghcr.io/huggingface/text-generation-inference:3.0.1", (Engine.TGI, "3.0.1")),
        ("ghcr.io/huggingface/text-generation-inference:3.3.1-intel-xpu", (Engine.TGI, "3.3.1")),
        ("rocm/vllm:rocm6.2_mi300_ubuntu20.04_py3.9_vllm_0.6.4", (Engine.VLLM, "0.6.4")),
        ("rocm/vllm:rocm6.3.1_vllm0.8.5_20250521", (Engine.VLLM, "0.8.5")),
        (
            "public.ecr.aws/deep-learning-containers/vllm:0.11.0-gpu-py312-cu128-ubuntu22.04-ec2-v1.0",
            (Engine.VLLM, "0.11.0"),
        ),
        ("763104351884.dkr.ecr.us-west-2.amazonaws.com/vllm:0.9.0-gpu-py312-cu128", (Engine.VLLM, "0.9.0")),
        ("quay.io/rh-aiservices-bu/vllm-openai-ubi9:0.4.2", (Engine.VLLM, "0.4.2")),
        ("intel/vllm:0.10.0-xpu", (Engine.VLLM, "0.10.0")),
        ("vllm/vllm-openai:v0.10.1.1", (Engine.VLLM, "0.10.1.1")),
        ("harbor.example.com/ml/vllm-openai:v0.22.0-cu129", (Engine.VLLM, "0.22.0")),
    ],
)
def test_a_tag_that_is_the_engines_version_is_believed(image: str, version: tuple[Engine, str]) -> None:
    assert version_of_image(image) == version
    assert why_unknown(image) == ""
    assert engine_of_image(image) is version[0]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("vllm/vllm-openai:latest", 'tag "latest" names no release'),
        ("vllm/vllm-openai:nightly-8d4a1f2", 'tag "nightly-8d4a1f2" names no release'),
        ("vllm/vllm-openai:v0.11.0rc2", 'tag "v0.11.0rc2" names no release'),
        ("vllm/vllm-openai:gptoss", 'tag "gptoss" names no release'),
        ("vllm/vllm-openai:v0.11", 'tag "v0.11" names no release'),
        ("vllm/vllm-openai:v0.11.0-custom", 'tag "v0.11.0-custom" names no release'),
        ("vllm/vllm-openai", "the image has no tag, and the newest names no release"),
        (f"vllm/vllm-openai{DIGEST}", "a digest names no release"),
        ("ghcr.io/llm-d/llm-d-cuda:v0.9.0", "llm-d's tags are its own versions, not vLLM's"),
        ("lmcache/vllm-openai:2025-05-05-v1", "LMCache's tags are its own versions, not vLLM's"),
        ("aibrix/vllm-openai:v0.7.3.self.post1", "aibrix's tags name re-builds with other parts in them, not releases"),
        (
            "a-b.cr.example.com/aibrix/vllm-openai:v0.10.0-cu128-nixl-v0.4.1",
            "aibrix's tags name re-builds with other parts in them, not releases",
        ),
        ("nvcr.io/nvidia/vllm:25.09-py3", "NVIDIA's tags are its own releases, not the engine's"),
        ("registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.2", "Red Hat's tags are its own versions, not vLLM's"),
        ("us-docker.pkg.dev/vertex-ai/dockers/pytorch-vllm-serve:20250801_0916_RC01", "Google's tags are its own"),
        ("rocm/vllm:rocm6.2_mi300_vllm_7c5fd50", 'tag "rocm6.2_mi300_vllm_7c5fd50" names no release'),
        ("rocm/vllm:rocm6.4.1_vllm_0.9.0.1_20250605", 'tag "rocm6.4.1_vllm_0.9.0.1_20250605" names no release'),
        ("ghcr.io/huggingface/text-generation-inference:3.0.1-trtllm", 'tag "3.0.1-trtllm" names no release'),
        ("acme/vllm:v0.11.0", "tags of acme/vllm are not known to be the engine's versions"),
        ("{{ .Values.image }}", "the image is filled in elsewhere"),
        ("$(IMAGE)", "the image is filled in elsewhere"),
        ("", "the container names no image"),
    ],
)
def test_any_other_tag_is_not_and_the_reason_is_told(image: str, reason: str) -> None:
    assert version_of_image(image) is None
    assert why_unknown(image) == reason


@pytest.mark.parametrize(
    ("image", "engine"),
    [
        ("vllm/vllm-openai-cpu", Engine.VLLM),
        ("public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.9.1", Engine.VLLM),
        ("ghcr.io/llm-d/llm-d-xpu:latest", Engine.VLLM),
        ("ghcr.io/llm-d/llm-d:v0.2.0", Engine.VLLM),
        ("registry.redhat.io/rhaiis/vllm-cuda-rhel9:3.2.2", Engine.VLLM),
        ("us-docker.pkg.dev/vertex-ai/dockers/pytorch-vllm-serve:2025", Engine.VLLM),
        ("vllmserver:replace", Engine.VLLM),
        ("nvcr.io/nvidia/ai-dynamo/sglang-runtime:0.5", Engine.SGLANG),
        ("aibrix/sglang:v0.4.9.post3-cu126", Engine.SGLANG),
        ("reg.dev/gcr.io/huggingface-text-generation-inference-cu124.2-3.ubuntu2204.py311", Engine.TGI),
        ("ghcr.io/huggingface/tgi-gaudi:2.3.1", Engine.TGI),
        ("vllm/vllm-router:v0.1", None),
        ("aibrix/sglang-router:v0.1.6", None),
        ("ghcr.io/llm-d/llm-d-routing-sidecar:latest", None),
        ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.3", None),
        ("ghcr.io/llm-d/llm-d-inference-sim:v0.5", None),
        ("ghcr.io/llm-d/llm-d-benchmark:v0.3", None),
        ("acme/vllm-metrics-exporter:1", None),
        ("lmcache/standalone:v1", None),
        ("ghcr.io/vllm-project/production-stack/router:1", None),
        ("vllm/busybox", None),
        ("", None),
    ],
)
def test_the_name_tells_the_engine_and_not_what_goes_with_one(image: str, engine: Engine | None) -> None:
    assert engine_of_image(image) is engine


@pytest.mark.parametrize(
    ("image", "args", "meaning"),
    [
        ("vllm/vllm-openai:v0.11.0", ["--model", "m"], Args.ENGINE_ARGUMENTS),
        ("vllm/vllm-openai:v0.11.0", ["acme/model"], Args.ENGINE_ARGUMENTS),
        ("vllm/vllm-openai:v0.11.0", [], Args.ENGINE_ARGUMENTS),
        ("vllm/vllm-openai:v0.11.0", ["vllm", "serve", "m"], Args.COMMAND_LINE),
        ("acme/ai-dynamo/vllm-runtime:0.3", ["dynamo", "serve", "graphs.agg:Frontend"], Args.COMMAND_LINE),
        ("acme/ai-dynamo/vllm-runtime:0.3", ["--model", "m"], Args.UNKNOWN),
        ("nvcr.io/nvidia/vllm:25.09-py3", ["/usr/bin/python3.12", "-m", "x"], Args.COMMAND_LINE),
        ("nvcr.io/nvidia/vllm:25.09-py3", ["--model", "m"], Args.UNKNOWN),
        ("lmsysorg/sglang:v0.5.5", ["python3", "-m", "sglang.launch_server"], Args.COMMAND_LINE),
        ("lmsysorg/sglang:v0.5.5", ["--model-path", "m"], Args.UNKNOWN),
        ("acme/thing", ["bash", "-c", "x"], Args.COMMAND_LINE),
        ("acme/thing", ["/opt/start.sh"], Args.COMMAND_LINE),
        ("acme/thing", ["--model", "m"], Args.UNKNOWN),
    ],
)
def test_args_without_a_command_are_what_the_entrypoint_makes_of_them(
    image: str, args: list[str], meaning: Args
) -> None:
    assert args_of_image(image, args) is meaning


@given(st.text())
def test_any_text_gives_an_answer(image: str) -> None:
    assert (version_of_image(image) is None) == bool(why_unknown(image))
    engine_of_image(image)
