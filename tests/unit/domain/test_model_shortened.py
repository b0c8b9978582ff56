"""Configs that leave out what published ones have, as people paste them."""

from inferplan.domain.architecture import Attention
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config


def test_a_shortened_gemma_4_has_a_quarter_of_the_heads_where_keys_are_values() -> None:
    card = read_model_config(
        {
            "attention_k_eq_v": True,
            "global_head_dim": 512,
            "head_dim": 256,
            "hidden_size": 3840,
            "intermediate_size": 15_360,
            "layer_type_counts": {"full_attention": 8, "sliding_attention": 40},
            "num_attention_heads": 16,
            "num_hidden_layers": 48,
            "num_key_value_heads": 8,
            "sliding_window": 1024,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "vocab_size": 262_144,
        }
    )
    assert isinstance(card, ModelCard)
    heads = {
        layer.mixer.kv_heads for layer in card.layers if isinstance(layer.mixer, Attention) and not layer.mixer.window
    }
    assert heads == {2}
    assert any("num_global_key_value_heads" in sentence for sentence in card.assumptions)
