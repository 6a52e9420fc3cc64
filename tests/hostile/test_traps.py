"""The ten traps found in published code: each behaviour is written down here as published, fails, and is not
ours.
"""

import contextlib
import json
import math
import random
from collections import Counter

import numpy as np
import pytest

from llm_bridge import Problem, get_task, read_log
from llm_bridge.answers.extraction import extractor
from llm_bridge.logs.completions import read_verl
from llm_bridge.logs.groups import groups_log
from llm_bridge.tasks import equivalent, read_answers
from sharpening import NO_ANSWER, InputError, TokenStatistics, get_reward, group_metrics


def written(folder, *answers, pattern="boxed"):
    path = folder / "task.jsonl"
    path.write_text(
        "".join(
            json.dumps({"prompt": f"p{place}", "answer": answer}) + "\n"
            for place, answer in enumerate(answers)
        )
    )
    return get_task(path, answer_pattern=pattern)


def boxed(*answers):
    return [f"so \\boxed{{{answer}}}" if answer is not None else "I cannot say" for answer in answers]


def majority(answers):
    return get_reward("majority").group(answers.ids)[0]


class TestA:
    """The majority label is extracted a second time before it is graded."""

    @staticmethod
    def published(texts, truth):
        """TTRL's label accuracy: the vote's label, a bare \\frac{1}{2}, goes through the extractor of
        completions once more.
        """
        extract = extractor("boxed")
        label = Counter(extract(text) for text in texts).most_common(1)[0][0]
        return float(extract(label) == truth)

    @pytest.mark.parametrize("answer", [r"\frac{1}{2}", "(1,3)", r"\frac{\pi}{2}", "7"])
    def test_a_unanimous_correct_answer_is_a_correct_label(self, tmp_path, answer):
        task = written(tmp_path, answer)
        texts = boxed(*[answer] * 4)
        assert self.published(texts, task.problems[0].answer) == 0.0
        answers = read_answers(task.problems, [texts], task)
        assert group_metrics(answers.ids, answers.correct)["label_accuracy"] == [1.0]


class TestB:
    """No answer counts as an answer."""

    @staticmethod
    def published(labels):
        winner = Counter(labels).most_common(1)[0][0]
        return [float(label == winner) for label in labels]

    def test_refusals_never_win_and_earn_nothing(self, tmp_path):
        task = written(tmp_path, "7")
        texts = boxed(None, None, None, "7", "7", "8")
        assert self.published([task.extract(text) for text in texts]) == [1, 1, 1, 0, 0, 0]
        answers = read_answers(task.problems, [texts], task)
        assert majority(answers).tolist() == [0, 0, 0, 1, 1, 0]
        assert (answers.ids[0, :3] == NO_ANSWER).all() and group_metrics(answers.ids, answers.correct)[
            "label_accuracy"
        ] == [1.0]


class TestC:
    """Votes by string, rewards by equivalence."""

    @staticmethod
    def published(labels):
        """(elected string, rewards): the count is of strings, the comparison afterwards by value."""
        winner = Counter(labels).most_common(1)[0][0]
        return winner, [float(equivalent(label, winner)) for label in labels]

    def test_spellings_of_one_answer_vote_together(self, tmp_path):
        task = written(tmp_path, "0.25")
        labels = ["1/4", "0.250", r"\frac14", "7", "7"]
        assert self.published(labels) == ("7", [0, 0, 0, 1, 1])
        answers = read_answers(task.problems, [boxed(*labels)], task)
        assert majority(answers).tolist() == [1, 1, 1, 0, 0]
        assert answers.correct[0].tolist() == [True, True, True, False, False]


class TestD:
    """Ties by the order of rollouts."""

    @staticmethod
    def published(labels):
        winner = Counter(labels).most_common(1)[0][0]
        return [float(label == winner) for label in labels]

    def test_order_decides_nothing(self, tmp_path):
        task = written(tmp_path, "1")
        one, two = ["1", "2", "1", "2"], ["2", "1", "2", "1"]
        rewards = {}
        for labels in (one, two):
            answers = read_answers(task.problems, [boxed(*labels)], task)
            rewards[tuple(labels)] = dict(zip(labels, majority(answers), strict=True))
            assert group_metrics(answers.ids, answers.correct)["label_accuracy"] == [0.5]
        assert rewards[tuple(one)] == rewards[tuple(two)] == {"1": 0.5, "2": 0.5}
        assert dict(zip(one, self.published(one), strict=True)) != dict(
            zip(two, self.published(two), strict=True)
        )

    def test_ties_are_common_at_eight_rollouts(self):
        """Two answers of equal probability: 70/256 of groups tie; at 0.6 to 0.4, 23 %; the published vote is
        then a coin.
        """
        for p, low, high in ((0.5, 0.27, 0.28), (0.6, 0.23, 0.24), (0.7, 0.13, 0.14)):
            assert low < math.comb(8, 4) * (p * (1 - p)) ** 4 < high


class TestE:
    """An evaluator that parses model text with SymPy's parse_expr."""

    @staticmethod
    def published(text):
        parser = pytest.importorskip("sympy.parsing.sympy_parser")
        every = parser.standard_transformations + (parser.implicit_multiplication_application,)
        return str(parser.parse_expr(text, transformations=every))

    def test_text_is_not_executed(self, tmp_path):
        pytest.importorskip("math_verify", reason="math-verify is not installed")
        canary = tmp_path / "canary"
        text = f"__import__('pathlib').Path('{canary}').touch()"
        task = written(tmp_path, r"\frac{\pi}{2}")
        answers = read_answers(task.problems, [boxed(text, "0", text)], task)
        assert not equivalent(text, "0") and not answers.correct.any() and not canary.exists()
        with contextlib.suppress(Exception):
            self.published(text)
        assert canary.exists()

    def test_numbers_are_read_as_people_write_them(self):
        assert self.published("042") == "0" and self.published("1,000") == "(1, 0)"
        assert equivalent("042", "42") and not equivalent("042", "0")
        assert equivalent("1,000", "1000") and not equivalent("1,000", "(1,0)")


class TestF:
    """A metric that defaults to zeros where its tensor is missing."""

    @staticmethod
    def published(batch):
        return float(np.mean(batch.get("entropy", np.zeros(4))))

    def test_what_is_missing_is_said_to_be_missing(self, tmp_path):
        assert self.published({}) == 0.0
        log = tmp_path / "log.jsonl"
        log.write_text("".join(json.dumps({"step": step, "majority_ratio": 0.5}) + "\n" for step in range(5)))
        findings = {finding.name: finding for finding in read_log(log)}
        assert "accuracy" in findings["missing_metrics"].message and "placeholder_zeros" not in findings
        for name in ("self-certainty", "token-entropy", "kl-reference"):
            with pytest.raises(InputError):
                get_reward(name).group(np.zeros((1, 4), dtype=int))
        assert "accuracy" not in group_metrics(np.zeros((1, 4), dtype=int))

    def test_zeros_that_nobody_measured_are_noticed(self, tmp_path):
        log = tmp_path / "log.jsonl"
        rows = [{"step": step, "majority_ratio": 0.0, "reward": 0.4 + step / 50} for step in range(5)]
        log.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert "placeholder_zeros" in {finding.name for finding in read_log(log)}


class TestG:
    """Groups rebuilt by position after rows were shuffled for balance."""

    ANSWERS = [[7, 7, 7, p] for p in range(10, 22)]

    @staticmethod
    def published(rows):
        """The mean majority ratio of consecutive fours."""
        labels = [row["output"] for row in rows]
        groups = [labels[start : start + 4] for start in range(0, len(labels), 4)]
        return float(np.mean([Counter(group).most_common(1)[0][1] / 4 for group in groups]))

    def test_shuffled_rows_give_the_same_metrics(self, tmp_path):
        rows = [
            {"input": f"p{p}", "output": f"it is {answer + 100 * p}", "gts": str(7 + 100 * p), "score": 0.0, "step": 1, "uid": f"u{p}"}
            for p, group in enumerate(self.ANSWERS) for answer in group
        ]  # fmt: skip
        shuffled = random.Random(0).sample(rows, len(rows))
        assert self.published(rows) == 0.75 and self.published(shuffled) < 0.5
        found = []
        for name, some in (("a", rows), ("b", shuffled)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
            log = groups_log(read_verl([tmp_path / name / "1.jsonl"]), "verl", "last-number")
            found.append({metric: series.values for metric, series in log.series.items()})
        assert (
            found[0] == found[1]
            and found[0]["majority_ratio"][1] == 0.75
            and found[0]["label_accuracy"][1] == 1.0
        )


class TestH:
    """Self-certainty from the last logit too many."""

    @staticmethod
    def published(logits, tokens):
        """Intuitor as published: the logits of the last `tokens` positions, the one after the last token
        among them.
        """
        import torch

        log_probs = torch.log_softmax(logits[:, -tokens:], dim=-1)
        return (-log_probs.mean(-1)).mean(-1)

    def test_position_t_is_the_policy_that_token_t_was_drawn_from(self):
        torch = pytest.importorskip("torch")
        from llm_bridge.sampling.token_statistics import token_statistics

        vocabulary, tokens = 11, 3
        logits = torch.zeros(2, tokens + 1, vocabulary)
        logits[:, -1, 0] = 20.0
        ids = torch.zeros(2, tokens, dtype=torch.long)
        ours = get_reward("self-certainty").group(None, tokens=token_statistics(logits, ids, rollouts=2))
        assert float(ours.abs().max()) < 1e-6
        assert float((self.published(logits, tokens) - math.log(vocabulary)).min()) > 5
        logits[:, -1] = torch.nan
        again = get_reward("self-certainty").group(None, tokens=token_statistics(logits, ids, rollouts=2))
        assert float(again.abs().max()) < 1e-6


class TestI:
    """Self-certainty without -log V, with or without the temperature: one name, several quantities."""

    @staticmethod
    def published(logits, temperature):
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return -log_probs.mean(-1).mean(-1)

    def test_it_is_zero_for_uniform_policies_and_has_the_temperature_of_the_sampling(self):
        torch = pytest.importorskip("torch")
        from llm_bridge.sampling.token_statistics import token_statistics

        vocabulary = 150_000
        uniform = torch.zeros(2, 2, vocabulary)
        ids = torch.zeros(2, 1, dtype=torch.long)
        assert self.published(uniform[:, :1].numpy(), 1.0) == pytest.approx(math.log(vocabulary))
        assert (
            float(
                get_reward("self-certainty")
                .group(None, tokens=token_statistics(uniform, ids, rollouts=2))
                .abs()
                .max()
            )
            < 1e-3
        )
        sharp = torch.tensor([[[2.0, 0.0, -1.0]] * 2] * 2)
        ids = torch.zeros(2, 1, dtype=torch.long)
        tables = {
            temperature: token_statistics(sharp, ids, rollouts=2, temperature=temperature)
            for temperature in (1.0, 2.0)
        }
        found = {
            temperature: float(get_reward("self-certainty").group(None, tokens=table)[0, 0])
            for temperature, table in tables.items()
        }
        for temperature, value in found.items():
            scaled = sharp[0, 0].double().numpy() / temperature
            policy = np.exp(scaled) / np.exp(scaled).sum()
            assert value == pytest.approx(float(np.mean(np.log(1 / 3) - np.log(policy))), rel=1e-5)
        assert found[1.0] != pytest.approx(found[2.0], rel=0.1)
        assert self.published(sharp.numpy()[:, :1], 1.0)[0] == self.published(sharp.numpy()[:, :1], 2.0)[0]

    def test_one_token_answers(self):
        policy = np.log([[0.5, 0.25, 0.25]])
        found = get_reward("self-certainty").group(
            None, tokens=TokenStatistics.of_categorical(policy, np.zeros((1, 2), dtype=int))
        )
        assert found[0, 0] == pytest.approx(float(np.mean(np.log(1 / 3) - policy)))


class TestJ:
    """Two answers that cannot be parsed compare equal."""

    GARBAGE = ["@#", r"\frac{}", "&&&"]

    @staticmethod
    def published(first, second):
        """A comparison of parse results; what does not parse is None."""
        parsed = [float(text) if text.replace(".", "", 1).isdigit() else None for text in (first, second)]
        return parsed[0] == parsed[1]

    def test_garbage_is_no_majority_and_not_correct(self, tmp_path):
        pytest.importorskip("math_verify", reason="math-verify is not installed")
        task = written(tmp_path, r"\frac{\pi}{2}")
        assert all(self.published(text, task.problems[0].answer) for text in self.GARBAGE)
        answers = read_answers(task.problems, [boxed(*self.GARBAGE, "8", "8")], task)
        assert len(set(answers.ids[0, :3].tolist())) == 3 and not answers.correct.any()
        assert majority(answers).tolist() == [0, 0, 0, 1, 1]

    @pytest.mark.parametrize(("first", "second"), [
        ("1=2", "3=4"), ("x=x+1", "y=y+2"), ("1<2", "3<4"), (r"\frac{1}{0}", r"\frac{2}{0}"), ("0/0", "1/0"), ("(", ")"), ("1=7", "2=8"),
    ])  # fmt: skip
    def test_nor_do_equations_without_solution_or_value(self, first, second):
        pytest.importorskip("math_verify", reason="math-verify is not installed")
        assert not equivalent(first, second)

    def test_a_problem_without_a_true_answer_is_never_answered(self):
        task = get_task("addition")
        assert not task.is_correct(Problem("p", None), None) and not task.is_correct(Problem("p", None), "5")
