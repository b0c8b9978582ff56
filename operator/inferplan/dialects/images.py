"""What an image's name says: which engine it holds, which release, and what becomes of a container's args. Pure.

A tag is believed only where it is known to be the engine's own version; many are a vendor's version of its own, and
the engine's `GET /version` is the better answer (engine-facts section 5).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inferplan.api.values import Engine

_VERSION = r"v?(\d+\.\d+\.\d+(?:\.\d+)?(?:\.post\d+)?)"
_PLATFORM = r"(?:-(?:x86_64|amd64|aarch64|arm64|cu\d+|ubuntu\d+|xeon|runtime|rocm\d+|mi\d+x?|b200|gb200|srt))*"
"""Suffixes of the project's own tags that name a machine, not another program."""


@dataclass(frozen=True)
class _TrustedTags:
    engine: Engine
    repository: re.Pattern[str]
    tag: re.Pattern[str]


def _trusted(engine: Engine, repository: str, tag: str) -> _TrustedTags:
    return _TrustedTags(engine, re.compile(repository), re.compile(tag))


_TRUSTED = (
    # vLLM's release notes (0.29.0) name these images with the release as tag; copies in other registries keep the last
    # two parts of the path. rc and nightly tags name no release.
    _trusted(Engine.VLLM, r"(?:.+/)?vllm/vllm-openai(?:-cpu|-rocm|-xpu)?", _VERSION + _PLATFORM),
    # SGLang 0.5.23 .github/workflows/release-docker*.yml: v0.5.5.post3-cu129-amd64.
    _trusted(Engine.SGLANG, r"(?:.+/)?lmsysorg/sglang", _VERSION + _PLATFORM),
    # TGI 3.3 .github/workflows/build.yaml: 3.0.1, 3.0.1-rocm; -trtllm, -llamacpp and -neuron have other launchers.
    _trusted(
        Engine.TGI,
        r"(?:.+/)?huggingface/text-generation-inference",
        _VERSION + r"(?:-(?:rocm|intel|intel-xpu|intel-cpu|gaudi))?",
    ),
    # AMD names the vLLM in it: rocm6.2_mi300_ubuntu20.04_py3.9_vllm_0.6.4, rocm6.3.1_vllm0.8.5_20250521. A build may
    # be some days older than the release that it names.
    _trusted(Engine.VLLM, r"rocm/vllm", r"rocm\d.*_vllm_?(\d+\.\d+\.\d+(?:\.post\d+)?)(?:[_-]\w+)*"),
    # AWS Deep Learning Containers (available_images.md): framework version first, 0.11.0-gpu-py312-cu128-ubuntu22.04.
    _trusted(
        Engine.VLLM,
        r"public\.ecr\.aws/deep-learning-containers/vllm|763104351884\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/vllm",
        r"(\d+\.\d+\.\d+(?:\.post\d+)?)-gpu-py\d+.*",
    ),
    # Red Hat AI Business Unit, llm-on-openshift: its Containerfile installs vllm==the tag; 0.4.2.
    _trusted(Engine.VLLM, r"quay\.io/rh-aiservices-bu/vllm-openai-ubi9", _VERSION),
    # Intel's build of a vLLM release for its GPUs: 0.10.0-xpu.
    _trusted(Engine.VLLM, r"intel/vllm", _VERSION + r"-xpu"),
    # A copy of vLLM's image in somebody's own registry keeps its name and the shape of its tags; LMCache's image of
    # that name has tags of LMCache.
    _trusted(Engine.VLLM, r"(?!(?:.+/)?lmcache/)(?:.+/)?vllm-openai", _VERSION + _PLATFORM),
)
_OWN_VERSIONS = (
    # Whose tags look like versions and are not the engine's.
    (re.compile(r"(?:.+/)?llm-d(?:-[a-z]+)*"), "llm-d's tags are its own versions, not vLLM's"),
    (re.compile(r"(?:.+/)?lmcache/.+"), "LMCache's tags are its own versions, not vLLM's"),
    (re.compile(r"(?:.*[./])?aibrix/.+"), "aibrix's tags name re-builds with other parts in them, not releases"),
    (re.compile(r"nvcr\.io/.+"), "NVIDIA's tags are its own releases, not the engine's"),
    (re.compile(r"(?:.+/)?(?:rhaiis|rhoai|rhelai\d*)/.+"), "Red Hat's tags are its own versions, not vLLM's"),
    (re.compile(r".*docker\.pkg\.dev/(?:vertex-ai|deeplearning-platform-release)/.+"), "Google's tags are its own"),
)
_MOVING_TAG = re.compile(r"latest|nightly|main|master|stable|dev|edge", re.IGNORECASE)
_ENGINE_MARKS = (
    (re.compile(r"text-generation-inference|(?:^|[-_])tgi(?:[-_]|$)"), Engine.TGI),
    (re.compile(r"sglang|^sgl-dev$"), Engine.SGLANG),
    (re.compile(r"vllm|^llm-d(?:-(?:cuda|xpu|rocm|cpu|hpu|tpu|aws|gke|dev))*$"), Engine.VLLM),
)
_NO_ENGINE = re.compile(
    # Words in names of images that go with an engine and hold none.
    r"\b(?:adapter|agent|autoscaler|bench|benchmarks?|client|collector|controller|dashboard|docs|downloader|epp|eval|"
    r"exporter|extproc|frontend|gateway|init|lb|loadgen|metrics|mock|monitor|operator|planner|playground|profiler|proxy|"
    r"ray\d*|router|scheduler|sidecar|sim|simulator|sr|syncer|tokenizer|ui|watcher|webui)\b"
)
_EXEC_IMAGES = re.compile(
    # nvidia/cuda's entrypoint, which lmsysorg/sglang (docker/Dockerfile) and NVIDIA's own images keep, executes its
    # arguments; rocm/vllm, rocm/sglang and the vertex images have none.
    r"nvcr\.io/.+|(?:.+/)?(?:ai-dynamo|lmsysorg|rocm)/.+|.*docker\.pkg\.dev/vertex-ai/.+"
)
_PROGRAMS = re.compile(
    r"(?:.*/)?(?:python[\d.]*|vllm|sglang|text-generation-launcher|(?:ba|da|a|z)?sh|env|exec|nohup|tini|numactl|ray|"
    r"torchrun|mpirun|uv|dynamo|dynamo-run|[^/]+\.(?:sh|py))"
)


class Args(StrEnum):
    """What the args of a container without a command are."""

    ENGINE_ARGUMENTS = "engineArguments"
    COMMAND_LINE = "commandLine"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Image:
    """The parts of an image's reference.

    Attributes:
        repository: Registry and path, without Docker Hub's own name.
        tag: "" if there is none.
        digest: "sha256:…", "" if there is none.
    """

    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.repository.rpartition("/")[2]


def read_image(image: str) -> Image:
    """Takes a reference apart: "docker.io/vllm/vllm-openai:v0.11.0@sha256:…"."""
    path, _, digest = image.strip().partition("@")
    repository, colon, tag = path.rpartition(":")
    if not colon or "/" in tag:  # a colon before the last "/" is a port
        repository, tag = path, ""
    for hub in ("docker.io/", "index.docker.io/", "registry-1.docker.io/"):
        repository = repository.removeprefix(hub)
    return Image(repository, tag, digest)


def engine_of_image(image: str) -> Engine | None:
    """The engine that an image's name says it holds, None for routers, exporters, clients and whatever else."""
    name = read_image(image).name.lower()
    if _NO_ENGINE.search(name.replace("_", "-")):
        return None
    return next((engine for mark, engine in _ENGINE_MARKS if mark.search(name)), None)


def version_of_image(image: str) -> tuple[Engine, str] | None:
    """Engine and version that a tag states: "vllm/vllm-openai:v0.33.0" → (vllm, "0.33.0"); see `_TRUSTED` for why."""
    parts = read_image(image)
    for trusted in _TRUSTED:
        if trusted.repository.fullmatch(parts.repository):
            match = trusted.tag.fullmatch(parts.tag)
            return (trusted.engine, match.group(1)) if match else None
    return None


def why_unknown(image: str) -> str:
    """Why an image does not state its engine's version, as one sentence; "" where it does."""
    parts = read_image(image)
    if version_of_image(image) is not None:
        return ""
    if not parts.repository or re.search(r"[{}$<>\s]", image):
        return "the image is filled in elsewhere" if image.strip() else "the container names no image"
    if not parts.tag:
        return "a digest names no release" if parts.digest else "the image has no tag, and the newest names no release"
    if _MOVING_TAG.match(parts.tag):
        return f'tag "{parts.tag}" names no release'
    for repository, reason in _OWN_VERSIONS:
        if repository.fullmatch(parts.repository):
            return reason
    if any(trusted.repository.fullmatch(parts.repository) for trusted in _TRUSTED):
        return f'tag "{parts.tag}" names no release'
    return f"tags of {parts.repository} are not known to be the engine's versions"


def args_of_image(image: str, args: Sequence[str]) -> Args:
    """What a container's args are when it has no command: the image's entrypoint decides.

    Args that begin with a program are a command line, whatever the image: nobody gives an engine `python3` as argument.
    Otherwise they are the engine's own, if the image holds one and its entrypoint starts it.
    """
    if args and _PROGRAMS.fullmatch(args[0]):
        return Args.COMMAND_LINE
    if engine_of_image(image) is None or _EXEC_IMAGES.fullmatch(read_image(image).repository):
        return Args.UNKNOWN
    return Args.ENGINE_ARGUMENTS
