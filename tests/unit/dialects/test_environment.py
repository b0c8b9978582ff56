"""Variables as the kubelet makes them, and `$(NAME)` as it expands it."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inferplan.dialects.environment import TEMPLATE, Environment, expand, read_environment
from inferplan.dialects.words import Piece, Word

MAPS = {"runtime": {"LEN": "4096", "MODEL": "acme/small", "not a name": "x", "RAW": "$(LEN)"}}


def environment(text: str) -> Environment:
    return read_environment(yaml.safe_load(text), MAPS)


def values(text: str) -> dict[str, str]:
    return {name: Word(variable.pieces).text for name, variable in environment(text).variables.items()}


def test_later_ones_win_and_may_refer_to_earlier_ones() -> None:
    assert values("""
        env:
        - {name: A, value: "1"}
        - {name: B, value: "$(A)$(LATER)"}
        - {name: A, value: "2$(A)"}
        - {name: LATER, value: x}
    """) == {"A": "21", "B": "1$(LATER)", "LATER": "x"}


def test_sources_stand_before_entries_and_only_names_become_variables() -> None:
    text = """
        envFrom: [{configMapRef: {name: runtime}}, {configMapRef: {name: runtime}, prefix: P_}]
        env: [{name: LEN, value: "8$(LEN)"}, {name: RAW2, value: "$(RAW)"}]
    """
    found = values(text)
    assert (found["LEN"], found["P_LEN"], found["RAW"], found["RAW2"]) == ("84096", "4096", "$(LEN)", "$(LEN)")
    assert "not a name" not in found
    sources = {name: variable.source for name, variable in environment(text).variables.items()}
    assert (sources["P_LEN"], sources["LEN"]) == ("configMap runtime/LEN", "env")


@pytest.mark.parametrize(
    ("entry", "source"),
    [
        ("{secretKeyRef: {name: hf, key: token}}", "secret hf/token"),
        ("{fieldRef: {fieldPath: status.podIP}}", "field status.podIP"),
        ("{resourceFieldRef: {resource: limits.cpu}}", "resource limits.cpu"),
        ("{configMapKeyRef: {name: elsewhere, key: K}}", "configMap elsewhere/K"),
        ("{configMapKeyRef: {name: runtime, key: K}}", "configMap runtime/K"),
        ("{somethingNew: {}}", "an unknown source"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_unknown(entry: str, source: str) -> None:
    variable = environment(f"env: [{{name: V, valueFrom: {entry}}}]").variables["V"]
    assert variable.pieces == (Piece("$(V)", unknown="V"),)
    assert variable.source == source


def test_a_known_config_map_gives_its_value_and_an_optional_key_that_is_not_there_nothing() -> None:
    found = environment("""
        env:
        - {name: LEN, valueFrom: {configMapKeyRef: {name: runtime, key: LEN}}}
        - {name: RAW, valueFrom: {configMapKeyRef: {name: runtime, key: RAW}}}
        - {name: NONE, valueFrom: {configMapKeyRef: {name: runtime, key: K, optional: true}}}
    """).variables
    assert Word(found["LEN"].pieces).text == "4096"
    assert found["RAW"].pieces == (Piece("$(LEN)"),)
    assert found["LEN"].source == "configMap runtime/LEN"
    assert "NONE" not in found


def test_sources_that_are_not_known_are_told() -> None:
    text = "envFrom: [{secretRef: {name: hf}}, {configMapRef: {name: elsewhere}}, {configMapRef: {name: runtime}}, {}]"
    assert environment(text).open == ("secret hf", "configMap elsewhere")


def test_a_mapping_of_names_to_values_is_an_environment() -> None:
    assert values("env: {A: '1', B: 2, C: true, D: null, E: [1]}") == {
        "A": "1",
        "B": "2",
        "C": "true",
        "D": "",
        "E": "$(E)",
    }


def test_a_template_in_a_value_is_unknown() -> None:
    (piece,) = environment("env: [{name: NAME, value: '{{ .Name }}'}]").variables["NAME"].pieces
    assert (piece.text, piece.unknown) == ("{{ .Name }}", TEMPLATE)


KNOWN = environment("""
    env:
    - {name: LEN, value: "4096"}
    - {name: TWICE, value: "$(LEN)-$(LEN)"}
    - {name: EMPTY}
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: hf, key: t}}}
    - {name: ALIAS, value: "$(TOKEN)"}
    - {name: MIXED, value: "a$(TOKEN)b"}
""")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("--a=1", (Piece("--a=1", 3, 0, 5, True),)),
        (
            "--len=$(LEN)!",
            (
                Piece("--len=", 3, 0, 6, True),
                Piece("4096", 3, 6, 12, variables=("LEN",)),
                Piece("!", 3, 12, 13, True),
            ),
        ),
        ("$(TWICE)", (Piece("4096-4096", 3, 0, 8, variables=("TWICE", "LEN")),)),
        ("$(EMPTY)", (Piece("", 3, 0, 8, variables=("EMPTY",)),)),
        ("$(TOKEN)", (Piece("$(TOKEN)", 3, 0, 8, unknown="TOKEN", variables=("TOKEN",)),)),
        ("$(ALIAS)", (Piece("$(ALIAS)", 3, 0, 8, unknown="TOKEN", variables=("ALIAS", "TOKEN")),)),
        (
            "$(MIXED)",
            (
                Piece("a", variables=("MIXED",)),
                Piece("$(TOKEN)", unknown="TOKEN", variables=("MIXED", "TOKEN")),
                Piece("b", variables=("MIXED",)),
            ),
        ),
        ("$(NOWHERE)", (Piece("$(NOWHERE)", 3, 0, 10, unknown="NOWHERE", variables=("NOWHERE",)),)),
        ("$$(LEN)", (Piece("$", 3, 0, 2), Piece("(LEN)", 3, 2, 7, True))),
        ("$$$(LEN)", (Piece("$", 3, 0, 2), Piece("4096", 3, 2, 8, variables=("LEN",)))),
        ("$(hostname -I) $x ${LEN}", (Piece("$(hostname -I) $x ${LEN}", 3, 0, 24, True),)),
        ("$(LEN", (Piece("$(LEN", 3, 0, 5, True),)),
        ("$()", (Piece("$()", 3, 0, 3, True),)),
        ("n={{.Name}}", (Piece("n=", 3, 0, 2, True), Piece("{{.Name}}", 3, 2, 11, unknown=TEMPLATE))),
        ('{"a": {"b": 1}}', (Piece('{"a": {"b": 1}}', 3, 0, 15, True),)),
        ("", ()),
    ],
)
def test_a_reference_is_expanded_and_keeps_its_place(text: str, pieces: tuple[Piece, ...]) -> None:
    assert expand(text, 3, KNOWN).pieces == pieces


@given(st.text(alphabet="$(){}AB x.") | st.text(), st.integers(-1, 3))
def test_places_cover_the_string_and_verbatim_pieces_are_letter_for_letter(text: str, source: int) -> None:
    pieces = expand(text, source, Environment({})).pieces
    assert "".join(text[piece.start : piece.end] for piece in pieces) == text
    for piece in pieces:
        assert piece.source == source
        assert not piece.verbatim or piece.text == text[piece.start : piece.end]


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["runtime", "LEN", "$(A)"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "env",
                    "envFrom",
                    "name",
                    "value",
                    "valueFrom",
                    "configMapRef",
                    "configMapKeyRef",
                    "secretKeyRef",
                    "key",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["env", "envFrom"]), anything))
def test_any_container_has_an_environment(container: dict[str, Any]) -> None:
    found = read_environment(container, MAPS)
    for name in found.variables:
        assert expand(f"$({name})", 0, found)


@pytest.mark.parametrize("value", [[1], {"a": 1}, pytest.param(2**20000, id="2 to the power of 20000")])
def test_a_value_that_is_no_text_is_not_known(value: Any) -> None:
    variable = read_environment({"env": [{"name": "A", "value": value}]}, {}).variables["A"]
    assert [piece.unknown for piece in variable.pieces] == ["A"]
