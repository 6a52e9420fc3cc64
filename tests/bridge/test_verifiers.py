"""Verifiers: the registry, the constraint language against Python, and what the symbolic verifier accepts."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge import Problem, Verifier, get_task, get_verifier, register_verifier
from llm_bridge.verifiers import VERIFIERS
from llm_bridge.verifiers.constraints import UndefinedError, evaluate, parse_constraint
from sharpening import InputError

SYMBOLIC = get_verifier("symbolic")


def asked(constraint=None, prompt="q", **data):
    return Problem(prompt, None, data | ({"constraint": constraint} if constraint else {}))


class TestRegistry:
    def test_names(self):
        assert {"symbolic", "teacher", "antiderivative"} <= set(VERIFIERS)
        assert all(
            kind.name == name and kind.description and kind.__doc__ for name, kind in VERIFIERS.items()
        )
        with pytest.raises(InputError, match="antiderivative, judge"):
            get_verifier("oracle")

    def test_a_verifier_needs_a_name_of_its_own_and_a_description(self):
        for fields in ({"name": "", "description": "d"}, {"name": "n", "description": " "}, {"name": "teacher", "description": "d"},
                       {"name": "n", "description": "d", "reads": "minds"}):  # fmt: skip
            with pytest.raises(InputError):
                register_verifier(type("Mine", (Verifier,), fields))
        assert "n" not in VERIFIERS

    def test_judge_asks_once_for_each_answer_of_a_prompt_and_gives_no_answer_nothing(self):
        calls = []

        class Counting(Verifier):
            def verdict(self, problem, answer):
                calls.append((problem.prompt, answer))
                return len(answer) / 10

        found = Counting().judge(
            [asked(prompt="p"), asked(prompt="q")], [["a", "bb", "a", None], [None, None, "", "a"]]
        )
        assert found.tolist() == [[0.1, 0.2, 0.1, 0.0], [0.0, 0.0, 0.0, 0.1]] and found.dtype == np.float64
        assert sorted(calls) == [("p", "a"), ("p", "bb"), ("q", ""), ("q", "a")]
        assert Counting().judge([], []).shape == (0, 0)
        for answers in ([["a"]], [["a"], ["a", "b"]]):
            with pytest.raises(InputError, match="as many groups"):
                Counting().judge([asked(), asked()], answers)


LEAVES = st.integers(0, 12).map(str) | st.sampled_from(["2.5", "0.125"])
SUMS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(inner, st.sampled_from([" + ", "-", "*", " / ", " % "]), inner).map("".join)
    | inner.map(lambda text: f"({text})")
    | inner.map(lambda text: f"-({text})")
    | st.tuples(inner, st.integers(0, 3)).map(lambda pair: f"({pair[0]})^{pair[1]}"),
    max_leaves=8,
)  # fmt: skip
RELATIONS = st.tuples(SUMS, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), SUMS).map("".join)
LOGIC = st.recursive(
    RELATIONS | st.sampled_from(["true", "false"]),
    lambda inner: st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join)
    | inner.map(lambda text: f"({text})")
    | inner.map(lambda text: f"not {text}"),
    max_leaves=5,
)  # fmt: skip


def by_python(text):
    """Python's own value of a generated text, its numbers Fractions; None where it divides by zero."""
    text = re.sub(r"[0-9]+(?:\.[0-9]+)?", lambda number: f"Fraction('{number.group()}')", text)
    text = re.sub(r"(?<![<>!=])=(?!=)", "==", text.replace("^", "**"))
    try:
        return eval(text.replace("true", "True").replace("false", "False"), {"Fraction": Fraction})
    except ZeroDivisionError:
        return None


class TestConstraints:
    @given(SUMS | LOGIC)
    @settings(max_examples=400)
    def test_values_are_those_of_python(self, text):
        tree = parse_constraint(text)
        expected = by_python(text)
        try:
            found = evaluate(tree, {})
        except UndefinedError:
            found = None
        assert (
            found == expected or found is None and max(abs(expected.numerator), expected.denominator) > 2**64
        )
        assert isinstance(found, bool) == isinstance(expected, bool)

    @pytest.mark.parametrize("a", [True, False])
    @pytest.mark.parametrize("b", [True, False])
    @pytest.mark.parametrize("c", [True, False])
    def test_implies_and_iff_by_their_tables(self, a, b, c):
        values = {"a": a, "b": b, "c": c}
        for text, expected in {
            "a implies b": not a or b, "a -> b -> c": not a or not b or c, "(a -> b) -> c": not (not a or b) or c, "a iff b": a == b,
            "a <-> not b": a != b, "a and b or c": a and b or c, "a or b and c": a or b and c, "not a or b": not a or b,
            "not (a or b) iff not a and not b": True, "a iff b iff c": a == b == c,
        }.items():  # fmt: skip
            assert evaluate(parse_constraint(text), values) is expected, text

    @given(st.lists(st.integers(-30, 30), min_size=1, max_size=4), st.integers(-50, 200))
    def test_functions_against_python_and_sympy(self, numbers, value):
        def call(name, *arguments):
            return evaluate(parse_constraint(f"{name}({', '.join(map(str, arguments))})"), {})

        assert call("gcd", *numbers) == math.gcd(*numbers) and call("lcm", *numbers) == math.lcm(*numbers)
        assert call("min", *numbers) == min(numbers) and call("max", *numbers) == max(numbers)
        assert call("distinct", *numbers) is (len(set(numbers)) == len(numbers))
        assert call("prime", value) is bool(sympy.isprime(value))
        assert call("floor", f"{value}/7") == value // 7 and call("ceil", f"{value}/7") == -(-value // 7)
        assert call("divides", numbers[0], value) is (value % numbers[0] == 0 if numbers[0] else value == 0)
        assert call("whole", f"{value}/3") is (value % 3 == 0) and call("abs", value) == abs(value)

    @pytest.mark.parametrize("text", [
        "", " ", "(", "1 +", "x y", "not", "and x", "x in", "x in {}", "f(x)", "abs()", "x = = y", "1 < 2 <", "x.y", "x[0]", "'x'", "x; y", "1e5",
        "__import__('os')", "lambda: 1", "x if y else z", "(" * 40 + "x" + ")" * 40, "-" * 40 + "1", "9" * 31, "x " * 501, "1 in 1", "x := 1", "\0",
    ])  # fmt: skip
    def test_what_is_no_constraint_is_refused(self, text):
        assert parse_constraint(text) is None
        with pytest.raises(InputError, match="constraint"):
            get_verifier("symbolic", constraint=text)

    @pytest.mark.parametrize("text", [
        "x", "1/0", "1 % 0", "0^-1", "2^65", "2^0.5", "(10^60)^3", "(2^64)^8*(2^64)^8", "1 and true", "true + 1", "true < false", "true = 1", "not 1",
        "abs(1, 2)", "gcd(1/2, 2)", "prime(10^13)", "prime(1/2)", "abs(true)", "uses(1)", "(1/0 = 1) or true",
    ])  # fmt: skip
    def test_what_has_no_value_is_undefined(self, text):
        with pytest.raises(UndefinedError):
            evaluate(parse_constraint(text), {})

    def test_the_first_part_that_decides_ends_the_question(self):
        assert evaluate(parse_constraint("true or 1/0 = 1"), {}) is True
        assert evaluate(parse_constraint("false and 1/0 = 1"), {}) is False
        assert evaluate(parse_constraint("false -> 1/0 = 1"), {}) is True


class TestSymbolic:
    @given(st.integers(-5, 205), st.sampled_from(["addition", "modmul"]), st.integers(0, 9_000))
    def test_prompts_that_are_equations_are_checked_like_the_truth(self, answer, name, row):
        problem = ARITHMETIC[name].problems[row]
        assert SYMBOLIC.verdict(problem, str(answer)) == float(str(answer) == problem.answer)
        assert SYMBOLIC.verdict(problem, problem.answer) == 1.0

    @pytest.mark.parametrize(("constraint", "answer", "verdict"), [
        ("x + y = 10 and x*y = 21", "x = 3, y = 7", 1),
        ("x + y = 10 and x*y = 21", "y: 7; x: 3", 1),
        ("x + y = 10 and x*y = 21", "x is 7 and y is 3", 1),
        ("x + y = 10 and x*y = 21", "x=3, y=8", 0),
        ("x + y = 10 and x*y = 21", "x=3", 0),
        ("x + y = 10 and x*y = 21", "x=3, y=7, x=3", 0),
        ("x + y = 10 and x*y = 21", "x=3, y=7, z=1", 0),
        ("A iff not B", "A is true; B is false", 1),
        ("A iff not B", "A = yes, B = yes", 0),
        ("A iff not B", "A = 1, B = 0", 0),
        ("answer in {1/2, 1/3}", "0.5", 1),
        ("answer in {1/2, 1/3}", r"\frac{1}{3}", 1),
        ("answer in {1/2, 1/3}", "0.333333", 0),
        ("0 < answer < 1", "1/2", 1),
        ("1/answer > 0", "0", 0),
        ("not 1/answer > 0", "0", 0),
        ("answer = answer", "1/0", 0),
    ])  # fmt: skip
    def test_answers(self, constraint, answer, verdict):
        assert SYMBOLIC.verdict(asked(constraint), answer) == verdict

    def test_a_question_is_no_answer_to_itself(self):
        for text in ("37+48", "answer = 37+48", "(85)", "85.0 or 86", "37+48=85"):
            assert SYMBOLIC.verdict(asked(prompt="37+48="), text) == 0
        assert SYMBOLIC.verdict(asked(prompt="37+48="), "85") == 1

    def test_what_is_given_cannot_be_changed_by_the_answer(self):
        problem = asked("answer = a + b", a=1, b=2)
        assert SYMBOLIC.verdict(problem, "3") == 1
        assert SYMBOLIC.verdict(problem, "a=5, b=5, answer=10") == 0

    def test_the_truth_in_the_data_is_not_read(self):
        assert SYMBOLIC.verdict(asked("answer > 0", answer=-1), "5") == 1

    def test_questions_without_a_constraint_are_refused(self):
        with pytest.raises(InputError, match="states no constraint"):
            SYMBOLIC.verdict(asked(prompt="What is 2+2?"), "4")
        with pytest.raises(InputError, match="uses"):
            SYMBOLIC.verdict(asked("uses(1) and x = 1"), "1")

    def test_a_constraint_given_to_the_verifier_holds_for_every_question(self):
        found = get_verifier("symbolic", constraint="prime(answer)").judge(
            [asked(), asked()], [["7", "8", None], ["9", "2", "x"]]
        )
        assert found.tolist() == [[1, 0, 0], [0, 1, 0]]


ARITHMETIC = {name: get_task(name) for name in ("addition", "modmul")}
