"""Evaluation against models whose answer distribution is known exactly; statistical bounds at 5 standard
errors, fixed seeds.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom
from tiny import after_equals, clone, markov_model, random_model

from llm_bridge import Evaluator, get_task, load_model
from llm_bridge.logs.run_log import ERRORS
from llm_bridge.models.loading import frozen_copy
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.training.evaluation import InitialModel

PRIOR = {"d3": 0.55, "d5": 0.25, "d7": 0.15, "d9": 0.05}
PROMPTS = [f"{a}+{b}=" for a in range(1, 9) for b in range(1, 9)]
TRUTH = [str(a + b) for a in range(1, 9) for b in range(1, 9)]


def digits_only(text):
    return text if text.isdigit() else None


def evaluator(loaded, *, answers=None, rollouts=8, reference=None, **options):
    task = PromptTask(PROMPTS, answers, digits_only, max_new_tokens=3)
    return Evaluator(
        task,
        task.problems,
        loaded.tokenizer,
        rollouts=rollouts,
        reference=frozen_copy(reference.model) if reference else None,
        **options,
    )


def moved(initial, current, **options):
    """Metrics of `current` at step 1, with `initial` as the undisturbed model."""
    evaluate = evaluator(initial, reference=initial, **options)
    evaluate.start(initial.model)
    return evaluate(current.model, 1)


class TestTheInitialModel:
    @pytest.mark.parametrize(
        "masses",
        [PRIOR, {"d3": 0.9, "d5": 0.1}, {f"d{i}": 0.1 for i in range(10)}],
        ids=["uneven", "sure", "flat"],
    )
    def test_spends_next_to_no_divergence(self, masses):
        """What is left is the upward bias of answers counted 4 times or more; a plug-in estimate would show
        log-many nats for "flat".
        """
        model = after_equals(**masses)
        values = [moved(model, model, seed=seed) for seed in range(3)]
        assert max(v["kl"] for v in values) < 0.3 and max(v["excess_kl"] for v in values) < 0.03

    def test_keeps_its_modes(self):
        model = after_equals(**PRIOR)
        values = [moved(model, model, seed=seed)["mode_retention"] for seed in range(4)]
        assert 0.93 < np.mean(values) <= 1

    @pytest.mark.parametrize("name", ["addition-uncertain", "addition-weak", "addition-overconfident"])
    def test_of_the_zoo_scores_one_and_zero_however_uncertain(self, name):
        """Retention is divided by that of the initial model's own fresh groups: near 1 for any of them."""
        loaded, task = load_model(name), get_task("addition")
        evaluate = Evaluator(
            task, task.split(64)[1], loaded.tokenizer, rollouts=8, reference=frozen_copy(loaded.model)
        )
        values = evaluate(loaded.model, 0)
        assert values["mode_retention"] > 0.85 and values["kl"] < 0.25 and values["excess_kl"] < 0.05

    def test_its_budget_is_minus_the_log_of_its_mode(self):
        evaluate = evaluator(after_equals(**PRIOR), initial_rollouts=2000)
        initial = evaluate.start(after_equals(**PRIOR).model)
        budgets = [initial.budget(prompt) for prompt in range(len(PROMPTS))]
        assert budgets == pytest.approx(
            [-math.log(0.55)] * len(PROMPTS), abs=5 * math.sqrt(0.45 / 0.55 / 2000)
        )
        assert all(modes == {"3"} for modes in initial.modes)

    def test_its_own_retention_is_that_of_the_law(self):
        """A fair coin of two answers and groups of 3: the mode of 65 draws wins a group of 3 with probability
        1/2.
        """
        coin = after_equals(d1=0.5, d2=0.5)
        evaluate = evaluator(coin, rollouts=3, initial_rollouts=65)
        assert abs(evaluate.start(coin.model).retention - 0.5) < 5 * math.sqrt(0.25 / (2 * len(PROMPTS)))

    def test_survives_a_round_trip(self):
        evaluate = evaluator(after_equals(**PRIOR))
        initial = evaluate.start(after_equals(**PRIOR).model)
        again = InitialModel.from_dict(initial.as_dict())
        assert again == initial


class TestKL:
    def analytic(self, now, before, draws=64):
        """KL with log π₀ in expectation as it is estimated: from the frequency in 64 draws if counted 4 times
        or more, else exact.
        """
        counts = np.arange(1, draws + 1)
        estimated = {
            name: float(
                math.log(mass) * binom.cdf(3, draws, mass)
                + binom.pmf(counts, draws, mass)[3:] @ np.log(counts[3:] / draws)
            )
            for name, mass in before.items()
        }
        kl = sum(mass * (math.log(mass) - estimated[name]) for name, mass in now.items())
        return kl, max(0.0, kl + math.log(max(before.values())))

    @pytest.mark.parametrize("now", [{"d9": 1.0}, {"d9": 0.98, "d3": 0.02}, {"d7": 1.0}, {"d3": 1.0}])
    def test_of_known_distributions(self, now):
        """Means over 64 prompts; 0.1 nats is 5 standard errors of a log-frequency with a spread of 0.15
        between prompts.
        """
        values = moved(after_equals(**PRIOR), after_equals(**now))
        kl, excess = self.analytic(now, PRIOR)
        assert values["kl"] == pytest.approx(kl, abs=0.1) and values["excess_kl"] == pytest.approx(
            excess, abs=0.1
        )

    @pytest.mark.parametrize("temperature", [0.8, 0.5, 0.2])
    def test_pure_sharpening_spends_no_excess(self, temperature):
        """Raising the prior to a power moves mass to its own mode, whatever the power: KL within the
        budget.
        """
        prior = after_equals(**PRIOR)
        sharper = clone(prior)
        with torch.no_grad():
            sharper.model.lm_head.weight /= temperature
        values = moved(prior, sharper)
        masses = {name: mass ** (1 / temperature) for name, mass in PRIOR.items()}
        now = {name: mass / sum(masses.values()) for name, mass in masses.items()}
        kl = sum(mass * math.log(mass / PRIOR[name]) for name, mass in now.items())
        assert values["excess_kl"] < 0.05 and kl < -math.log(0.55)
        assert values["kl"] == pytest.approx(kl, abs=0.2)
        assert values["mode_retention"] > 0.95

    def test_an_answer_never_drawn_before_is_scored_by_the_initial_model(self):
        """Mass 1e-6 cannot be estimated from 64 draws: only the reference knows it."""
        values = moved(after_equals(d3=1 - 1e-6, d9=1e-6), after_equals(d9=1.0))
        assert values["kl"] == pytest.approx(-math.log(1e-6), abs=0.01)
        assert values["excess_kl"] == pytest.approx(-math.log(1e-6), abs=0.01)
        assert values["mode_retention"] == 0

    def test_the_temperature_of_the_run_is_that_of_both_models(self):
        """At temperature 2 masses are square roots: log(1/π₀(9)) shrinks accordingly."""
        values = moved(after_equals(d3=1 - 1e-6, d9=1e-6), after_equals(d9=1.0), temperature=2.0)
        assert values["kl"] == pytest.approx(-math.log(1e-3 / (1e-3 + 1)), abs=0.1)

    def test_all_sequences_of_one_answer_count_together(self):
        """ "07" and "7" are one answer: moving mass between its spellings is no divergence, moving it
        elsewhere is.
        """

        def spelled(plain, padded, other):
            return markov_model({"=": {"7": plain, "0": padded, "5": other}, "0": {"7": 1.0}})

        task = get_task("addition")
        problems = [p for p in task.problems if p.answer == "7"]
        evaluate = Evaluator(
            task,
            problems,
            spelled(1, 1, 1).tokenizer,
            rollouts=16,
            reference=frozen_copy(spelled(0.9, 0.08, 0.02).model),
        )
        evaluate.start(spelled(0.9, 0.08, 0.02).model)
        assert evaluate(spelled(0.08, 0.9, 0.02).model, 1)["kl"] < 0.05
        assert evaluate(spelled(0.01, 0.01, 0.98).model, 2)["kl"] > 2

    def test_a_foreign_model_is_far_beyond_its_budget(self):
        loaded, task = load_model("addition-overconfident"), get_task("addition")
        evaluate = Evaluator(
            task, task.split(16)[1], loaded.tokenizer, rollouts=8, reference=frozen_copy(loaded.model)
        )
        initial = evaluate(loaded.model, 0)
        loaded.model.load_state_dict(load_model("addition-misconception").model.state_dict())
        other = evaluate(loaded.model, 1)
        random = evaluate(random_model("llama").model, 2)
        assert (
            initial["excess_kl"] < 0.05 < 1 < other["excess_kl"] < random["excess_kl"]
            and random["excess_kl"] > 5
        )

    def test_is_left_out_without_a_reference(self):
        values = evaluator(after_equals(**PRIOR))(after_equals(**PRIOR).model, 0)
        assert "kl" not in values and "excess_kl" not in values and "mode_retention" in values


class TestConstantAnswers:
    @pytest.mark.parametrize("digit", [9, 3, 0])
    def test_reward_accuracy_is_the_base_rate_of_the_answer(self, digit):
        values = moved(after_equals(**PRIOR), after_equals(**{f"d{digit}": 1.0}), answers=TRUTH)
        rate = TRUTH.count(str(digit)) / len(TRUTH)
        assert (
            values["accuracy"] == values["label_accuracy"] == values["reward_accuracy"] == pytest.approx(rate)
        )
        assert values["distinct_answers"] == 1 and values["majority_ratio"] == 1
        assert values["entropy"] == values["tie_rate"] == values["no_answer_rate"] == 0
        assert values["mode_retention"] == (1 if digit == 3 else 0)
        assert values["mean_length"] == 2 and values["perplexity"] == pytest.approx(1, abs=1e-4)

    def test_the_floor_is_the_largest_base_rate(self):
        evaluate = evaluator(after_equals(**PRIOR), answers=TRUTH)
        assert evaluate.floor == TRUTH.count("9") / 64 == 8 / 64
        assert evaluate(after_equals(d9=1.0).model, 0)["reward_accuracy"] == evaluate.floor
        assert evaluator(after_equals(**PRIOR)).floor is None

    def test_the_floor_of_countdown_is_that_of_an_expression_not_of_a_target(self):
        task, loaded = get_task("countdown"), after_equals(d1=1.0)
        problems = task.split(64)[1]
        targets = [problem.answer for problem in problems]
        assert (
            Evaluator(task, problems, loaded.tokenizer, rollouts=2).floor
            < max(map(targets.count, targets)) / 64
        )

    def test_the_floor_reads_answers_that_extract_cannot(self):
        """Answers need not be written as completions are: three different ones have base rate 1/3, not 1."""
        task = PromptTask(
            ["1=", "2=", "3="],
            ["1", "2", "3"],
            extract=lambda text: text[3:] if text.startswith("is ") else None,
        )
        assert Evaluator(task, task.problems, None, rollouts=2).floor == pytest.approx(1 / 3)

    def test_silence_is_no_answer_and_no_mode(self):
        values = moved(after_equals(**PRIOR), markov_model({"=": {"<eos>": 1.0}}), answers=TRUTH)
        assert values["no_answer_rate"] == 1 and values["accuracy"] == values["label_accuracy"] == 0
        assert (
            values["mode_retention"] == 0
            and values["distinct_answers"] == 0
            and values["majority_ratio"] == 0
        )


class TestKnownPopulation:
    def test_group_metrics_have_their_binomial_means(self):
        """Two answers with π(3) = 0.7 in groups of 5: the vote is binomial, no ties."""
        loaded = after_equals(d3=0.7, d4=0.3)
        wins = 1 - binom.cdf(2, 5, 0.7)
        kept = np.arange(6)
        ratio = float(np.sum(binom.pmf(kept, 5, 0.7) * np.maximum(kept, 5 - kept) / 5))
        values = [
            evaluator(loaded, answers=["3"] * 64, rollouts=5, seed=seed)(loaded.model, 0) for seed in range(4)
        ]
        mean = {name: np.mean([v[name] for v in values]) for name in values[0]}
        assert abs(mean["accuracy"] - 0.7) < 5 * math.sqrt(0.21 / (256 * 5))
        assert abs(mean["label_accuracy"] - wins) < 5 * math.sqrt(wins * (1 - wins) / 256)
        assert abs(mean["majority_ratio"] - ratio) < 5 * 0.2 / 16
        # One answer is right: a rollout's pseudo-reward equals its true one wherever the vote is right, and
        # nowhere else of two.
        assert abs(mean["reward_accuracy"] - wins) < 5 * math.sqrt(wins * (1 - wins) / 256)
        assert mean["tie_rate"] == 0

    def test_perplexity_is_the_exponential_of_the_entropy_per_token(self):
        loaded = after_equals(**PRIOR)
        entropy = -sum(mass * math.log(mass) for mass in PRIOR.values())
        values = evaluator(loaded, rollouts=64)(loaded.model, 0)
        assert math.log(values["perplexity"]) == pytest.approx(entropy / 2, abs=5 * 0.8 / 2 / 64)

    def test_prompt_loss_is_that_of_a_plain_forward_pass(self):
        loaded = random_model("llama")
        total = count = 0
        for prompt in PROMPTS:
            ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
            with torch.no_grad():
                scores = loaded.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
            total -= scores.gather(1, ids[0, 1:, None]).sum().item()
            count += ids.shape[1] - 1
        assert evaluator(loaded)(loaded.model, 0)["lm_loss"] == pytest.approx(total / count, rel=1e-4)


LABELLED = {"accuracy", "label_accuracy", "reward_accuracy"}


def test_without_labels_the_labelled_metrics_are_absent_and_the_others_the_same():
    loaded = after_equals(**PRIOR)
    with_labels = evaluator(loaded, answers=TRUTH)(loaded.model, 3)
    without = evaluator(loaded)(loaded.model, 3)
    assert LABELLED <= with_labels.keys() and not LABELLED & without.keys()
    of_labels = LABELLED | {ERRORS["accuracy"]}
    assert without == {name: value for name, value in with_labels.items() if name not in of_labels}


def test_one_step_has_one_result_whatever_came_before():
    loaded = load_model("addition-uncertain")
    task = get_task("addition")

    def fresh():
        return Evaluator(
            task,
            task.split(8)[1],
            loaded.tokenizer,
            rollouts=4,
            reference=frozen_copy(loaded.model),
            initial_rollouts=8,
        )

    first, second = fresh(), fresh()
    torch.manual_seed(1)
    state, np_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    values = [first(loaded.model, step) for step in (0, 15, 30)]
    assert torch.equal(torch.get_rng_state(), state) and np.array_equal(np.random.get_state()[1], np_state)
    torch.manual_seed(2)
    assert second(loaded.model, 30) == values[2]
    assert values[1] != values[2]
    assert first(loaded.model, 15) == values[1]


def test_another_seed_draws_otherwise():
    loaded = load_model("addition-weak")
    task = get_task("addition")
    values = [
        Evaluator(task, task.split(8)[1], loaded.tokenizer, rollouts=4, seed=seed, initial_rollouts=8)(
            loaded.model, 0
        )
        for seed in (0, 1)
    ]
    assert values[0]["perplexity"] != values[1]["perplexity"]


def test_a_frozen_copy_does_not_follow_its_model():
    loaded = random_model("gpt2")
    copy = frozen_copy(loaded.model)
    before = copy.state_dict()["transformer.wte.weight"].clone()
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.add_(1)
    assert torch.equal(copy.state_dict()["transformer.wte.weight"], before)
    assert not any(p.requires_grad for p in copy.parameters()) and not copy.training
    assert all(p.requires_grad for p in loaded.model.parameters())
