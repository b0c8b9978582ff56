"""Settings as a recommendation names them: by the engine's flag only where the running version has it. Pure."""

from inferplan.dialects.keys import spelling_of
from inferplan.dialects.registry import basis, proposable
from inferplan.domain.serving import ServingConfig


def setting_name(config: ServingConfig, key: str) -> str:
    """The engine's flag ("--max-num-seqs") where the running version surely has it, else the engine-neutral key."""
    known, spelling = basis(config.engine, config.version), spelling_of(config.engine, key)
    if known is None or spelling is None or proposable(known, spelling.dest) is None:
        return key
    return spelling.flag
