"""Variables, arrays and arguments of a shell script."""

import pytest
from tests.support.shell import runs, script, words

SET = "X='a b'; E=; P=x/y.tar.gz; N=3; Y=X; A=(p 'q r'); "


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("$X", ["a", "b"]),
        ('"$X"', ["a b"]),
        ("-$X-", ["-a", "b-"]),
        ("$E", []),
        ('"$E"', [""]),
        ("${X:-d} ${E:-d e} \"${E:-'d' e}\"", ["a", "b", "d", "e", "'d' e"]),
        ("${E-d} ${Q:-d}", ["<Q…>"]),
        ("${E:=f} $E", ["f", "f"]),
        ('${X:+--x} ${E:+--e} "${E:+e}"', ["--x", ""]),
        ("${N:?no} ${#X} ${#A[@]} ${#Q}", ["3", "3", "2", "<${#Q}…>"]),
        ("${P%.*} ${P%%.*} ${P##*/} ${P#*/}", ["x/y.tar", "x/y", "y.tar.gz", "y.tar.gz"]),
        ("${P//\\//_} ${P/y/z} ${N^^} ${P:2:3}", ["<${P//\\//_}…>", "x/z.tar.gz", "3", "y.t"]),
        ("$((N * 2 + 1)) $(( $N - 4 )) $((Q + 1))", ["7", "-1", "<$((Q + 1))…>"]),
        ('"${A[@]}" ${A[@]} "${A[*]}" $A ${A[1]}', ["p", "q r", "p", "q", "r", "p q r", "p", "q", "r"]),
        ('"-${A[@]}-"', ["-p", "q r-"]),
        ('$Q ${Q} "$Q" ${Q:-d}', ["<Q…>", "<Q…>", "<Q>", "<Q…>"]),
        ("$(echo 'a b') \"$(echo 'a b')\" `printf '%s-%s' x y`", ["a", "b", "a b", "x-y"]),
        ('"$(cat <<EOF\n{"a": $N}\nEOF\n)"', ['{"a": 3}']),
        ("${!Y}", ["a", "b"]),
        ("$10 ${1}0", ["one0", "one0"]),
        ("http://$N:$N/v1 $N-$N-$N.z --a=$N:$N,b", ["http://3:3/v1", "3-3-3.z", "--a=3:3,b"]),
        ('"$*" "$@" $#', ["one two", "one", "two", "2"]),
    ],
)
def test_an_expansion_stands_for_what_the_shell_makes_of_it(written: str, expected: list[str]) -> None:
    assert runs(f"{SET}vllm {written}", "bash", "one", "two") == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=(--x 1 # one\n --y '2 3'\n); vllm \"${A[@]}\"", ["--x", "1", "--y", "2 3"]),
        ("A=(a); A+=(b c); A[0]=z; vllm ${A[@]}", ["z", "b", "c"]),
        ('A=(); vllm "${A[@]}"', []),
        ('A+=(b); vllm "${A[@]}"', ["<A…>", "b"]),
        ('A=(a $Q); vllm "${A[@]}" ${A[1]}', ["a", "<Q…>", "<A…>"]),
        ('A=($Q a); vllm "-${A[@]}" "${A[*]}"', ["-<Q…><Q…>a", "<Q><Q>a"]),
        ('A=(a $Q); vllm "${A[@]}-"', ["a<Q…><Q…>-"]),
        ("declare -a A; A+=(b); vllm ${A[@]}", ["b"]),
        ("declare -A M=([a]=b); vllm ${M[a]}", ["<M…>"]),
        ("S=a; S+=b; S+=' c'; vllm $S", ["ab", "c"]),
        ("ARGS+=' --x'; vllm $ARGS", ["<ARGS…>", "--x"]),
        ("X='it'\\''s'; vllm \"$X\"", ["it's"]),
        ("X=$'a\\tb'; vllm \"$X\"", ["a\tb"]),
        ("X=a\\\nb; vllm $X", ["ab"]),
        ("X=a Y=$X; vllm $Y", ["a"]),
        ("unset X; vllm ${X:-d} ${X-e}", ["d", "e"]),
        ("X=a; vllm $X; X=b", ["a"]),
        ("X=a; (X=b); X=c | true; vllm $X", ["a"]),
        ("IFS=,; X=a,b; vllm $X", ["<IFS…>"]),
        ("read X; vllm $X", ["<X…>"]),
        ("X=a; read X <<< b; vllm $X", ["<X…>"]),
        ('mapfile -t A < f; vllm "${A[@]}"', ["<A…>"]),
        ("X=1; ((X++)); let Y=2; vllm $X $Y", ["<X…>", "<Y…>"]),
        ("printf -v X a; vllm $X", ["<X…>"]),
        ("set -- a 'b c'; vllm \"$@\"; ", ["a", "b c"]),
        ('set -euo pipefail; vllm "$@"', ["one"]),
        ('set -- "$@" --y; shift; vllm "$@"', ["--y"]),
        ("set -- a $Q b; vllm $1 $2", ["a", "<2…>"]),
        ("X=a; source env.sh; vllm $X $Y", ["<X…>", "<Y…>"]),
        ("X=a; . /opt/venv/bin/activate; vllm $X $PATH", ["a", "<PATH…>"]),
        ("X=a; export $(cat .env); vllm $X", ["<X…>"]),
        ('X=b; eval "vllm $X \\"c d\\" \'\\$X\'"', ["b", "c d", "$X"]),
        ("eval 'X=b'; vllm $X", ["b"]),
        ('eval vllm "$Q" --x', ["<Q…>", "--x"]),
        ("f() { local X=i; vllm $X \"$@\"; }; X=o; f 1 '2 3'", ["i", "1", "2 3"]),
        ("f() { local X=i; Y=$1; }; X=o; f 1; vllm $X $Y", ["o", "1"]),
        ("f() { return; vllm a; }; f; vllm b", ["b"]),
        ("function f { vllm f; }; f", ["f"]),
        ('vllm() { command vllm --w "$@"; }; vllm a', ["--w", "a"]),
        ("$RUN; P=vllm; $P a", ["a"]),
        ("time vllm a", ["a"]),
        ("exec -a name vllm a", ["a"]),
        ("X=vllm\\ a; exec $X", ["a"]),
    ],
)
def test_a_script_is_followed_to_the_engine(text: str, expected: list[str]) -> None:
    assert runs(text, "bash", "one") == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("export X=a; vllm", {"X": "a"}),
        ("X=a; vllm", {}),
        ("X=a; export X; vllm", {"X": "a"}),
        ("declare -x X=a; declare +x X; vllm", {}),
        ("set -a; X=a; set +a; Y=b; vllm", {"X": "a"}),
        ('A=1 B="$Q" vllm', {"A": "1", "B": "$Q"}),
        ('export "X=a b"; vllm', {"X": "a b"}),
        ("ENV=new; vllm", {"ENV": "new"}),
        ("export A=(a b); vllm", {}),
        ("export X; vllm", {}),
        ("f() { vllm; }; X=1 f", {"X": "1"}),
    ],
)
def test_the_engine_sees_what_the_script_exports(text: str, expected: dict[str, str]) -> None:
    (command,) = script(text, env={"ENV": "old"}).commands
    assert {name: "".join(piece.text for piece in value) for name, value in command.variables.items()} == expected


def test_a_variable_that_the_script_takes_away_is_named() -> None:
    (command,) = script("unset A; vllm", env={"A": "1"}).commands
    assert (command.unset, command.variables) == ({"A"}, {})


def test_the_containers_environment_is_known() -> None:
    assert runs("vllm $M ${Q:-x}", env={"M": "a b"}) == [["a", "b", "<Q…>"]]


def test_commands_in_substitutions_and_pipelines_are_commands() -> None:
    read = script("X=$(hostname) a | b; (c); { d; } &\nwait")
    assert [words(command) for command in read.commands] == [["hostname"], ["a"], ["b"], ["c"], ["d"], ["wait"]]
