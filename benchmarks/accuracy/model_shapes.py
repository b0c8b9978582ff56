"""Geometry of public models that improvement_pairs.json names and model_configs/ has not, out of their config.json.

The parameters that follow agree with the model cards: Qwen2.5-0.5B 0.494e9, 1.5B 1.54e9, 7B 7.62e9, 72B 72.7e9;
Qwen3-0.6B 0.6e9, 14B 14.8e9, 32B 32.8e9; Llama-2-7b 6.74e9, 13b 13.02e9; Mistral-7B 7.24e9; Yi-34B 34.4e9.
"""

from typing import Any

_COLUMNS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "vocab_size",
)
_QWEN2 = {
    "0.5B": (896, 24, 14, 2, 4864, 151936),
    "1.5B": (1536, 28, 12, 2, 8960, 151936),
    "3B": (2048, 36, 16, 2, 11008, 151936),
    "7B": (3584, 28, 28, 4, 18944, 152064),
    "14B": (5120, 48, 40, 8, 13824, 152064),
    "32B": (5120, 64, 40, 8, 27648, 152064),
    "72B": (8192, 80, 64, 8, 29568, 152064),
}
_QWEN3 = {
    "0.6B": (1024, 28, 16, 8, 3072, 151936),
    "1.7B": (2048, 28, 16, 8, 6144, 151936),
    "4B": (2560, 36, 32, 8, 9728, 151936),
    "8B": (4096, 36, 32, 8, 12288, 151936),
    "14B": (5120, 40, 40, 8, 17408, 151936),
    "32B": (5120, 64, 64, 8, 25600, 151936),
}
_LLAMA = {
    "meta-llama/Meta-Llama-3-8B": (4096, 32, 32, 8, 14336, 128256),
    "meta-llama/Llama-2-7b-hf": (4096, 32, 32, 32, 11008, 32000),
    "meta-llama/Llama-2-13b-hf": (5120, 40, 40, 40, 13824, 32000),
    "01-ai/Yi-34B": (7168, 60, 56, 8, 20480, 64000),
}
_LONGEST = {
    "meta-llama/Meta-Llama-3-8B": 8192,
    "meta-llama/Llama-2-7b-hf": 4096,
    "meta-llama/Llama-2-13b-hf": 4096,
    "01-ai/Yi-34B": 4096,
}
_TIED_QWEN2 = {"0.5B", "1.5B", "3B"}
_TIED_QWEN3 = {"0.6B", "1.7B", "4B"}


def shapes() -> dict[str, dict[str, Any]]:
    """config.json, as far as it sizes the model, by model id."""
    found = {name: _config("LlamaForCausalLM", row, longest=_LONGEST[name]) for name, row in _LLAMA.items()}
    found["meta-llama/Meta-Llama-3-8B-Instruct"] = found["meta-llama/Meta-Llama-3-8B"]
    mistral = _config("MistralForCausalLM", (4096, 32, 32, 8, 14336, 32000), longest=32768)
    found["mistralai/Mistral-7B-v0.1"] = {**mistral, "sliding_window": 4096}
    for size, row in _QWEN2.items():
        found[f"Qwen/Qwen2.5-{size}-Instruct"] = _config("Qwen2ForCausalLM", row, tied=size in _TIED_QWEN2)
    found["Qwen/Qwen2-7B-Instruct"] = found["Qwen/Qwen2.5-7B-Instruct"]
    for size, row in _QWEN3.items():
        shape = _config("Qwen3ForCausalLM", row, tied=size in _TIED_QWEN3, longest=40960)
        found[f"Qwen/Qwen3-{size}"] = {**shape, "head_dim": 128}
    return found


def _config(architecture: str, row: tuple[int, ...], *, tied: bool = False, longest: int = 32768) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        **dict(zip(_COLUMNS, row, strict=True)),
        "max_position_embeddings": longest,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
    }
