"""What `sharpening monitor` calls a collapse, as a user sees it: logs of runs that die and of runs that thrive,
with accuracy and without labels.
"""

import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import invoke

from llm_bridge import read_log
from llm_bridge.logs import LEVELS
from llm_bridge.logs.read import run_log

REAL = Path(__file__).parents[3] / "shared" / "data" / "real_runs"
PUBLIC = sorted(REAL.glob("*.csv"))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def found(path):
    return {finding.name: finding for finding in read_log(path)}


def alarming(findings):
    return [finding.name for finding in findings.values() if finding.level != "info"]


def sigmoid(low, high, middle, width, steps):
    return low + (high - low) / (1 + np.exp(-(steps - middle) / width))


def training_rows(reward, length, names=("reward", "completions/mean_length"), gap=1, **others):
    generator = np.random.default_rng(0)
    return [
        {
            "step": gap * (i + 1),
            names[0]: float(np.clip(reward[i] + 0.01 * generator.normal(), 0, 1)),
            names[1]: float(length[i] * (1 + 0.02 * generator.normal())),
        }
        | {name: float(values[i]) for name, values in others.items()}
        for i in range(len(reward))
    ]


STEPS = np.arange(120.0)
COLLAPSE = (sigmoid(0.25, 0.999, 60, 6, STEPS), sigmoid(1200, 560, 50, 15, STEPS))
HEALTH = {
    "a vote on its test set: shorter by 70 %, agreement .5 to .95": (
        sigmoid(0.5, 0.95, 40, 15, STEPS),
        sigmoid(2300, 640, 40, 15, STEPS),
    ),
    "an easy set: agreement .9 from the start": (
        sigmoid(0.85, 0.985, 20, 10, STEPS),
        sigmoid(900, 500, 20, 10, STEPS),
    ),
    "a true reward that lengthens": (sigmoid(0.12, 0.5, 30, 15, STEPS), sigmoid(1150, 1900, 40, 10, STEPS)),
    "a true reward on a small set that is mastered": (
        sigmoid(0.2, 0.999, 40, 10, STEPS),
        np.full(120, 300.0),
    ),
    "nothing happens": (np.full(120, 0.4), np.full(120, 800.0)),
}


class TestWithoutLabels:
    def test_a_collapse_is_named_and_the_checkpoint_is_before_the_signs(self, tmp_path):
        findings = found(write(tmp_path / "log.jsonl", training_rows(*COLLAPSE)))
        assert findings["collapse_signs"].level == findings["stop"].level == "critical"
        assert 60 < findings["collapse_signs"].step < 100
        assert findings["keep_checkpoint"].step < findings["stop"].step <= 60

    @pytest.mark.parametrize("name", HEALTH)
    def test_health_raises_nothing(self, tmp_path, name):
        findings = found(write(tmp_path / "log.jsonl", training_rows(*HEALTH[name])))
        assert not alarming(findings), findings

    @pytest.mark.parametrize(
        "sign, values",
        [
            ("entropy", sigmoid(0.3, 2.0, 60, 6, STEPS)),
            ("kl", sigmoid(0.002, 3.0, 60, 4, STEPS)),
            ("distinct_answers", sigmoid(60, 3, 60, 6, STEPS)),
            ("completions/clipped_ratio", sigmoid(0.02, 0.8, 60, 6, STEPS)),
        ],
    )
    def test_any_second_sign_will_do(self, tmp_path, sign, values):
        steady = (COLLAPSE[0], np.full(120, 800.0))
        findings = found(write(tmp_path / "log.jsonl", training_rows(*steady, **{sign: values})))
        assert findings["collapse_signs"].level == "critical"
        assert "collapse_signs" not in found(write(tmp_path / "log.jsonl", training_rows(*steady)))

    @pytest.mark.parametrize(
        "name, values",
        [("accuracy", sigmoid(0.3, 0.6, 40, 10, STEPS)), ("distinct_answers", np.full(120, 60.0))],
    )
    def test_evidence_against_is_heard(self, tmp_path, name, values):
        findings = found(write(tmp_path / "log.jsonl", training_rows(*COLLAPSE, **{name: values})))
        assert "collapse_signs" not in findings and findings["agreement"].level == "info"

    def test_a_dead_reward_with_an_exploded_kl(self, tmp_path):
        reward = np.where(STEPS < 70, 0.6, 0.0)
        kl = np.where(STEPS < 70, 0.01, 2000.0)
        findings = found(write(tmp_path / "log.jsonl", training_rows(reward, np.full(120, 500.0), kl=kl)))
        assert findings["collapse_signs"].level == "critical"

    def test_order_gaps_and_names_do_not_matter(self, tmp_path):
        rows = training_rows(*COLLAPSE)
        first = found(write(tmp_path / "log.jsonl", rows))
        random.Random(0).shuffle(rows)
        shuffled = found(write(tmp_path / "log.jsonl", rows))
        assert shuffled["collapse_signs"] == first["collapse_signs"] and shuffled["stop"] == first["stop"]
        wide = found(write(tmp_path / "log.jsonl", training_rows(*COLLAPSE, gap=10)))
        assert wide["stop"].step == 10 * first["stop"].step
        verl = training_rows(*COLLAPSE, names=("critic/score/mean", "response_length/mean"))
        assert found(write(tmp_path / "log.jsonl", verl))["stop"].step == first["stop"].step


def rollouts(folder, answer):
    """verl rollouts of 12 prompts that come again at each of ten steps; answer(step, prompt, rollout)."""
    folder.mkdir()
    for step in range(1, 11):
        rows = [
            {
                "input": f"p{p}",
                "output": f"it is {answer(step, p, r)}",
                "score": 0.0,
                "step": step,
                "uid": f"{step}-{p}",
            }
            for p in range(12)
            for r in range(8)
        ]
        write(folder / f"{step}.jsonl", rows)
    return folder


class TestRollouts:
    def series(self, path):
        log = run_log(path, answer_pattern="last-number")
        return {name: log.series[name].array for name in ("top_answer_share", "flip_rate")}

    def test_one_answer_takes_over(self, tmp_path):
        path = rollouts(tmp_path / "v", lambda step, p, r: 7 if p < step else 100 + p)
        found = self.series(path)
        assert found["top_answer_share"] == pytest.approx(np.arange(1, 11) / 12)
        assert found["flip_rate"] == pytest.approx(np.full(9, 1 / 12))

    def test_answers_that_stay_do_not_flip(self, tmp_path):
        found = self.series(rollouts(tmp_path / "v", lambda step, p, r: p if r else 1000))
        assert not found["flip_rate"].any() and found["top_answer_share"] == pytest.approx(
            np.full(10, 1 / 12)
        )

    def test_answers_that_wander_all_flip(self, tmp_path):
        found = self.series(rollouts(tmp_path / "v", lambda step, p, r: 100 * p + step))
        assert (found["flip_rate"] == 1).all()


class TestWithAccuracy:
    DEAD = (0.52, 0.57, 0.62, 0.6, 0.59, 0.04)

    def rows(self, values, name="val-core/math/acc/mean@1"):
        return [{"step": 10 * i, name: value} for i, value in enumerate(values)]

    def test_a_dead_last_evaluation_is_provisional_and_the_next_one_confirms_it(self, tmp_path):
        path = write(tmp_path / "log.jsonl", self.rows(self.DEAD))
        findings = found(path)
        assert findings["threshold_accuracy_peak"].level == findings["stop"].level == "provisional"
        assert findings["keep_checkpoint"].step == 30 and "no_collapse" not in findings
        assert invoke("monitor", path, "--fail-on", "provisional").exit_code == 1
        assert invoke("monitor", path, "--fail-on", "critical").exit_code == 0
        findings = found(write(path, self.rows((*self.DEAD, 0.03))))
        assert findings["collapse_accuracy_peak"].level == findings["stop"].level == "critical"
        assert not alarming(found(write(path, self.rows((*self.DEAD, 0.6, 0.61, 0.6)))))

    def test_a_slow_fall_is_named(self, tmp_path):
        noise = 0.004 * np.random.default_rng(0).normal(size=20)
        curve = np.concatenate([[0.52, 0.57], np.full(9, 0.625), np.linspace(0.62, 0.5, 9)]) + noise
        findings = found(write(tmp_path / "log.jsonl", self.rows(curve)))
        assert findings["accuracy_falls"].level == "critical"
        assert 80 <= findings["keep_checkpoint"].step <= 130

    def test_chance_on_thirty_problems_is_no_collapse(self, tmp_path):
        """Accuracy .13 on 30 problems is at or below half of its maximum again and again."""
        generator = np.random.default_rng(0)
        wrong = 0
        for _ in range(100):
            curve = np.round(generator.binomial(30, 0.13, size=20) / 30, 4)
            wrong += bool(alarming(found(write(tmp_path / "log.jsonl", self.rows(curve)))))
        assert wrong <= 5

    def test_agreement_that_grows_a_little_is_health(self, tmp_path):
        rows = [
            {"step": i, "frac_reward_zero_std": 0.46 + 0.009 * i, "mode_retention": 0.98} for i in range(10)
        ]
        assert not alarming(found(write(tmp_path / "log.jsonl", rows)))

    def test_voting_is_compared_on_the_same_prompts_only(self, tmp_path):
        other = "train/ensemble/label_accuracy"
        for labels, told in (
            ("val-core/math/acc/maj@8/mean", True),
            (other, False),
            ("val-core/aime/acc/maj@8/mean", False),
        ):
            rows = [{"step": i, "val-core/math/acc/mean@8": 0.3 + 0.02 * i, labels: 0.5} for i in range(6)]
            assert ("against_voting" in found(write(tmp_path / "log.jsonl", rows))) == told

    def test_the_size_of_the_evaluation_set_is_not_that_of_training_batches(self, tmp_path):
        """Label accuracy of 16 prompts a batch moves by .12 from chance alone."""
        generator = np.random.default_rng(0)
        rows = [
            {"step": i, "train/label_accuracy": generator.binomial(16, 0.4) / 16, "eval/accuracy": 0.5}
            for i in range(60)
        ]
        path = write(tmp_path / "log.jsonl", rows)
        assert not [f for f in read_log(path, eval_prompts=5000) if f.level != "info"]


@pytest.mark.skipif(not PUBLIC, reason="the published curves are not part of this repository")
class TestPublishedCurves:
    @pytest.mark.parametrize("path", PUBLIC, ids=lambda path: path.stem)
    def test_collapses_are_named_and_health_is_not(self, path):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        curve = [float(row["accuracy"]) for row in rows if row.get("accuracy")]
        dead = curve[-1] < 0.9 * max(curve) if curve else "majority_voting" in path.stem
        findings = found(path)
        assert ("stop" in findings) == dead
        if dead:
            assert LEVELS.index(findings["stop"].level) >= LEVELS.index("provisional")
        else:
            assert not alarming(findings)
