"""Generated shell scripts, for properties: words in every way of quoting, and statements around them."""

from hypothesis import strategies as st

HEAD = "X=a; Y='a b'; E=; Z=x/y/zz.t; N=3; A=(p 'q r' s); P=vllm\n"
"""What every generated script begins with."""

_letters = st.text("abcxyz019-_./:=,@%+^", min_size=1, max_size=6)
_quotable = st.text("ab 9-{}[]:,;&|()<>*?#~=\té漢", max_size=6)
_name = st.sampled_from("XYEZN")


@st.composite
def _variable(draw: st.DrawFn) -> str:
    """An expansion of a variable that the head sets."""
    name, word = draw(_name), draw(_letters)
    forms = (
        f"${name}", f"${{{name}}}", f"${{{name}:-{word}}}", f"${{{name}:+{word}}}", f"${{{name}-{word}}}",
        f'${{{name}:-"{word} q"}}', f"${{{name}:-a b}}", f"${{{name}%/*}}", f"${{{name}##*/}}", f"${{#{name}}}",
        f"${{{name}//a/b}}", f"${{{name}:1:3}}", f"${{{name}^^}}", f"${{{name}:={word}}}",
    )  # fmt: skip
    return draw(st.sampled_from(forms))


_lists = st.sampled_from(["${A[@]}", "${A[*]}", "$@", "$*", "${A[0]}", "${#A[@]}", "$A", "${@}"])
_positional = st.sampled_from(["$1", "${2}", "$#", "${3:-d}", "$10", "${9:-x}"])
_computed = st.sampled_from(
    ["$((1+2*3))", "$(( N + 1 ))", "$((${N}*2-1))", "$(echo a/b)", "`echo c`", '$(printf "%s\\n" "$Y")', '$(echo "$Y")']
)
_in_quotes = st.one_of(
    _quotable, _variable(), _lists, _positional, _computed, st.sampled_from(['\\"', "\\$", "\\\\", "\\a", "\\\n", "'"])
)
_double = st.lists(_in_quotes, max_size=3).map(lambda parts: f'"{"".join(parts)}"')
_ansi = st.sampled_from(["$'\\n'", "$'a\\tb'", "$'\\x41'", "$'é'", "$'\\u00e9'"])
_escaped = st.sampled_from([f"\\{letter}" for letter in "\"'$\\&|;()<>{}[]*?#~!ab\n"])
_odd = st.sampled_from(
    ["#", "{}", "a#b", "~", "=", "==", "!", "-", "2", "{a,b}", "[x]", '{"a":1}', "*.none", "http://x/?a=1"]
)
_single = _quotable.map(lambda text: f"'{text}'")
_atom = st.one_of(
    _letters, _letters, _single, _double, _double, _escaped, _ansi, _variable(), _lists, _positional, _computed, _odd
)
word = st.lists(_atom, min_size=1, max_size=3).map("".join)
_gap = st.sampled_from([" ", " ", "  ", "\t", " \\\n  ", "\\\n "])


@st.composite
def _words(draw: st.DrawFn) -> str:
    return "".join(draw(_gap) + draw(word) for _ in range(draw(st.integers(0, 4))))


@st.composite
def start(draw: st.DrawFn) -> str:
    """A command that starts `vllm`."""
    before = draw(st.sampled_from(["", "", "A1=b ", 'B1="$X y" ', "command ", ">/dev/null ", "2>&1 "]))
    program = draw(st.sampled_from(["vllm", "vllm", '"vllm"', "v'llm'", "$P"]))
    after = draw(
        st.sampled_from(["", "", ">/dev/null", "2>&1", "> /dev/null 2>&1", "</dev/null", '<<< "$X"', "\\\n  2>&1"])
    )
    more = draw(st.sampled_from(["", "", "", " z", " 'y z'"])) if after else ""
    return f"{before}{program}{draw(_words())} {after}{more}"


@st.composite
def change(draw: st.DrawFn) -> str:
    """A statement that sets variables or arguments."""
    name, one, several = draw(_name), draw(word), draw(_words())
    forms = (
        f"{name}={one}", f"{name}+={one}", f"export {name}={one}", f"unset {name}",
        f"A=({several})", f"A=({several}\n)",
        f"A+=({several} # c\n)", f"A[1]={one}", f"set --{several}", f'set -- "$@" {one}', "shift", "set -u; set +u",
        f': "${{{name}:=x}}"',
    )  # fmt: skip
    return draw(st.sampled_from(forms))


_KNOWN = ['[ "$X" = a ]', '[ "$Y" != "a b" ]', "[[ -n $X && -z $E ]]", "[ $N -gt 2 ]", "true", "! true", "(( N > 3 ))"]
_OPEN = ['[ -n "$U" ]', "[[ $U == a ]]", '[ -z "$U$X" ]', "[ ! -f /nonexistent ]", '[ $# -eq 1 -o -n "$U" ]']


def statement(depth: int, *, open_tests: bool) -> st.SearchStrategy[str]:
    """A statement with others inside, up to a depth."""
    if depth == 0:
        return st.one_of(start(), start(), change())
    inner = st.lists(statement(depth - 1, open_tests=open_tests), min_size=1, max_size=2).map("\n".join)
    test = st.sampled_from([*_KNOWN, *(_OPEN if open_tests else ())])
    case = st.sampled_from(["$X", '"$Y"', *(["$U"] if open_tests else [])])
    return st.one_of(
        start(),
        start(),
        change(),
        st.builds("if {}; then\n{}\nelse {}\nfi".format, test, inner, inner),
        st.builds("if {}; then {}\nelif {}; then {}\nfi".format, test, inner, test, inner),
        st.builds("{} {} {}".format, test, st.sampled_from(["&&", "||"]), statement(0, open_tests=open_tests)),
        st.builds("( {}\n)".format, inner),
        st.builds("{{ {}\n}}".format, inner),
        st.builds("case {} in a) {}\n;; 'a b'|x) {} ;; *) {}\nesac".format, case, inner, inner, inner),
        st.builds("fn() {{ {}{}\n}}; fn{}".format, st.sampled_from(["", "local X=q; "]), inner, _words()),
        st.sampled_from(['eval "vllm $X \\"b c\\""', "eval 'vllm $Y \"$Y\"'", 'eval "X=q; vllm \\$X"']),
        start().map("{} | cat".format),
        st.sampled_from(
            ["cat > /dev/null <<EOF\n a $X \\$Y\nEOF", "# comment", "sleep 0", "cat <<'EOF' >/dev/null\n$(\nEOF"]
        ),
    )


def scripts(*, open_tests: bool) -> st.SearchStrategy[str]:
    """Whole scripts; `open_tests`: with conditions on `$U`, which no script sets."""
    several = st.lists(statement(2, open_tests=open_tests), min_size=1, max_size=4)
    return several.map(lambda statements: HEAD + "\n".join(statements) + "\n")
