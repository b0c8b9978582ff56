"""SGLang's default share of memory, worked by hand from its source."""

from dataclasses import replace

import pytest

from inferplan.estimate.sglang_fraction import FractionInput, default_fraction

H100 = FractionInput(
    release=(0, 5, 8),
    memory_mib=81_559,
    tensor=1,
    pipeline=1,
    chunk=8192,
    largest_graph=None,
    attention_groups=1,
    speculates=False,
    latent=False,
)


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({}, 0.835),  # 512 + 12,288 + 512 + 128 = 13,440 MiB are kept free
        ({"tensor": 8}, 0.818),  # 512 + 12,288 + 1024 + 1024 = 14,848
        ({"largest_graph": 0}, 0.841),  # 12,928
        ({"chunk": 2048}, 0.874),  # less than 10 GiB would be: 10,240
        ({"speculates": True}, 0.81),  # 2 GiB more
        ({"speculates": True, "release": (0, 5, 10)}, 0.779),  # 4 GiB more, and 57 prefill graphs of 8 MiB
        ({"latent": True, "release": (0, 5, 12)}, 0.816),  # 1.5 GiB for MLA's prefill graphs
        ({"attention_groups": 2}, 0.816),  # 256 x 2 x 3 more
        ({"release": (0, 5, 2)}, 0.874),  # 10 GiB by tier: 9.5 + 1 / 2
        ({"release": (0, 5, 2), "speculates": True, "attention_groups": 2}, 0.799),  # 16 GiB
        ({"release": (0, 5, 2), "memory_mib": 23_034}, 0.871),  # 2.9 GiB
        ({"release": (0, 4, 6)}, 0.88),
        ({"release": (0, 4, 6), "tensor": 8}, 0.81),
        ({"memory_mib": 23_034, "chunk": 2048}, 0.837),  # 512 + 3072 + 24 x 2 + 128
        (
            {"release": (0, 5, 20), "memory_mib": 23_034, "chunk": 4096, "tensor": 4},
            0.658,
        ),  # 512 + 6144 + 160 x 2 + 512 + 49 x 8
    ],
)
def test_the_default_share_is_sglangs(changes: dict[str, object], share: float) -> None:
    assert default_fraction(replace(H100, **changes)) == pytest.approx(share, abs=0.0006)  # type: ignore[arg-type]  # fields by name


def test_0_4_6_gives_large_gpus_more() -> None:
    large = replace(H100, release=(0, 4, 6), memory_mib=143_771)
    assert default_fraction(large) == pytest.approx(
        (143_771 - 18 * 1024) / 143_771
    )  # less than 0.88 + 49,152 x 0.12 / …


def test_a_gpu_that_is_too_small_keeps_a_share_that_means_something() -> None:
    assert default_fraction(replace(H100, memory_mib=4096)) == 0.05
