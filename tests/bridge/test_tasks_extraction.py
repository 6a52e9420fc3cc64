"""Numbers, normal forms and answer patterns: laws, examples, and refusals."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge.answers.extraction import extractor, last_box
from llm_bridge.answers.normal_form import is_words, normal_form
from llm_bridge.answers.numbers import last_number, number, write_number
from sharpening import InputError

LATEX = st.lists(
    st.sampled_from(
        [
            r"\frac",
            r"\dfrac",
            r"\left(",
            r"\right]",
            r"\text{even}",
            "{1}",
            "{2}",
            "12",
            "x",
            "^",
            " ",
            ",",
            r"\,",
            r"\!",
            r"\sqrt",
            "3",
            ".",
            "$",
            r"\$",
            "%",
            "-",
            "+",
            "(",
            ")",
            "[",
            "\\",
            "\\\\",
            "=",
            "a",
            r"^{\circ}",
            "/",
            "1,000",
            "\n",
            "{",
            "}",
        ]
    ),
    max_size=10,
).map("".join)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,000", 1000),
        ("1000", 1000),
        ("042", 42),
        ("0.250", Fraction(1, 4)),
        (".5", Fraction(1, 2)),
        ("3.", 3),
        ("-7", -7),
        ("+7", 7),
        ("\u22127", -7),
        ("1/4", Fraction(1, 4)),
        ("2/8", Fraction(1, 4)),
        ("-1/2", Fraction(-1, 2)),
        ("1/-2", Fraction(-1, 2)),
        (r"\frac{1}{4}", Fraction(1, 4)),
        (r"-\dfrac{3}{8}", Fraction(-3, 8)),
        (r"1\frac{4}{5}", Fraction(9, 5)),
        (r"-1\frac{1}{2}", Fraction(-3, 2)),
        ("1,234,567.89", Fraction(123456789, 100)),
        (" 5 ", 5),
        ("1,2", None),
        ("1,00", None),
        ("1,0000", None),
        ("1/0", None),
        (r"\frac{1}{0}", None),
        ("1e5", 100_000),
        ("50%", None),
        ("", None),
        ("-", None),
        (".", None),
        ("x", None),
        ("1 2", None),
        ("--1", None),
        ("nan", None),
        ("inf", None),
        ("\u0664", None),
        (r"1\frac{7}{5}", None),
        ("9" * 401, None),
        ("5\0", None),
    ],
)
def test_number(text, value):
    assert number(text) == value


@given(
    st.fractions()
    | st.integers().map(Fraction)
    | st.decimals(allow_nan=False, allow_infinity=False, places=6).map(Fraction)
)
def test_a_written_number_is_read_back(value):
    text = write_number(value)
    assert len(text) > 400 or number(text) == value
    assert "e" not in text.lower()


@given(st.integers(-(10**9), 10**9), st.integers(0, 3), st.integers(0, 4))
def test_every_spelling_of_a_whole_number_is_one_spelling(value, leading, trailing):
    plain = f"{abs(value):,}" if not leading else "0" * leading + str(abs(value))
    text = ("-" if value < 0 else "") + plain + ("." + "0" * trailing if trailing else "")
    assert write_number(number(text)) == str(value)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The answer is 42.", "42"),
        ("so 1,000 dollars", "1000"),
        ("6 * 7 = 42", "42"),
        ("x=-3", "-3"),
        ("5-3", "3"),
        ("(2)-1", "1"),
        ("is -1/2.", "-0.5"),
        ("1/3", "1/3"),
        (r"thus $\frac{3}{4}$", "0.75"),
        (r"\frac12", "0.5"),
        (r"1\frac{4}{5}", "1.8"),
        (r"-2 \dfrac{1}{2}", "-2.5"),
        ("0.250", "0.25"),
        ("042", "42"),
        ("$18.90", "18.9"),
        ("1.2.3", "3"),
        ("50%", "50"),
        ("12:30", "30"),
        ("1,2", "2"),
        ("1,2345", "2345"),
        ("no digits", None),
        ("", None),
        ("-", None),
        ("1/0", None),
        ("\u0664\u0662", None),
        ("7\0", "7"),
        ("pi is 3.", "3"),
    ],
)
def test_last_number(text, label):
    assert last_number(text) == label


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so \boxed{5}.", "5"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed{4} then \boxed{5", "4"),
        (r"\boxed {6}", "6"),
        (r"\fbox{7}", "7"),
        (r"\boxed{a{b}c}", "a{b}c"),
        (r"\boxed{}", ""),
        (r"\boxed{8", None),
        ("8", None),
        ("", None),
        ("}}}{{{", None),
        (r"} \boxed{9}", "9"),
        (r"\\boxed{1}", None),
    ],
)
def test_last_box(text, content):
    assert last_box(text) == content


@given(LATEX | st.text(max_size=30))
@settings(max_examples=1_500)
def test_normal_form_is_idempotent(text):
    once = normal_form(text)
    assert normal_form(once) == once


@pytest.mark.parametrize(
    "same",
    [
        [
            r"\dfrac12",
            r"\frac{1}{2}",
            r"\frac 12",
            r"\tfrac{1}{2}",
            "1/2",
            "0.5",
            "$0.50$",
            ".5",
            r"\(\frac12\)",
        ],
        [
            r"\left( 3, \frac{\pi}{2} \right)",
            r"(3,\frac{\pi}{2})",
            r"(3, \frac{\pi}2)",
            r"\left(3,\,\dfrac{\pi}{2}\right).",
        ],
        [r"\text{even}", "even", "even.", r"\mbox{ even }"],
        [r"11,\! 111,\! 111,\! 100", "11,111,111,100", "11111111100"],
        [r"\$32,\!348", "$32,348", "32348"],
        [r"\text{(C)}", "(C)", "C"],
        [r"30^\circ", r"30^{\circ}", r"30 ^ \circ"],
        ["50%", r"50\%", "50"],
        [r"11\sqrt2", r"11\sqrt{2}", r"11 \sqrt{2}"],
        ["p - q", "p-q", "$p-q$"],
        [r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"],
    ],
)
def test_typesetting_makes_no_difference(same):
    assert len({normal_form(text) for text in same}) == 1, {text: normal_form(text) for text in same}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1, 200", "1200"),
        ("12", "1 2"),
        ("ab", "a b"),
        ("(1,3)", "(1,3]"),
        ("x_1", "x1"),
        ("2^3", "23"),
        ("-5", "5"),
        ("even", "odd"),
    ],
)
def test_different_answers_keep_different_forms(first, second):
    assert normal_form(first) != normal_form(second)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("even", True),
        ("no solution", True),
        ("Evelyn", True),
        ("St. John's", True),
        ("x", False),
        ("abc", False),
        (r"\pi", False),
        ("5 cats", False),
        ("sinh x", True),
        ("log sin", False),
        ("x=even", False),
        ("", False),
    ],
)
def test_words(text, words):
    assert is_words(text) is words


def test_patterns():
    assert extractor("text")("  a \n b ") == "a b"
    assert extractor("text")(" ") is None
    assert extractor("boxed")(r"is \boxed{\dfrac12}") == "0.5"
    assert extractor("boxed")(r"is \boxed{}") is None
    assert extractor("regex:Answer: (\\S+)")("Answer: 1\nAnswer: 2") == "1"
    assert extractor("regex:Answer: (\\S+)")("none") is None
    assert extractor("regex:(a)|b")("b") is None


@pytest.mark.parametrize(
    "pattern", ["lastnumber", "", "regex:(", "regex:abc", "regex:", "regex:(a{99999999999})", "REGEX:(a)"]
)
def test_a_bad_pattern_is_an_input_error(pattern):
    with pytest.raises(InputError, match="answer_pattern"):
        extractor(pattern)
