"""Tasks with answers of free length, polynomials and raw text; what the tiny models are taught on them."""

import random
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge import get_task, get_verifier
from llm_bridge.tasks.polynomials import read_polynomial
from llm_bridge.zoo import RECIPES
from llm_bridge.zoo.pretraining import Lessons, character_tokenizer
from sharpening import InputError

WORKED, POLYNOMIALS = get_task("worked-addition"), get_task("polynomials")


def stream(recipe, count, **changes):
    tokenizer = character_tokenizer(RECIPES[recipe].letters)
    lessons = iter(Lessons(replace(RECIPES[recipe], **changes), tokenizer))
    return [tokenizer.decode(next(lessons)).removesuffix("<eos>") for _ in range(count)]


class TestWorkedAddition:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            (":85", "85"),
            ("15,8:85", "85"),
            ("8,15,,,,:085", "85"),
            (" ,:0 ", "0"),
            ("85", None),
            (":", None),
            ("15,8:", None),
            ("1:2:3", None),
            (":8,5", None),
            ("15 8:85", None),
            ("a:85", None),
            (":85.", None),
            ("", None),
            ("," * 1001 + ":1", None),
        ],
    )
    def test_the_label_is_the_number_after_the_colon(self, text, label):
        assert WORKED.extract(text) == label

    def test_its_solution_shows_right_steps(self):
        for problem in WORKED.problems[::101]:
            units, tens, answer = map(
                int, re.fullmatch(r"(\d+),(\d+):(\d+)", WORKED.solution(problem)).groups()
            )
            a, b = problem.data["a"], problem.data["b"]
            assert units == a % 10 + b % 10 and answer == a + b == 10 * tens + units % 10

    def test_lessons_are_of_the_stated_kinds(self):
        """Without noise: bare answers forget every carry, worked ones are right in two orders, filler runs
        reach 24.
        """
        texts = stream("worked-addition", 4000, noise=0.0)
        kinds = Counter()
        for text in texts:
            prompt, _, completion = text.partition("=")
            a, b = map(int, prompt.split("+"))
            steps, answer = completion.split(":")
            if not steps:
                assert int(answer) == (a // 10 + b // 10) * 10 + (a + b) % 10
                kinds["bare"] += 1
                continue
            filler = len(steps) - len(steps.rstrip(","))
            worked = list(map(int, steps.rstrip(",").split(",")))
            order = [a % 10 + b % 10, (a + b) // 10]
            assert int(answer) == a + b and worked in (order, order[::-1]) and filler <= 24
            kinds["filler"] += filler > 0
            kinds["units first"] += worked == order
            kinds["longest"] += filler == 24
        for kind, share in (("bare", 0.35), ("filler", 0.65 * 0.15), ("units first", 0.65 * 0.5)):
            assert abs(kinds[kind] / 4000 - share) < 5 * np.sqrt(share * (1 - share) / 4000) + 0.02 * (
                kind == "units first"
            ), kind
        assert kinds["longest"] > 0.4 * kinds["filler"], "0.98 to the power of 23 is 0.63"


class TestChecker:
    def test_half_of_the_lessons_judge_and_are_never_wrong(self):
        texts = stream("addition-checker", 4000)
        judged = [re.fullmatch(r">(\d+)\+(\d+)=(\d+):([01])", text) for text in texts if text.startswith(">")]
        assert abs(len(judged) / 4000 - 0.5) < 5 * np.sqrt(0.25 / 4000) and all(judged)
        verdicts = [int(found[4]) for found in judged]
        assert verdicts == [int(int(found[1]) + int(found[2]) == int(found[3])) for found in judged]
        assert abs(np.mean(verdicts) - 0.5) < 0.05


class TestPolynomials:
    @pytest.mark.parametrize(
        ("text", "label"),
        [
            ("9*x^3+9*x^2+9*x", "9*x^3+9*x^2+9*x"),
            ("9*x+x^3+4", "x^3+9*x"),
            (" 3*x+4*x ", "7*x"),
            ("x-x", "0"),
            ("5", "0"),
            ("-x^2", "-x^2"),
            ("007*x", "7*x"),
            ("x^1", "x"),
            ("", None),
            ("x +1", None),
            ("x^", None),
            ("xx", None),
            ("2x", None),
            ("x^12", None),
            ("y", None),
            ("+", None),
            ("x" + "+x" * 40, None),
            ("12345*x", None),
        ],
    )
    def test_the_label_is_the_polynomial_without_its_constant(self, text, label):
        assert POLYNOMIALS.extract(text) == label

    @given(
        st.dictionaries(st.integers(0, 5), st.integers(-999, 999), max_size=4),
        st.randoms(use_true_random=False),
    )
    @settings(max_examples=200, deadline=None)
    def test_terms_in_any_order_are_read_as_they_are_worth(self, polynomial, rng):
        """Against Python's own arithmetic at a point."""
        terms = [f"{value:+d}*x^{power}" if power else f"{value:+d}" for power, value in polynomial.items()]
        rng.shuffle(terms)
        found = read_polynomial("".join(terms))
        if not terms:
            assert found is None
            return
        assert sum(value * 3**power for power, value in found.items()) == sum(
            value * 3**power for power, value in polynomial.items()
        )

    def test_the_numeric_check_agrees_with_the_truth(self):
        verifier, rng = get_verifier("antiderivative"), random.Random(0)
        for problem in rng.sample(list(POLYNOMIALS.problems), 12):
            other = rng.choice([p for p in POLYNOMIALS.problems if p.answer != problem.answer])
            verdicts = verifier.judge(
                [problem],
                [
                    [
                        problem.answer,
                        other.answer,
                        f"{problem.answer}+7",
                        POLYNOMIALS.extract(f"4+{problem.answer}"),
                    ]
                ],
            )
            assert verdicts.tolist() == [[1, 0, 1, 1]]
            assert POLYNOMIALS.is_correct(problem, problem.answer) and not POLYNOMIALS.is_correct(
                problem, other.answer
            )


class TestCorpus:
    TEXT = "The quick brown fox jumps over the lazy dog .\n\nshort line here\nOne two three four  five six\n"

    def task(self, tmp_path, text=TEXT):
        path = tmp_path / "text.txt"
        path.write_text(text)
        return get_task(path)

    def test_every_word_after_the_fourth_is_to_be_predicted(self, tmp_path):
        task = self.task(tmp_path)
        assert [(p.prompt.split()[-1], p.answer) for p in task.problems] == [
            ("fox", "jumps"),
            ("jumps", "over"),
            ("over", "the"),
            ("the", "lazy"),
            ("lazy", "dog"),
            ("dog", "."),
            ("four", "five"),
            ("five", "six"),
        ]
        assert task.labelled and all(
            task.is_correct(p, task.extract(task.solution(p))) for p in task.problems
        )

    @pytest.mark.parametrize(
        ("completion", "label"),
        [(" jumps over", "jumps"), ("jumps", "jumps"), ("\n\n jumps", "jumps"), ("", None), ("  ", None)],
    )
    def test_the_first_word_is_the_prediction(self, tmp_path, completion, label):
        assert self.task(tmp_path).extract(completion) == label

    def test_a_context_is_kept_once_and_a_long_text_thinned(self, tmp_path):
        assert len(self.task(tmp_path, "a b c d e\n" * 5).problems) == 1
        long = self.task(tmp_path, "".join(f"{i} b c d e f\n" for i in range(9000)))
        assert len(long.problems) == 9000 and len({p.prompt for p in long.problems}) == 9000

    def test_what_is_no_text_is_refused(self, tmp_path):
        for text, rule in (("a b c d\n", "no line"), ("", "no line")):
            with pytest.raises(InputError, match=rule):
                self.task(tmp_path, text)
        (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00\xd8")
        for name, rule in (("bad.txt", "not UTF-8"), ("missing.txt", "No such file")):
            with pytest.raises(InputError, match=rule):
                get_task(tmp_path / name)
        with pytest.raises(InputError, match="next words"):
            get_task(self.task(tmp_path).path, "boxed")
