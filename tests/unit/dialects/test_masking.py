"""Secrets in manifests are not repeated."""

from typing import Any

import pytest

from inferplan.dialects.container import Container
from inferplan.dialects.masking import Masker, is_secret, masked, masked_line, secrets_in
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.words import Unreadable, UnreadableCode


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "--api-key", "admin_api_key", "hf_token", "token", "ngrok_authtoken", "ssl_keyfile_password"),
        *("apiKey", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "dbPassword", "credentials"),
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer", "tokenizer_mode", "max_num_batched_tokens", "max_total_tokens", "num_speculative_tokens"),
        *(
            "ssl_keyfile",
            "speculative_token_map",
            "dbo_decode_token_threshold",
            "max_prompt_adapter_token",
            "model",
            "",
        ),
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("api_key", "sk", "***"),
        ("api_key", ["sk", "other"], "***"),
        ("api_key", 5, 5),
        ("model", "org/model", "org/model"),
        (
            "extra",
            {"a": {"secret": "x", "b": 1}, "c": [{"token": {"d": "x"}}]},
            {"a": {"secret": "***", "b": 1}, "c": [{"token": "***"}]},
        ),
        ("url", "https://user:pass@host/a?b=c:d@e", "https://***@host/a?b=c:d@e"),
        ("url", "https://host:80/a@b", "https://host:80/a@b"),
    ],
)
def test_values_are_masked_by_their_names(name: str, value: Any, shown: Any) -> None:
    assert masked(name, value) == shown


def test_messages_lose_what_secret_flags_and_variables_hold() -> None:
    container = Container("c", "vllm/vllm-openai:v0.33.0", args=("M", "--hf-token", "hf_0123456789", "--api-key=ab"))
    reading = read_engine(container)
    assert isinstance(reading, Reading)
    masker = Masker(reading)
    assert masker.text("hf_0123456789 is refused, and cab") == "*** is refused, and cab"
    entry = Unreadable(UnreadableCode.VALUE, "containers[c] hf_0123456789", "--api-key ab is refused", "api_key")
    assert masker.unreadable(entry) == Unreadable(
        UnreadableCode.VALUE, "containers[c] ***", "--api-key *** is refused", "api_key"
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("error: unrecognized arguments: --api-key sk-live-1 --b", "error: unrecognized arguments: --api-key *** --b"),
        ("error: --api-key=hunter2, --hf-token: 'x y'", "error: --api-key=***, --hf-token: '***'"),
        ("args: {'api_key': ['hunter2'], 'port': 8000}", "args: {'api_key': ['***'], 'port': 8000}"),
        ('["vllm", "--api-key", "hunter2", "--port"]', '["vllm", "--api-key", "***", "--port"]'),
        ("VLLM_API_KEY=hunter2 error", "VLLM_API_KEY=*** error"),
        ("error: password: hunter2", "error: password: ***"),
        ("401 for hf_abcdefghijkl, Authorization: Bearer abc.def-ghi=", "401 for hf_***, Authorization: Bearer ***"),
        ("cannot reach redis://u:pw@host", "cannot reach redis://***@host"),
        ("unexpected token in line 3", "unexpected token in line 3"),
        ("max_num_batched_tokens: 8192 is too few", "max_num_batched_tokens: 8192 is too few"),
        ("the tokenizer: broken", "the tokenizer: broken"),
        ("error: this engine takes no other number", "error: this engine takes no other number"),
    ],
)  # fmt: skip
def test_what_a_program_wrote_is_shown_without_secrets(line: str, shown: str) -> None:
    assert masked_line(line) == shown


SCRIPT = """export HF_TOKEN=hf_abc
exec vllm serve m --api-key 'q w' --api-key=sk-1 --max-num-seqs 32 --hf-token="t0" --hf-token $T --hf-token "$T"
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--api-key=sekrit", "--max-num-seqs=32"], ["sekrit"]),
        (["vllm", "serve", "m", "--api-key", "one", "two", "--seed"], ["one", "two"]),
        (["--kv.api-key=zz", "--api-key", "$(KEY)", "--api-key="], ["zz"]),
        (["--kv-transfer-config", '{"a": [{"api_key": "jj", "n": 1}]}'], ["jj"]),
        (['--x={"passwords": ["p1"]}', '{"api_key"'], ["p1"]),
        (["sh", "-c", SCRIPT], ["hf_abc", "q w", "sk-1", "t0"]),
        (["--tokenizer", "t", "--max-tokens", "5", "TOTAL words"], []),
    ],
)
def test_secrets_are_found_among_words_that_are_read_no_further(words: list[str], found: list[str]) -> None:
    assert list(secrets_in(words)) == found
