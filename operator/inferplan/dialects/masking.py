"""Secrets that stand in a manifest as plain text, and output that does not repeat them. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from typing import Any

from inferplan.dialects.drift import Finding
from inferplan.dialects.grammar import Meaning
from inferplan.dialects.reading import Reading
from inferplan.dialects.values import load_json
from inferplan.dialects.words import Unreadable
from inferplan.domain.serving import SettingValue

MASK = "***"
"""What stands for a secret."""

_SECRET_NAME = re.compile(
    # --api-key, --admin-api-key, --hf-token, --ngrok-authtoken, --ssl-keyfile-password; not --tokenizer, max_tokens.
    r"(?:^|_)api_?keys?$|(?:^|_)(?:auth)?tokens?$|passw|passphrase|secret|credential"
)
_IN_ADDRESS = re.compile(r"(://)[^/\s:@\"']*:[^/\s@\"']+@")
"""User and password in an address: redis://user:password@host."""
_NAME = re.compile(r"(?<![\w-])(?:--)?[A-Za-z][\w-]*")
_OPENING = r"[\[(]?(?:[\"'](?P<quoted>[^\"']+)|(?P<plain>[^\s\"',;)\]}]+))"
_BEHIND_A_NAME = re.compile(rf"[\"']?\s*[=:]\s*{_OPENING}")
_BEHIND_A_FLAG = re.compile(rf"(?:[\"',]*\s+|[\"']?\s*[=:,]\s*){_OPENING}")
_TOKEN = re.compile(r"(\b[Bb]earer\s+|\b(?:hf_|sk-|gh[pousr]_|github_pat_|glpat-))[A-Za-z0-9_.~+/-]{8,}=*")
"""Tokens of Hugging Face, OpenAI-like servers, GitHub and GitLab, and what HTTP carries."""
_FLAG = re.compile(r"--?(?P<name>[A-Za-z0-9][\w.-]*)(?:=(?P<value>.*))?", re.DOTALL)
_IN_SCRIPT = re.compile(
    r"(?<![\w.-])(?=(?:--?(?P<flag>[A-Za-z][\w.-]*)(?:=|[ \t]+)|(?P<name>[A-Za-z_]\w*)=)"
    r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<plain>[^\s\"'$\\-][^\s\"']*)))"
)
"""A flag with its value, or a variable's assignment."""
_SHORTEST_REPLACED = 6
"""Shorter secrets are only masked where they are the value; as parts of other text they would hide ordinary words."""


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether a flag, setting or key of this name holds something that must not be shown."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").strip("_.")
    if plain.startswith(("max_", "num_", "min_")):
        return False
    return _SECRET_NAME.search(plain) is not None


def masked(name: str, value: Any) -> Any:  # noqa: ANN401  any JSON value
    """A JSON value without secrets: nothing of it under a secret's name, nor what stands under such names in it."""
    match value:
        case str() | Mapping() | list() if is_secret(name):
            return MASK
        case str():
            return _IN_ADDRESS.sub(rf"\1{MASK}@", value)
        case Mapping():
            return {key: masked(str(key), item) for key, item in value.items()}
        case list():
            return [masked("", item) for item in value]
        case _:
            return value


def masked_setting(key: str, value: SettingValue) -> SettingValue:
    """A setting's value without secrets; lists and objects are JSON text."""
    shown: SettingValue = masked(key, value)
    if isinstance(shown, str) and shown[:1] in {"[", "{"}:
        try:
            return json.dumps(masked(key, load_json(shown)), separators=(",", ":"), ensure_ascii=False)
        except ValueError:
            return shown  # text that only begins like JSON
    return shown


def masked_line(text: str) -> str:
    """A line that a program wrote, without what stands behind a secret's name, and what looks like a token.

    Engines write their arguments into their logs, and name in errors what they were told.
    """
    parts, place = [], 0
    for name in _NAME.finditer(text):
        if name.start() < place or not is_secret(name[0].lstrip("-")):
            continue
        value = (_BEHIND_A_FLAG if name[0].startswith("--") else _BEHIND_A_NAME).match(text, name.end())
        if value is not None:
            parts += [text[place : value.start(value.lastindex or 0)], MASK]
            place = value.end(value.lastindex or 0)
    line = "".join((*parts, text[place:]))
    return _IN_ADDRESS.sub(rf"\1{MASK}@", _TOKEN.sub(rf"\1{MASK}", line))


class Masker:
    """Takes the secrets of one container's arguments out of messages.

    Args:
        reading: The container, read.
    """

    def __init__(self, reading: Reading) -> None:
        found = sorted(dict.fromkeys(_secrets(reading)), key=len, reverse=True)
        self._long = [text for text in found if len(text) >= _SHORTEST_REPLACED]
        self._all = found

    def text(self, text: str, key: str = "") -> str:
        """A message without secrets; short ones are taken out of messages about `key` itself."""
        for secret in self._all if is_secret(key) else self._long:
            text = text.replace(secret, MASK)
        return _IN_ADDRESS.sub(rf"\1{MASK}@", text)

    def unreadable(self, entry: Unreadable) -> Unreadable:
        """The same without secrets."""
        key = entry.key or ""
        return replace(entry, where=self.text(entry.where), reason=self.text(entry.reason, key))

    def remark(self, entry: Finding) -> Finding:
        """The same without secrets."""
        fix = {key: masked(key, value) for key, value in entry.fix.items()}
        return replace(entry, flag=self.text(entry.flag), reason=self.text(entry.reason, entry.key), fix=fix)


def secrets_in(words: Sequence[str]) -> Iterator[str]:
    """Values under names of secrets in a container's command and args as they stand, a script among them too.

    What only names a variable is none. For output that must not repeat them where nothing else is read of the words.
    """
    for place, word in enumerate(words):
        flag = _FLAG.fullmatch(word)
        if flag is not None and _names_secret(flag["name"]):
            told = [flag["value"]] if flag["value"] is not None else _values_behind(words[place + 1 :])
            yield from (text for text in told if text and not text.startswith("$"))
        elif flag is not None and (flag["value"] or "")[:1] in {"{", "["}:
            yield from _secrets_in_json(flag["value"])
        elif word[:1] in {"{", "["}:
            yield from _secrets_in_json(word)
        elif flag is None:
            yield from _secrets_in_script(word)


def _secrets_in_script(text: str) -> Iterator[str]:
    for found in _IN_SCRIPT.finditer(text):
        value = found["double"] or found["single"] or found["plain"] or ""
        if value and not value.startswith("$") and _names_secret(found["flag"] or found["name"]):
            yield value


def _values_behind(words: Sequence[str]) -> Iterator[str]:
    return takewhile(lambda word: not word.startswith("-"), words)


def _names_secret(name: str) -> bool:
    return is_secret(name.rpartition(".")[2])


def _secrets_in_json(text: str) -> Iterator[str]:
    try:
        yield from _under_secret_names("", load_json(text))
    except ValueError:
        return


def _under_secret_names(name: str, value: object) -> Iterator[str]:
    match value:
        case str() if is_secret(name):
            yield value
        case Mapping():
            for key, item in value.items():
                yield from _under_secret_names(str(key), item)
        case list():
            for item in value:
                yield from _under_secret_names(name, item)
        case _:
            return


def _secrets(reading: Reading) -> Iterator[str]:
    for argument in reading.scanned.arguments:
        dest = argument.meaning.flag.dest if isinstance(argument.meaning, Meaning) else ""
        if is_secret(dest) or is_secret(argument.name) or any(map(is_secret, argument.path)):
            yield from _shown_forms(argument.values(reading.launch.words))
    for key, setting in reading.config.settings.items():
        if is_secret(key) and isinstance(setting.value, str):
            yield from _shown_forms((setting.value,))
    for name, pieces in reading.launch.variables.items():
        value = "".join(piece.text for piece in pieces if not piece.unknown)
        if is_secret(name) and not value.isdecimal():  # TOTAL_TOKENS=131072 is none
            yield from _shown_forms((value,))


def _shown_forms(texts: Sequence[str]) -> Iterator[str]:
    """A secret as messages may show it: whole, or cut off."""
    for text in (" ".join(texts), *texts):
        yield from (text[:length] for length in (len(text), 60, 40) if text)
