"""Models that are known by id, so that users rarely need to paste a config.json.

data/models.json is made by scripts/generate_model_catalogue.py out of public config.json files and holds only what
sizes a model; its `sources` say where each number was taken from.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from inferplan.domain.model_compact import expanded

_FORMAT = re.compile(
    r"[-_.](?:awq|gptq|gguf|exl2|fp8|nvfp4|mxfp4|mxfp8|fp4|nf4|int[48]|[48]bit|bnb|unsloth|dynamic|block|static|kv"
    r"|w\d+a\d+|w4a16|quantized|autoround|marlin|marlin24|compressed|tensors|g?128g?|ar|torchao|quark|ptpc|bf16|fp16)(?=[-_.]|$)",
    re.IGNORECASE,
)
"""What quantized twins add to a name; the shape stays."""

_QUANTIZED = re.compile(
    r"[-_.](?:awq|gptq|gguf|exl2|fp8|nvfp4|mxfp4|mxfp8|fp4|nf4|int[48]|[48]bit|bnb|w\d+a\d+|quantized|autoround|ptpc)"
    r"(?=[-_.]|$)",
    re.IGNORECASE,
)
"""What says that a checkpoint is quantized."""

_PLAIN = re.compile(r"[-_.](?:bf16|fp16)(?=[-_.]|$)", re.IGNORECASE)
"""What says that a checkpoint is not quantized, though the entry is."""

_TUNED = re.compile(
    r"[-_.](?:instruct|chat|it|hf|base|pt|thinking|reasoning|exp|preview|speciale|terminus|\d{4})(?=[-_.]|$)",
    re.IGNORECASE,
)
"""What tuned twins and later versions (0528) add to a name: the shape stays, the context length may not."""

_SNAPSHOT = re.compile(r"models--([^/]+?)--([^/]+)")
_CONTEXT = ("max_position_embeddings", "rope_scaling", "rope_parameters")
_QUANTIZATION = ("quantization_config", "hf_quant_config", "compression_config")
_BESIDE_SHAPE = (*_CONTEXT, "dtype", "torch_dtype", "model_type")
_INNER = frozenset({"text_config", "vision_config"})


@dataclass(frozen=True)
class KnownModel:
    """A catalogued model, or a twin of one.

    Attributes:
        name: Id of the catalogue's entry.
        config: What config.json says of its size; of a twin only the shape.
        source: Where the numbers come from.
        exact: Whether the id is the entry's own, so that its quantization is known too.
        quantized: Whether the id's name says that the twin is quantized in a way that the catalogue does not know.
    """

    name: str
    config: Mapping[str, Any]
    source: str
    exact: bool = True
    quantized: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What using the entry assumes; each a sentence."""
        origin = f"the model's shape is that of {self.name} in the bundled catalogue ({self.source})"
        if self.exact:
            return (origin,)
        guess = (
            "how its checkpoint is quantized is not known" if self.quantized else "its weights are taken to be alike"
        )
        return (origin, f"the id is none of the catalogue's own, but a twin's by its name: {guess}")


def known_model(model_id: str | None) -> KnownModel | None:
    """The catalogue's entry of a model id or of a path that ends in one; None where there is none.

    Qwen/Qwen3-32B-FP8 is an entry; RedHatAI/Qwen3-32B-quantized.w4a16 has the shape of Qwen/Qwen3-32B.
    """
    plain = _plain_id(model_id or "")
    entry = _by_id().get(plain.lower())
    if entry is not None:
        return _known(entry)
    organisation, _, name = plain.rpartition("/")
    return _twin(name, organisation) if plain else None


def says_quantized(model_id: str | None) -> bool:
    """Whether the id's name says that the checkpoint is quantized: Qwen2.5-7B-Instruct-AWQ does."""
    return _QUANTIZED.search(_plain_id(model_id or "").rsplit("/", 1)[-1]) is not None


def catalogue() -> Iterator[KnownModel]:
    """Every entry."""
    return map(_known, _data()["models"])


def _plain_id(text: str) -> str:
    """A model id out of a path: /models/Qwen3-8B/ gives Qwen3-8B, a hub cache's folder org/name."""
    snapshot = _SNAPSHOT.search(text)
    if snapshot is not None:
        return f"{snapshot[1]}/{snapshot[2]}"
    parts = [part for part in text.strip().split("/") if part]
    return "/".join(parts[-2:])


def _twin(name: str, organisation: str) -> KnownModel | None:
    """An entry of the same shape, told by the name without its organisation."""
    same = _by_name().get(_folded(_FORMAT.sub("", name))) or _by_name().get(_folded(name))
    if same is not None:
        return _twin_of(same, name, organisation)
    tuned = _by_stem().get(_stem(name))
    return None if tuned is None else _twin_of(tuned, name, organisation, _CONTEXT)


def _twin_of(entry: str, name: str, organisation: str, differing: tuple[str, ...] = ()) -> KnownModel:
    """The entry without fields in which a twin of that name may differ.

    A quantization that either name alone speaks of is the entry's alone: Gemma-4-31B-IT-NVFP4 says nothing of
    gemma-4-31b-it. One that neither speaks of (DeepSeek-V3) is both's.
    """
    quantized, named = says_quantized(name), _PLAIN.search(name) is not None
    apart = quantized or named or says_quantized(entry)
    left = (*_QUANTIZATION, *differing) if apart else differing
    known, own = _known(entry), {} if quantized or named or not apart else _published(organisation, entry)
    config = {**_without(known.config, left), **own}
    return KnownModel(known.name, config, known.source, exact=False, quantized=quantized)


def _published(organisation: str, entry: str) -> Mapping[str, Any]:
    """How the organisation publishes models of this shape: Kimi-K2.6 in INT4, since Kimi-K2.5 is."""
    of_it = [name for name in _data()["models"] if name.lower().startswith(f"{organisation.lower()}/")]
    alike = [name for name in of_it if not says_quantized(name) and _agree((name, entry), every=True)]
    return expanded(_data()["models"][alike[0]][2]) if alike else {}


def _without(config: Mapping[str, Any], keys: tuple[str, ...]) -> Mapping[str, Any]:
    kept = {key: value for key, value in config.items() if key not in keys}
    return {key: _without(value, keys) if key in _INNER else value for key, value in kept.items()}


def _known(name: str) -> KnownModel:
    data = _data()
    shape, source, extra = data["models"][name]
    config = {**expanded(data["shapes"][shape]), **expanded(extra)}
    return KnownModel(name, MappingProxyType(config), data["sources"][source])


def _folded(name: str) -> str:
    """A name without what spellings differ in: Meta-Llama-3.1-8B and llama-3.1-8b are the same."""
    return name.lower().replace("_", "-").removeprefix("meta-")


def _stem(name: str) -> str:
    return _folded(_TUNED.sub("", _FORMAT.sub("", name)))


@cache
def _by_id() -> Mapping[str, str]:
    return {name.lower(): name for name in _data()["models"]}


@cache
def _by_name() -> Mapping[str, str]:
    """Names without organisation."""
    return _unanimous(lambda name: _folded(name.rsplit("/", 1)[-1]))


@cache
def _by_stem() -> Mapping[str, str]:
    """Names without organisation and without what tuned and quantized twins add."""
    return _unanimous(lambda name: _stem(name.rsplit("/", 1)[-1]))


def _unanimous(key: Callable[[str], str]) -> Mapping[str, str]:
    """The first entry of each key, those without a quantization first; none where their shapes differ."""
    models = _data()["models"]
    found: dict[str, list[str]] = {}
    for name in sorted(models, key=lambda name: (bool(models[name][2]), name)):
        found.setdefault(key(name), []).append(name)
    return {key: names[0] for key, names in found.items() if _agree(names)}


def _agree(names: Sequence[str], *, every: bool = False) -> bool:
    """Whether models have one shape; those without a quantization decide, unless every one has to agree."""
    models, shapes = _data()["models"], _data()["shapes"]
    plain = [name for name in names if every or not models[name][2]] or names[:1]
    return len({json.dumps(_without(shapes[models[name][0]], _BESIDE_SHAPE), sort_keys=True) for name in plain}) == 1


@cache
def _data() -> Mapping[str, Any]:
    text = files("inferplan.domain").joinpath("data/models.json").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded
