"""Countdown: the parser against Python's own arithmetic, the problems against a search that shares no
code.
"""

from itertools import combinations_with_replacement

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge import get_task
from llm_bridge.answers.arithmetic import parse_expression

TASK = get_task("countdown")

TREES = st.recursive(
    st.integers(0, 99).map(str),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map("".join)
        | inner.map(lambda text: f"({text})")
        | st.tuples(inner, st.sampled_from(["+ ", " - ", "* "]), inner).map("".join)
    ),
    max_leaves=8,
)


@given(TREES)
@settings(max_examples=500, deadline=None)
def test_value_and_canonical_text_agree_with_python(text):
    expression = parse_expression(text)
    if len(text) > 64:
        assert expression is None
        return
    assert expression.value == eval(text)
    assert eval(expression.text) == expression.value
    assert parse_expression(expression.text) == expression
    assert " " not in expression.text and len(expression.text) <= len(text)


@given(TREES)
@settings(max_examples=300, deadline=None)
def test_no_bracket_can_be_left_out(text):
    expression = parse_expression(text)
    if expression is None:
        return
    canonical = expression.text
    for start, character in enumerate(canonical):
        if character == "(":
            depth, end = 0, start
            for end in range(start, len(canonical)):
                depth += (canonical[end] == "(") - (canonical[end] == ")")
                if depth == 0:
                    break
            without = parse_expression(canonical[:start] + canonical[start + 1 : end] + canonical[end + 1 :])
            assert without.text != canonical


@given(st.text(alphabet="0123456789+-*() \n/^.", max_size=20))
@settings(max_examples=500, deadline=None)
def test_what_parses_is_arithmetic_to_python_too(text):
    expression = parse_expression(text)
    if expression is not None:
        assert eval(expression.text) == expression.value
        assert "**" not in text and "/" not in text and "^" not in text and "." not in text


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("3*5+7", "3*5+7"),
        (" ( 3 * 5 ) + 7\n", "3*5+7"),
        ("3+(5+7)", "3+5+7"),
        ("3-(5+7)", "3-(5+7)"),
        ("3-(5*7)", "3-5*7"),
        ("(3-5)-7", "3-5-7"),
        ("3*(5*7)", "3*5*7"),
        ("(3+5)*7", "(3+5)*7"),
        ("7*(3+5)", "7*(3+5)"),
        ("((22))", "22"),
        ("03+5", "3+5"),
        ("", None),
        ("3 5", None),
        ("3+", None),
        ("-3+5", None),
        ("3**5", None),
        ("9**9**9**9", None),
        ("3/5", None),
        ("(3+5", None),
        ("3+5)", None),
        ("()", None),
        ("3+5=8", None),
        ("3\u00d75", None),
        ("3+\x005", None),
        ("12345+1", None),
        ("3(5)", None),
        ("\u0663+5", None),
        ("__import__('os')", None),
    ],
)
def test_canonical_text(text, canonical):
    expression = parse_expression(text)
    assert (expression and expression.text) == canonical
    assert TASK.extract(text) == canonical


def reachable(numbers):
    """Every value of every expression, by splitting the numbers in two in all ways."""
    if len(numbers) == 1:
        return {numbers[0]}
    values = set()
    for mask in range(1, 2 ** len(numbers) - 1):
        left = tuple(number for place, number in enumerate(numbers) if mask >> place & 1)
        right = tuple(number for place, number in enumerate(numbers) if not mask >> place & 1)
        values |= {
            value for x in reachable(left) for y in reachable(right) for value in (x + y, x - y, x * y)
        }
    return values


def test_the_problems_are_exactly_the_reachable_targets():
    expected = {
        (numbers, target)
        for numbers in combinations_with_replacement(range(1, 15), 3)
        for target in reachable(numbers)
        if 1 <= target <= 99
    }
    assert {(problem.data["numbers"], problem.data["target"]) for problem in TASK.problems} == expected
    assert all(
        problem.prompt == "{},{},{}>{}:".format(*problem.data["numbers"], problem.data["target"])
        for problem in TASK.problems
    )


def problem_of(prompt):
    return next(problem for problem in TASK.problems if problem.prompt == prompt)


@pytest.mark.parametrize(
    ("completion", "correct"),
    [
        ("3*5+7", True),
        ("7+5*3", True),
        ("7+(3*5)", True),
        (" 7 + 3*5", True),
        ("22", False),
        ("3*5+7+0", False),
        ("3*7+1", False),
        ("3+5+7", False),
        ("3*5", False),
        ("15+7", False),
        ("3*5+7+3-3", False),
    ],
)
def test_each_number_is_used_exactly_once(completion, correct):
    label = TASK.extract(completion)
    assert label is not None
    assert TASK.is_correct(problem_of("3,5,7>22:"), label) is correct


def test_a_number_given_twice_is_used_twice():
    problem = problem_of("2,2,3>7:")
    assert TASK.is_correct(problem, "2*2+3")
    assert not TASK.is_correct(problem, "2*3+1")
    assert not TASK.is_correct(problem, "3+2+2+2-2")


def test_the_correct_set_is_complete():
    for problem in TASK.problems[::97]:
        solutions = TASK.solutions(problem)
        assert TASK.solution(problem) in solutions
        assert all(TASK.is_correct(problem, text) and TASK.extract(text) == text for text in solutions)
    assert TASK.solutions(problem_of("3,5,7>22:")) == ("3*5+7", "5*3+7", "7+3*5", "7+5*3")
