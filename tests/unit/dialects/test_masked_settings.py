"""Settings as the status shows them."""

import pytest

from inferplan.dialects.masking import masked_setting
from inferplan.domain.serving import SettingValue


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("api_key", "sk-1", "***"),
        ("api_key", '["sk-1","sk-2"]', "***"),
        ("kv_transfer_config", '{"role":"both","password":"p"}', '{"role":"both","password":"***"}'),
        ("chat_template", "{% if x %}", "{% if x %}"),
        ("otlp_traces_endpoint", "http://user:word@host", "http://***@host"),
        ("max_batch_size", 32, 32),
        ("enable_prefix_caching", True, True),
    ],
)
def test_secrets_are_masked_and_nothing_else(key: str, value: SettingValue, shown: SettingValue) -> None:
    assert masked_setting(key, value) == shown
