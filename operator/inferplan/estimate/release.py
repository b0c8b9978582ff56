"""Engine versions, as far as the arithmetic of memory depends on them. Pure."""

import re

Release = tuple[int, int, int]

_AMPERE = 80
_V1_SINCE: Release = (0, 8, 0)
_V0_ON_TURING_BEFORE: Release = (0, 10, 2)
_NUMBERS = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


def release_of(version: str | None) -> Release | None:
    """Major, minor and patch that a version starts with; None for what is no version.

    "0.8.5.post1" gives (0, 8, 5), "v0.12" (0, 12, 0), "0.11.0+cu128" (0, 11, 0), "latest" None. Builds between two
    releases (0.20.1rc1.dev24) count as the release that they lead to.
    """
    found = _NUMBERS.match((version or "").strip())
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0)


def is_legacy(release: Release, capability: int | None) -> bool:
    """Whether vLLM's first engine core (V0) runs: to 0.7, and on GPUs before Ampere until it was taken out.

    vllm/engine/arg_utils.py, _is_v1_supported_oracle (0.8.5 to 0.10.1).
    """
    old_gpu = capability is not None and capability < _AMPERE
    return release < _V1_SINCE or (old_gpu and release < _V0_ON_TURING_BEFORE)
