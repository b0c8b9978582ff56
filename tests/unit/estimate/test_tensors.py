"""Parameters of layers of every kind, against shapes worked by hand and published counts."""

from dataclasses import replace

import pytest

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    DenseMLP,
    Indexer,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    MixtureOfExperts,
)
from inferplan.estimate.tensors import Role, active_share, layer_tensors

GQA = Attention(32, 8, 128, 128)
MLA = LatentAttention(128, 1536, 512, 128, 64, 128)
COMPRESSED = CompressedAttention(64, 512, 64, 1024, 8, 1024, 128, 128)
EXPERTS = MixtureOfExperts(256, 8, 2048, 2048)


def parameters(layer: Layer, hidden: int, *roles: Role) -> int:
    return sum(each.parameters for each in layer_tensors(layer, hidden) if not roles or each.role in roles)


def test_a_llama_layer_has_218_million_parameters() -> None:
    assert parameters(Layer(GQA, DenseMLP(14_336)), 4096) == 218_112_000  # 41,943,040 + 176,160,768 + 8,192


@pytest.mark.parametrize(
    ("mixer", "hidden", "expected"),
    [
        (GQA, 4096, 41_943_040),  # 4096 x (4096 + 2 x 1024) + 4096 x 4096
        (Attention(32, 8, 128, 128, bias=True), 4096, 41_949_184),  # and 6144 biases
        (Attention(32, 8, 128, 128, shares_kv=True), 4096, 33_554_432),  # 2 x 4096 x 4096
        (Attention(32, 8, 128, 128, keys_are_values=True), 4096, 37_748_736),  # without 4096 x 1024 values
        (Attention(16, 2, 256, 256, output_gate=True), 2048, 27_262_976),  # 2048 x (8192 + 1024 + 4096)
        (MLA, 7168, 187_105_280),  # 11,010,048 + 37,748,736 + 4,128,768 + 16,777,216 + 117,440,512
        (LatentAttention(16, None, 512, 128, 64, 128), 2048, 13_762_560),  # q 2048 x 3072 not compressed
        (replace(MLA, output_gate=True), 7168, 304_545_792),  # and 7168 x 16384
        (COMPRESSED, 4096, 111_214_592),  # 4096 x 1536 + 1024 x 32768 + 8192 x 4096 + 4096 x 8192 + 512 x 8320
        (
            replace(COMPRESSED, compress_ratio=4, indexer=Indexer(64, 128, 512)),
            4096,
            126_096_384,  # twice the compressor: 1024 x 8196, indexer 1024 x 8192 + 4096 x 64 + 256 x 8196
        ),
        (LinearAttention(16, 32, 128, 128, 4), 2048, 33_718_336),  # 2048 x (12288 + 64) + 8192 x 4 + 64 + 4096 x 2048
        (Mamba(64, 64, 128, 8, 4), 2688, 38_738_112),  # 2688 x 10304 + 6144 x 5 + 192 + 4096 x 2688, norm aside
    ],
)
def test_a_mixer_has_the_parameters_of_its_shapes(mixer: object, hidden: int, expected: int) -> None:
    assert parameters(Layer(mixer, None), hidden, Role.ATTENTION) == expected  # type: ignore[arg-type]  # parametrized


def test_an_indexer_adds_its_projections() -> None:
    sparse = LatentAttention(128, 1536, 512, 128, 64, 128, Indexer(64, 128, 2048))
    more = parameters(Layer(sparse, None), 7168) - parameters(Layer(MLA, None), 7168)
    assert more == 13_959_168  # 1536 x 8192 + 7168 x 128 + 7168 x 64
    borrowing = replace(sparse, indexer=Indexer(64, 128, 2048, shared=True))
    assert parameters(Layer(borrowing, None), 7168) == parameters(Layer(MLA, None), 7168)


def test_kda_has_low_rank_gates() -> None:
    kda = LinearAttention(32, 32, 128, 128, 4, kind="kda")
    # 2304 x (3 x 4096 + 2 x 128 + 32) + 8192 x 128 + 3 x 4096 x 4 + 64 + 4096 x 2304
    assert parameters(Layer(kda, None), 2304, Role.ATTENTION) == 39_510_080


def test_kdas_gate_may_have_full_rank() -> None:
    low, full = (LinearAttention(32, 32, 128, 128, 4, "kda", full_rank_gate=flag) for flag in (False, True))
    more = parameters(Layer(full, None), 2304) - parameters(Layer(low, None), 2304)
    assert more == 4096 * 2304 - 128 * 2304 - 4096 * 128


def test_deepseeks_mixture_has_its_experts_router_and_shared_expert() -> None:
    layer = Layer(MLA, EXPERTS)
    assert parameters(layer, 7168, Role.EXPERTS) == 11_274_289_152  # 256 x 3 x 7168 x 2048
    assert parameters(layer, 7168, Role.SHARED_EXPERTS) == 44_040_192  # 3 x 7168 x 2048
    assert parameters(layer, 7168, Role.ROUTER) == 1_835_008  # 256 x 7168


def test_a_latent_mixture_has_narrow_experts_and_two_projections() -> None:
    layer = Layer(None, MixtureOfExperts(512, 22, 2688, 5376, gated=False, latent_size=1024))
    assert parameters(layer, 4096, Role.EXPERTS) == 2_818_572_288  # 512 x 2 x 1024 x 2688
    assert parameters(layer, 4096, Role.MLP) == 8_388_608  # 2 x 1024 x 4096
    assert parameters(layer, 4096, Role.SHARED_EXPERTS) == 44_040_192  # 2 x 4096 x 5376


def test_mlps_without_a_gate_have_two_matrices() -> None:
    assert parameters(Layer(None, DenseMLP(14_336, gated=False)), 4096, Role.MLP) == 117_440_512  # 2 x 4096 x 14336


def test_a_token_passes_top_k_of_the_experts_and_all_else() -> None:
    layer = Layer(MLA, EXPERTS)
    shares = {tensor.role: active_share(tensor, layer) for tensor in layer_tensors(layer, 7168)}
    assert shares[Role.EXPERTS] == 8 / 256
    assert {share for role, share in shares.items() if role is not Role.EXPERTS} == {1.0}
