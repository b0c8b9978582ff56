"""Which commands of a shell script surely run, and why others may not."""

import pytest
from tests.support.shell import conditions, runs

SURE = ""
ONE_OF = "in one of several functions f"
ENDED = "unless line 1 ended the script"


@pytest.mark.parametrize(
    "test",
    [
        '[ "$X" = a ]',
        '[ "$X" == "a" ]',
        "[ $X != b ]",
        '[ -n "$X" ]',
        '[ -z "$E" ]',
        '[ ! -n "$E" ]',
        "[ $N -eq 3 -a -n $X ]",
        "[ $N -lt 3 -o $N -ge 3 ]",
        "test $N -le 3",
        "[[ -n $X && ( -z $E || $N -gt 9 ) ]]",
        '[[ $X == "a" && $X != b* ]]',
        "[[ $X == a* ]]",
        "[[ ! -n $E ]]",
        "(( N > 2 ))",
        "true",
        "! false",
        '[ -n "x$Q" ]',
        "[ $X ]",
        "true && ! [ $N -ne 3 ]",
    ],
)
def test_a_condition_with_known_values_is_decided(test: str) -> None:
    head = "X=a; E=; N=3; "
    if test.startswith('[ "x'):
        assert conditions(f'{head}if [ -n "x$Q" ]; then vllm yes; else vllm no; fi') == [("yes", SURE)]
    elif "&& 1" in test:
        assert conditions(f"{head}if (( N > 2 )); then vllm yes; else vllm no; fi") == [("yes", SURE)]
    else:
        assert conditions(f"{head}if {test}; then vllm yes; else vllm no; fi") == [("yes", SURE)]


@pytest.mark.parametrize(
    "test",
    [
        '[ "$Q" = a ]',
        "[ -f file ]",
        "[[ $Q == a ]]",
        "[[ $X =~ ^a ]]",
        "[[ -z $Q ]]",
        "grep -q a b",
        "curl x",
        "! curl x",
        "(( Q > 1 ))",
        "[ $Q ]",
        "command -v nvidia-smi",
        "[ $N -eq 0x3 ]",
    ],
)
def test_a_condition_that_is_not_known_leaves_both_branches_open(test: str) -> None:
    reason = 'in a branch of "if" in line 2'
    text = f"X=a N=3\nif {test}; then vllm yes; else vllm no; fi\nvllm after"
    assert conditions(text) == [("yes", reason), ("no", reason), ("after", SURE)]


def branch(of: str, line: int) -> str:
    return f'in a branch of "{of}" in line {line}'


def behind(sign: str, line: int) -> str:
    return f'behind "{sign}" in line {line}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cd /x && vllm a && vllm b", [("a", SURE), ("b", SURE)]),
        ("vllm a || vllm b; vllm c", [("a", SURE), ("b", behind("||", 1)), ("c", SURE)]),
        ("true || vllm a; false && vllm b; false || vllm c; true && vllm d", [("c", SURE), ("d", SURE)]),
        ('[ -n "$Q" ] && vllm a', [("a", behind("&&", 1))]),
        ("[ -f x ] || vllm a", [("a", behind("||", 1))]),
        ("cd /x || exit 1\nvllm a", [("a", SURE)]),
        ('[ -n "$Q" ] || exit 1\nvllm a', [("a", SURE)]),
        ('if [ -z "$Q" ]; then echo no; exit 1; fi\nvllm a', [("a", SURE)]),
        ("[ -f x ] && exit\nvllm a", [("a", ENDED)]),
        (
            "if [ -f x ]; then exec vllm a; fi\nvllm b",
            [("a", branch("if", 1)), ("b", ENDED)],
        ),
        (
            "if [ -f x ]; then exec vllm a; else exec vllm b; fi\nvllm c",
            [("a", branch("if", 1)), ("b", branch("if", 1))],
        ),
        ("exec vllm a\nvllm b", [("a", SURE)]),
        ("exec > log 2>&1\nvllm a", [("a", SURE)]),
        ("(exec vllm a)\nvllm b", [("a", SURE), ("b", SURE)]),
        ("exec vllm a | tee log\nvllm b", [("a", SURE), ("b", SURE)]),
        ("exec vllm a &\nvllm b", [("a", SURE), ("b", SURE)]),
        ("exit 0\nvllm a", []),
        ("vllm a & vllm b", [("a", SURE), ("b", SURE)]),
        ("until curl x; do sleep 1; done; vllm a", [("a", SURE)]),
        ("while ! nc -z a 1; do vllm in; done", [("in", "in the loop in line 1")]),
        ("while true; do vllm a; sleep 1; done; vllm b", [("a", SURE)]),
        ("while true; do if x; then break; fi; done; vllm b", [("b", SURE)]),
        ("while true; do x || break; vllm a; done", [("a", SURE)]),
        ("while :; do if x; then break; fi; vllm a; done", [("a", "unless line 1 left the loop")]),
        ("for i in 1 2; do vllm a; done", [("a", SURE)]),
        ("for i in $Q; do vllm a; done", [("a", "in the loop in line 1")]),
        ('for i in "$@"; do vllm a; done; vllm b', [("b", SURE)]),
        ("for ((i=0; i<3; i++)); do vllm a; done", [("a", "in the loop in line 1")]),
        ("f() { if x; then return; fi; vllm a; }; f; vllm b", [("a", "unless line 1 left the function"), ("b", SURE)]),
        ("case $Q in a) vllm a;; *) vllm b;; esac", [("a", branch("case", 1)), ("b", branch("case", 1))]),
        ("X=ab; case $X in b) vllm b;; a*|c) vllm a;; *) vllm c;; esac", [("a", SURE)]),
        ("X=a; case \"$X\" in 'b') vllm b;; esac; vllm c", [("c", SURE)]),
        (
            "if x; then f() { vllm a; }; else f() { vllm b; }; fi; f",
            [("a", ONE_OF), ("b", ONE_OF)],
        ),
        ("X=0\nif [ $X = 1 ]; then vllm a; elif [ $X = 0 ]; then vllm b; else vllm c; fi", [("b", SURE)]),
        (
            "if [ $Q = 1 ]; then vllm a; elif true; then vllm b; else vllm c; fi",
            [("a", branch("if", 1)), ("b", branch("if", 1))],
        ),
        ("[ $N -gt 2 ] || q 2>/dev/null\nif [ -f x ]; then vllm a; fi", [("a", branch("if", 2))]),
        (
            "[[ -n $Q ]] && { vllm a; exit 0; }; vllm b",
            [("a", behind("&&", 1)), ("b", ENDED)],
        ),
    ],
)
def test_what_surely_runs_has_no_condition(text: str, expected: list[tuple[str, str]]) -> None:
    assert conditions(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X=a; if q; then X=b; fi; vllm $X", "<X…>"),
        ("X=a; if q; then X=a; fi; vllm $X", "a"),
        ("if q; then X=a; else X=a; fi; vllm $X", "a"),
        ("X=a; if q; then X=b; exit 1; fi; vllm $X", "a"),
        ("X=a; [ -n $Q ] && X=b; vllm $X", "<X…>"),
        ("X=a; q || X=b; vllm $X", "<X…>"),
        ("X=a; q && X=b; vllm $X", "b"),
        ("for X in a b; do :; done; vllm $X", "<X…>"),
        ("for X in a; do :; done; vllm $X", "a"),
        ('X=; for i in 1 2; do vllm "$X"; X=a; done', "<X>"),
        ("for i in 1 2; do X=a; vllm $X; done", "a"),
        ("Y=1; X=1; for i in 1 2; do vllm $Y; Y=$X; X=2; done", "<Y…>"),
        ("f() { X=$((X+1)); }; X=1; while q; do f; done; vllm $X", "<X…>"),
        ("X=a; while q; do X=b; break; done; vllm $X", "<X…>"),
        ("case $Q in a) X=a;; *) X=b;; esac; vllm $X", "<X…>"),
        ("case $Q in a) set -- x;; esac; vllm $1", "<1…>"),
    ],
)
def test_what_branches_leave_different_is_unknown(text: str, expected: str) -> None:
    assert runs(text) == [[expected]]
