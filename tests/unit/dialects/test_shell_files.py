"""Files that a shell script writes before it starts the engine."""

import pytest
from tests.support.shell import runs, script


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("cat > f <<EOF\na: $X\n\\$Y\nEOF\n", "a: 1\n$Y\n"),
        ("cat <<'EOF' > f\na: $X\nEOF\n", "a: $X\n"),
        ("cat <<-EOF >f\n\ta\n\t\tb\n\tEOF\n", "a\nb\n"),
        ("cat <<EOF >f && true\na\nEOF\n", "a\n"),
        ("tee f <<EOF\na\nEOF\n", "a\n"),
        ("cat <<EOF | tee f\na\nEOF\n", "a\n"),
        ("cat <<EOF | tee f > /dev/null\na\nEOF\n", "a\n"),
        ("echo a | tee f", "a\n"),
        ("echo 'a b' \"$X\" > f", "a b 1\n"),
        ("echo -n a > f", "a"),
        ("printf '%s=%s\\n' a 1 b 2 > f", "a=1\nb=2\n"),
        ("echo a > f; echo b >> f", "a\nb\n"),
        ("{ echo a; echo b; } > f", "a\nb\n"),
        ("{ echo a; cat <<< b; } > f", "a\nb\n"),
        ("echo x && cat > f <<EOF\na\nEOF\n", "a\n"),
        ('cat <<< "$X" > f', "1\n"),
        ("echo a > g; cat < g > f", "a\n"),
        ("F=f; echo a > $F", "a\n"),
        ("> f", ""),
    ],
)
def test_known_content_is_kept(text: str, content: str) -> None:
    assert script(f"X=1; {text}").files["f"] == content


@pytest.mark.parametrize(
    "text",
    [
        "cat > f <<EOF\n$Q\nEOF\n",
        "if q; then echo a > f; fi",
        "[ -f f ] || echo a > f",
        "echo a > f; sed -i s/a/b/ f",
        "echo a > f; rm f",
        "echo a > f; q > f",
        "echo a >> f",
        "echo a > f; if q; then echo b > f; fi",
        "echo 'a\\n' > f",
        "curl x > f",
        "curl x | tee f",
        "for i in 1 2; do echo a > f; done; while q; do echo b > f; done",
        "echo a > /dev/null",
    ],
)
def test_content_that_is_not_certain_is_left_out(text: str) -> None:
    assert set(script(text).files) <= {"g"}


def test_a_file_that_the_script_wrote_can_be_sourced() -> None:
    assert runs("cat > e.sh <<EOF\nexport X=a\nEOF\nsource e.sh; vllm $X") == [["a"]]
