"""The teacher against a search that shares no code, derivatives against SymPy."""

import math
import re
from fractions import Fraction
from itertools import permutations

import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llm_bridge import Problem, get_task, get_verifier
from llm_bridge.answers.primitives import is_antiderivative, same_derivative
from llm_bridge.verifiers.search import solve
from sharpening import InputError

SYMBOLIC, TEACHER, INTEGRALS = (get_verifier(name) for name in ("symbolic", "teacher", "antiderivative"))
COUNTDOWN = get_task("countdown")


def asked(prompt="q", **data):
    return Problem(prompt, None, data)


def reachable(numbers, operators):
    """Every value, by combining any two of what is left until one is left."""
    if len(numbers) == 1:
        return set(numbers)
    values = set()
    for first, second, *rest in set(permutations(numbers)):
        for operator in operators:
            if operator == "/" and second == 0:
                continue
            step = {
                "+": first + second,
                "-": first - second,
                "*": first * second,
                "/": second and first / second,
            }[operator]
            values |= reachable((*rest, step), operators)
    return values


def exact(text):
    """Python's own value of an expression of whole numbers, in Fractions."""
    return eval(re.sub(r"[0-9]+", lambda number: f"Fraction({number.group()})", text), {"Fraction": Fraction})


class TestTeacher:
    @given(
        st.lists(st.integers(0, 12), min_size=1, max_size=4),
        st.integers(-20, 60),
        st.sampled_from(["+-*", "+-*/", "+", "*-", "/", "-/"]),
    )
    @settings(max_examples=60)
    def test_the_search_is_complete_and_its_solutions_right(self, numbers, target, operators):
        found = solve(tuple(numbers), target, operators)
        assert (found is not None) == (target in reachable(tuple(map(Fraction, numbers)), operators))
        if found is not None:
            assert exact(found) == target and set(found) - set("0123456789()") <= set(operators)
            assert (
                get_verifier("teacher", operators=operators).verdict(
                    asked(numbers=numbers, target=target), found
                )
                == 1.0
            )

    @given(st.integers(0, len(COUNTDOWN.problems) - 1), st.data())
    @settings(max_examples=150)
    def test_teacher_symbolic_and_task_agree(self, row, data):
        problem = COUNTDOWN.problems[row]
        order = data.draw(st.permutations([*problem.data["numbers"], 3]))[: data.draw(st.integers(2, 4))]
        text = str(order[0])
        for number in order[1:]:
            text = f"({text})" if data.draw(st.booleans()) else text
            text += data.draw(st.sampled_from("+-*")) + str(number)
        label = COUNTDOWN.extract(text)
        truth = float(COUNTDOWN.is_correct(problem, label))
        assert (
            TEACHER.verdict(problem, label) == SYMBOLIC.verdict(asked(prompt=problem.prompt), label) == truth
        )
        assert TEACHER.verdict(problem, TEACHER.solution(problem)) == 1.0
        assert COUNTDOWN.is_correct(problem, TEACHER.solution(problem))

    def test_unsolvable(self):
        question = asked(prompt="1,1,1>99:")
        assert TEACHER.solution(question) is None
        assert [
            TEACHER.verdict(question, text)
            for text in ("Unsolvable.", "no  solution", "impossible", "1+1+1", "99", "")
        ] == [1, 1, 1, 0, 0, 0]
        assert TEACHER.verdict(asked(prompt="3,5,7>22:"), "unsolvable") == 0

    def test_division_is_exact(self):
        teacher = get_verifier("teacher", operators="+-*/")
        assert (
            teacher.solution(asked(prompt="3,3,8,8>24:")) == "8/(3-(8/3))" and solve((3, 3, 8, 8), 24) is None
        )
        assert teacher.verdict(asked(prompt="3,3,8,8>24:"), "8/(3-8/3)") == 1
        assert (
            TEACHER.verdict(asked(prompt="2,4>8:"), "2*4") == 1
            and TEACHER.verdict(asked(prompt="2,4,8>4:"), "8/4*2") == 0
        )

    @pytest.mark.parametrize(("numbers", "operators"), [
        ((), "+-*"), ((1,) * 8, "+-*"), ((1,) * 7, "+-*/"), ((1_001,), "+"), ((-1,), "+"), ((1, 2), "^"), ((1, 2), ""),
    ])  # fmt: skip
    def test_what_is_not_searched_is_refused(self, numbers, operators):
        with pytest.raises(InputError):
            solve(numbers, 1, operators)

    def test_other_questions_are_refused(self):
        with pytest.raises(InputError, match="no Countdown question"):
            TEACHER.verdict(asked(prompt="37+48="), "85")


X = sympy.Symbol("x")
CONSTANTS = st.sampled_from(
    [sympy.Integer(1), sympy.Integer(2), sympy.Rational(1, 3), sympy.Integer(-3), sympy.Rational(5, 2)]
)
FUNCTIONS = [
    sympy.sin,
    sympy.cos,
    sympy.exp,
    sympy.atan,
    sympy.tanh,
    lambda u: sympy.log(u**2 + 1),
    lambda u: sympy.sqrt(u**2 + 1),
]
FORMULAS = st.recursive(
    st.just(X) | st.tuples(CONSTANTS, st.integers(1, 4)).map(lambda pair: pair[0] * X ** pair[1]),
    lambda inner: st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1])
    | st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1])
    | st.tuples(st.sampled_from(FUNCTIONS), CONSTANTS).map(lambda pair: pair[0](pair[1] * X)),
    max_leaves=3,
)  # fmt: skip


class TestAntiderivative:
    @given(FORMULAS, CONSTANTS)
    @settings(max_examples=60)
    def test_what_sympy_differentiates_is_recognised(self, formula, constant):
        slope = sympy.diff(formula, X)
        assume(not slope.has(sympy.zoo, sympy.nan))
        answer, integrand = str(formula + constant), str(slope)
        assume(max(len(answer), len(integrand)) <= 400)
        assert is_antiderivative(answer, integrand), (answer, integrand)
        assert is_antiderivative(f"{answer} + C", integrand)
        assert same_derivative(answer, f"{formula} - 7") and same_derivative(f"{formula} - 7", answer)

    @given(FORMULAS, FORMULAS)
    @settings(max_examples=40)
    def test_the_verdict_is_that_of_sympy(self, first, second):
        slope = sympy.diff(first, X)
        gap = sympy.lambdify(X, sympy.diff(second, X) - slope, "math")
        size = sympy.lambdify(X, slope, "math")
        apart = max(abs(gap(x)) / (abs(size(x)) + 1e-3) for x in (-2.7, -1.3, -0.4, 0.6, 1.1, 2.3))
        assume(apart < 1e-12 or apart > 1e-3)
        assume(max(len(str(second)), len(str(slope))) <= 400)
        assert is_antiderivative(str(second), str(slope)) is (apart < 1e-12)

    @pytest.mark.parametrize(("answer", "integrand"), [
        ("x^3", "3*x^2"), ("x^3 + C", "3x^2"), ("ln|x|", "1/x"), ("ln(x)", "1/x"), (r"\frac{x^3}{3}", "x^2"), ("x ln x - x", "ln x"),
        ("-ln|cos x|", "tan x"),         ("arctan x", "1/(1+x^2)"), ("arcsin(x)", "1/sqrt(1-x^2)"), ("ln|x+sqrt(x^2-1)|", "1/sqrt(x^2-1)"),
        ("e^{2x}/2", "e^(2x)"),
        ("2^x/ln 2", "2^x"),         ("2/3 x^(3/2)", "sqrt(x)"), (r"\frac{1}{2}\sin^2 x", "sin x cos x"),
        ("-cos(2x)/4", "sin x cos x"), ("x|x|/2", "|x|"), ("tan x", "sec^2 x"),
        ("x^101/101", "x^100"), ("0", "0"), ("pi", "0*x"), ("sin^{-1}(x)", "(1-x^2)^(-1/2)"), ("x^x", "x^x (ln x + 1)"),
    ])  # fmt: skip
    def test_right(self, answer, integrand):
        assert is_antiderivative(answer, integrand)

    @pytest.mark.parametrize(("answer", "integrand"), [
        ("x^3", "x^2"), ("3x^2", "3x^2"), ("x^3 + C x", "3x^2"), ("x^3 + y", "3x^2"), ("x^3 + arctan(tan x) - x", "3x^2"), ("x^3 + |x|/x", "3x^2"),
        ("x^3 + 1e9", "3x^2"), ("0.3333 x^3", "x^2"), ("x^3 + floor(x)", "3x^2"), ("", "3x^2"), ("x^3, 3x^2", "3x^2"), ("x^3 = x^3", "3x^2"),
        ("e^(e^(e^(e^x)))", "3x^2"), ("sqrt(-1)", "3x^2"), ("x^3 + 1/0", "3x^2"), ("-1/x", "1/x"), ("i", "0*x"), ("x^3 + 0.001 sin(1000x)", "3x^2"),
        ("x^3 + 10^-3 sin(10^4 x)", "3x^2"), ("x^3", "y^2"), ("x^3", ""), ("x^3", "1/0"),
    ])  # fmt: skip
    def test_wrong(self, answer, integrand):
        assert not is_antiderivative(answer, integrand)

    def test_a_domain(self):
        problem = asked(prompt="an antiderivative of ln(x) is")
        assert get_verifier("antiderivative", domain=(1.0, 5.0)).verdict(problem, "x*ln(x) - x") == 1.0
        with pytest.raises(InputError, match="integrand"):
            get_verifier("antiderivative", domain=(-5.0, -1.0)).verdict(problem, "x")
        for domain in ((1, 1), (2, 1), (math.nan, 1), (0, math.inf)):
            with pytest.raises(InputError, match="domain"):
                get_verifier("antiderivative", domain=domain)

    def test_the_task(self):
        task = get_task("antiderivatives")
        problem = next(problem for problem in task.problems if problem.data["integrand"] == "3*x^2")
        assert INTEGRALS.judge([problem], [["x^3", "x^3 + C", "x^2", "open('x','w')", None]]).tolist() == [
            [1, 1, 0, 0, 0]
        ]
        read = {
            " x^3": "x^3",
            " F(x) = x^3 + C. Since": "x^3 + C",
            "$x^3$\nmore": "x^3",
            "the answer": None,
            "": None,
            "x^3 y": None,
        }
        assert {text: task.extract(text) for text in read} == read
        assert task.equivalent("x^3", "x*x^2 - 7") and not task.equivalent("x^3", "x^2")
        assert task.is_correct(problem, "x^3-8") and not task.is_correct(problem, "x^3/3")

    def test_other_questions_are_refused(self):
        for prompt in (
            "37+48=",
            "an antiderivative of y^2 is",
            "an antiderivative of is",
            "an antiderivative of sqrt(-1-x^2) is",
        ):
            with pytest.raises(InputError, match="integrand"):
                INTEGRALS.verdict(asked(prompt=prompt), "x")
