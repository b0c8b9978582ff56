"""A GPU's name, in any spelling, taken apart into words: model, form, memory, MIG profile."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PARENTHESES = re.compile(r"\([^()]*\)?")
_MIG = re.compile(r"(?:mig[-_ ]*)?(?:\d+c\.)?([1-7])g\.(\d{1,3})gb(?:[.+][a-z0-9.+-]*)?")
_HOW_MANY = re.compile(r"(?:^|(?<=[^a-z0-9]))\d{1,4} ?[x\u00d7] ?(?=[a-z])")
_MEMORY = re.compile(r"(?:^|(?<=[^a-z0-9.]))(\d{1,4}) ?(?:gib|gb|g)(?![a-z0-9])")
_FORM = re.compile(r"(sxm\d?|pcie|nvl(?!ink|\d)|hbm\d?e?|max-?q)")
_FORMS = {
    # Word → the form that it tells. HGX and DGX boards carry SXM modules; "HBM3" is in the name of H100 SXM only.
    **dict.fromkeys(("sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "hgx", "dgx"), "sxm"),
    **dict.fromkeys(("pcie", "pci"), "pcie"),
    **{word: word for word in ("nvl", "hbm3", "server", "workstation", "maxq")},
}
_BRANDS = frozenset(("nvidia", "tesla", "geforce", "amd", "instinct", "gpu", "gpus", "generation", "edition"))
_OTHER_CHIP = frozenset(("laptop", "mobile", "notebook", "ti", "super", "d", "maxq", "grid", "vgpu"))
"""Words that make another, smaller or virtual GPU of a known name: RTX 4090 Laptop, RTX 4090 D."""
_VIRTUAL = re.compile(r"\d{1,3}[qcab]")  # NVIDIA vGPU profiles: A40-24Q


@dataclass(frozen=True)
class SpokenName:
    """What a name says.

    Attributes:
        words: Its words in lower case, without brand, form and memory.
        forms: sxm, pcie, nvl …
        gigabytes: Memory, where the name says it.
        mig: MIG profile as (compute slices, gigabytes), where the name has one.
        is_shared: Whether it is time-sliced or served by MPS: GPU Feature Discovery's "-SHARED".
    """

    words: tuple[str, ...]
    forms: frozenset[str]
    gigabytes: int | None
    mig: tuple[int, int] | None
    is_shared: bool

    def is_another(self, left: Iterable[str]) -> bool:
        """Whether the words beside the model's make it another GPU."""
        return any(word in _OTHER_CHIP or _VIRTUAL.fullmatch(word) for word in left)


def read_name(name: str) -> SpokenName:
    """Takes any spelling apart: "8x NVIDIA A100-SXM4-80GB" → a100, sxm, 80. Never raises."""
    text = _PARENTHESES.sub(" ", name[:200].lower())
    mig = _MIG.search(text)
    text = _HOW_MANY.sub(" ", _MIG.sub(" ", text))
    memory = _MEMORY.search(text)
    text = _FORM.sub(r" \1 ", _MEMORY.sub(" ", text)).replace("max-q", "maxq")
    words = [word for word in re.split(r"[^a-z0-9]+", text) if word]
    return SpokenName(
        words=tuple(word for word in words if word not in _BRANDS and word not in _FORMS and word != "shared"),
        forms=frozenset(_FORMS[word] for word in words if word in _FORMS),
        gigabytes=int(memory[1]) if memory else None,
        mig=(int(mig[1]), int(mig[2])) if mig else None,
        is_shared="shared" in words,
    )
