"""Values files of the Helm charts that start vLLM → their text with other arguments; pure.

vLLM production-stack (helm/templates/deployment-vllm-multi.yaml): one entry of servingEngineSpec.modelSpec is a
Deployment RELEASE-NAME-deployment-vllm; vllmConfig has some flags as keys of its own, all others in extraArgs.
vLLM's own chart (examples/online_serving/chart-helm): image.command is the command of RELEASE-deployment-vllm.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from inferplan.dialects.manifest_edit import list_edits
from inferplan.dialects.manifests import Path
from inferplan.dialects.untyped import mapping, mappings, scalar, text
from inferplan.dialects.words import NotEditable
from inferplan.dialects.yaml_text import edit_text
from inferplan.gitops.edit.adding import add_list, drop_list
from inferplan.gitops.edit.flags import FlagChange, changed_flags, flags
from inferplan.gitops.edit.scalars import set_scalar
from inferplan.gitops.edit.words import Words, is_done
from inferplan.gitops.failures import not_editable, not_found, stale
from inferplan.gitops.port import Proposal

_SUFFIX = "-deployment-vllm"
_KEYS = {
    "max-model-len": "maxModelLen",
    "dtype": "dtype",
    "tensor-parallel-size": "tensorParallelSize",
    "max-num-seqs": "maxNumSeqs",
    "gpu-memory-utilization": "gpuMemoryUtilization",
    "max-loras": "maxLoras",
    "runner": "runner",
    "convert": "convert",
    "enable-chunked-prefill": "enableChunkedPrefill",
    "enable-prefix-caching": "enablePrefixCaching",
}
"""Flags that vllmConfig has keys for; the last two are switches, which the chart also says no to by a flag."""
_BEHIND = {"modelRevision": "--revision", "lmcacheConfig": "--kv-transfer-config", "chatTemplate": "--chat-template"}
"""Values of a model that bring flags behind extraArgs."""
_KNOWN = "the vLLM production-stack chart (servingEngineSpec) and vLLM's own (image.command)"


def is_values(contents: Sequence[Any]) -> bool:
    """Whether a file's documents are values of a chart, and no manifest: one mapping without a kind."""
    return len(contents) == 1 and isinstance(contents[0], Mapping) and "kind" not in contents[0]


def helm_change(path: str, whole: str, contents: Sequence[Any], proposal: Proposal) -> Mapping[str, str]:
    """What a proposal changes of a values file; nothing where it says that already.

    Args:
        path: The file.
        whole: Its text.
        contents: What it holds.
        proposal: The proposal.

    Raises:
        GitOpsError: The chart is not known here, or the values are not those of the workload, or cannot be edited.
    """
    values = contents[0]
    command = mapping(values.get("image")).get("command")
    if isinstance(command, list) and proposal.name.endswith(_SUFFIX):
        return _command_changed(path, whole, tuple(map(scalar, command)), proposal)
    models = mappings(mapping(values.get("servingEngineSpec")).get("modelSpec"))
    if not models:
        raise not_editable(f"{path}: is no manifest; of values files, those for {_KNOWN} can be edited")
    fitting = [index for index, model in enumerate(models) if _is_model(model, proposal.name)]
    if len(fitting) != 1:
        names = ", ".join(text(model.get("name")) for model in models)
        raise not_found(f'{path}: no single entry of modelSpec is Deployment "{proposal.name}" (there are: {names})')
    place: Path = ("servingEngineSpec", "modelSpec", fitting[0])
    return _config_changed(path, whole, place, models[fitting[0]], proposal)


def _is_model(model: Mapping[str, Any], name: str) -> bool:
    own = text(model.get("name"))
    return bool(own) and name.endswith(f"-{own}{_SUFFIX}")


def _command_changed(path: str, whole: str, said: Words, proposal: Proposal) -> Mapping[str, str]:
    if is_done(path, (said, proposal.before.args), proposal):
        return {}
    if proposal.before.args != proposal.after.args:
        raise not_editable(f"{path}: image.command holds the command alone; args come from elsewhere")
    return {path: _with_list(path, whole, ("image", "command"), (said, proposal.after.command))}


def _with_list(path: str, whole: str, place: Path, words: tuple[Words, Words]) -> str:
    """The text with another list of strings at a place."""
    result = edit_text(whole, tuple(list_edits(0, place, *words)))
    if isinstance(result, NotEditable):
        raise not_editable(f"{path}: {result.reason}")
    return result


def _config_changed(
    path: str, whole: str, model_place: Path, model: Mapping[str, Any], proposal: Proposal
) -> Mapping[str, str]:
    """Each changed flag where the values have it: at its key, else in extraArgs."""
    place, config = (*model_place, "vllmConfig"), mapping(model.get("vllmConfig"))
    extra = config.get("extraArgs")
    own: Words = tuple(map(scalar, extra)) if isinstance(extra, list) else ()
    words, result, keyed = own, whole, []
    for change in changed_flags(path, proposal.before.strings, proposal.after.strings):
        key = _KEYS.get(change.name)
        if key is not None and key in config:
            result = _with_key(path, result, (*place, key), scalar(config[key]), change)
            keyed.append(change)
        else:
            words = _with_extra(path, words, change, proposal.after.strings)
    if words != own and _rendered(path, model, (own, words), keyed, proposal) != proposal.after.strings:
        why = "the chart would put the flags in another order than the plan, and it would not be known again"
        raise not_editable(f"{path}: extraArgs: {why}; set them by hand")
    if own and not words:
        result = _without_list(path, result, place)
    elif words != own and "extraArgs" in config:
        result = _with_list(path, result, (*place, "extraArgs"), (own, words))
    elif words != own:
        result = _with_new_list(path, result, place, words)
    return {} if result == whole else {path: result}


def _with_key(path: str, whole: str, place: Path, said: str, change: FlagChange) -> str:
    """The text with a flag's value at the flag's own key."""
    old, new = (None if flag is None else flag.value for flag in (change.old, change.new))
    if said == new:
        return whole
    if said != old:
        raise stale(f"{path}: {place[-1]} is not what the workload has for --{change.name}")
    result = set_scalar(whole, 0, place, new) if new is not None else NotEditable(f"take {place[-1]} out by hand")
    if isinstance(result, NotEditable):
        raise not_editable(f"{path}: {result.reason}")
    return result


def _rendered(
    path: str, model: Mapping[str, Any], extra: tuple[Words, Words], keyed: Sequence[FlagChange], proposal: Proposal
) -> Words:
    """The command line that the chart makes of other words in extraArgs, and of other values at keys."""
    line, (own, words) = list(proposal.before.strings), extra
    ends = (index for index in range(len(line) - len(own), -1, -1) if tuple(line[index : index + len(own)]) == own)
    start = next(ends, None) if own else _end_of_config(line, model)
    if start is None:
        raise stale(f"{path}: the workload does not have the words of extraArgs")
    line[start : start + len(own)] = words
    for change in keyed:
        said = flags(line).get(change.name)
        if said is not None and change.new is not None:
            line[said.start : said.start + len(said.words)] = change.new.words
    return tuple(line)


def _end_of_config(line: Sequence[str], model: Mapping[str, Any]) -> int:
    """Where extraArgs would stand: before what other values of a model bring."""
    behind = [flag for key, flag in _BEHIND.items() if model.get(key) and flag in line]
    return min((line.index(flag) for flag in behind), default=len(line))


def _with_extra(path: str, words: Words, change: FlagChange, after: Words) -> Words:
    """The words of extraArgs with one flag changed, added where the plan has it, or taken out."""
    said = flags(words).get(change.name)
    new = change.new.words if change.new is not None else ()
    if said is None and change.old is None:
        place = _place_of(words, change.name, after)
        return (*words[:place], *new, *words[place:])
    if said is None and change.new is not None:
        raise not_editable(f"{path}: --{change.name} does not come from vllmConfig; set it there by hand")
    if said is None or said == change.new:
        return words
    if said != change.old:
        raise stale(f"{path}: extraArgs has --{change.name} in another way than the workload")
    return (*words[: said.start], *new, *words[said.start + len(said.words) :])


def _place_of(words: Words, name: str, after: Words) -> int:
    """Where a flag comes among words: behind the one of them that stands before it in the whole command line."""
    there, names = flags(words), list(flags(after))
    before = next((there[each] for each in reversed(names[: names.index(name)]) if each in there), None)
    return 0 if before is None else before.start + len(before.words)


def _with_new_list(path: str, whole: str, place: Path, words: Words) -> str:
    result = add_list(whole, 0, place, "extraArgs", words)
    if isinstance(result, NotEditable):
        raise not_editable(f"{path}: {result.reason}")
    return result


def _without_list(path: str, whole: str, place: Path) -> str:
    result = drop_list(whole, 0, place, "extraArgs")
    if isinstance(result, NotEditable):
        raise not_editable(f"{path}: {result.reason}")
    return result
