"""The probe: its population is the model's, its gradients are those of the objective, its radius lies where
the answers go.
"""

import math

import numpy as np
import pytest
import torch
from tiny import after_equals, clone, random_model, same_weights, weights

from llm_bridge import RunSettings, get_task, load_model
from llm_bridge.console.progress import NullProgress, terminal_progress
from llm_bridge.forecast.probe import (
    Cost,
    RetentionCurve,
    answer_gradients,
    measure_kernel,
    policy_gradient,
    probe_model,
    retention_curve,
)
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.prompts import PromptTask

SETTINGS = RunSettings(eval_prompts=8, prompts_per_step=4, rollouts=4)
ADDITION = get_task("addition")
MASSES = {"d3": 0.6, "d5": 0.3, "d7": 0.1}


def digits(text):
    return text if text.isdigit() else None


def sums(labelled=True):
    """A task of 32 one-digit sums, most of whose answers a Markov model cannot know."""
    pairs = [(a, b) for a in range(8) for b in range(4)]
    return PromptTask(
        [f"{a}+{b}=" for a, b in pairs],
        [a + b for a, b in pairs] if labelled else None,
        digits,
        max_new_tokens=3,
    )


@pytest.fixture(scope="module")
def uncertain():
    """A shipped model, its probe, and its weights before the probe."""
    loaded = load_model("addition-uncertain")
    before = weights(loaded.model)
    return loaded, probe_model(loaded, ADDITION, SETTINGS, rollouts=64, gradient_prompts=8), before


class TestPopulation:
    def test_is_the_known_law(self):
        """8 prompts × 400 rollouts of an exactly known model: each mass within 5 standard errors and the
        pseudocount.
        """
        probe = probe_model(after_equals(**MASSES), sums(), SETTINGS, rollouts=400, gradient_prompts=4)
        population = probe.population
        names = population.answer_names
        for name, mass in MASSES.items():
            column = np.exp(np.asarray(population.log_probs))[:, names.index(name[1:])]
            assert abs(column.mean() - mass) < 5 * math.sqrt(mass * (1 - mass) / 3200) + 0.02
        assert {names[mode] for mode in np.asarray(population.mode).tolist()} == {"3"}

    def test_agrees_with_rollouts(self, uncertain):
        """The prior is the metric of the rollouts themselves; accuracy of the population agrees with fresh
        ones within 5 errors.
        """
        loaded, probe, _ = uncertain
        problems = ADDITION.split(8)[1]
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            [p.prompt for p in problems],
            rollouts=256,
            max_new_tokens=4,
            generator=seeded(5),
        )
        correct = read_answers(problems, drawn.texts, ADDITION).correct
        accuracy, error = correct.mean(), 5 * math.sqrt(0.25 / (8 * 64) + 0.25 / (8 * 256))
        assert abs(probe.prior.accuracy - accuracy) < error
        population = (
            np.sum(np.exp(np.asarray(probe.population.log_probs)) * np.asarray(probe.population.correct)) / 8
        )
        assert abs(population - accuracy) < error + 0.03

    def test_knows_the_true_answers_even_those_never_drawn(self):
        """The correct set is named whether or not the model ever gives it."""
        population = probe_model(
            after_equals(d9=1.0), sums(), SETTINGS, rollouts=16, gradient_prompts=4
        ).population
        problems = sums().split(8)[1]
        for row, problem in enumerate(problems):
            marked = {population.answer_names[i] for i in np.flatnonzero(np.asarray(population.correct)[row])}
            assert marked == {problem.answer}

    def test_without_labels_has_no_truth(self):
        probe = probe_model(
            after_equals(**MASSES), sums(labelled=False), SETTINGS, rollouts=16, gradient_prompts=4
        )
        assert probe.population.correct is None and probe.radius.floor is None
        assert not {"accuracy", "label_accuracy", "reward_accuracy"} & (
            set(probe.prior.as_dict()) | set(probe.radius.metrics)
        )


def test_no_weight_changes_and_no_gradient_stays(uncertain):
    loaded, _, before = uncertain
    assert same_weights(weights(loaded.model), before)
    assert (
        all(p.grad is None and p.requires_grad for p in loaded.model.parameters())
        and not loaded.model.training
    )


def test_the_cost_is_counted():
    """A Markov model gives one digit and an end: rollouts, gradients and one greedy answer per noise, all of
    two tokens at first.
    """
    task, loaded = sums(), after_equals(d3=1.0)
    probe = probe_model(loaded, task, SETTINGS, rollouts=16, gradient_prompts=4)
    assert probe.cost.generated_tokens >= 2 * (8 * 16 + 4 * 4) + 8 * len(probe.radius.noise)
    assert probe.cost.backward_tokens == 0, "unanimous groups have no gradient"
    mixed = probe_model(after_equals(**MASSES), task, SETTINGS, rollouts=16, gradient_prompts=4).cost
    assert (
        0 < mixed.backward_tokens <= 4 * 4 * (4 + 2)
        and mixed.forward_tokens > mixed.backward_tokens
        and mixed.seconds > 0
    )


class TestGradients:
    def objective(self, model, prompt, completions, advantages, temperature):
        """mean over tokens of A log π, one sequence at a time."""
        total = 0.0
        for tokens, advantage in zip(completions, advantages, strict=True):
            scores = (
                model(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0, len(prompt) - 1 : -1]
                / temperature
            ).log_softmax(-1)
            total = total + advantage * scores.gather(1, torch.tensor(tokens)[:, None]).sum()
        return total / sum(map(len, completions))

    @pytest.mark.parametrize("architecture", ["gpt2", "llama"])
    @pytest.mark.parametrize("temperature", [1.0, 0.7])
    def test_are_those_of_a_loop_over_sequences(self, architecture, temperature):
        loaded = random_model(architecture)
        prompt, completions, advantages = (
            [4, 13, 5, 16],
            [[6, 1], [7, 8, 9, 1], [6, 7, 1]],
            np.array([1.2, -0.9, -0.3]),
        )
        parameters = list(loaded.model.parameters())
        cost = Cost()
        gradient = policy_gradient(
            loaded.model, loaded.tokenizer, prompt, completions, advantages, temperature, parameters, cost
        )
        naive = torch.autograd.grad(
            self.objective(loaded.model, prompt, completions, advantages, temperature), parameters
        )
        naive = torch.cat([g.flatten() for g in naive])
        assert (gradient - naive).norm() < 1e-4 * naive.norm() and cost.backward_tokens == 3 * 4 + 9

    def test_are_the_slope_of_the_objective(self):
        """Central differences of GPT-2, float64 throughout, approach ⟨gradient, direction⟩ as h²."""
        loaded = random_model("gpt2", spread=0.2)
        model = loaded.model.double()
        prompt, completions, advantages = (
            [4, 13, 5, 16],
            [[6, 1], [7, 8, 9], [6, 7, 1]],
            np.array([1.2, -0.9, -0.3]),
        )
        parameters = list(model.parameters())
        gradient = policy_gradient(
            model, loaded.tokenizer, prompt, completions, advantages, 0.7, parameters, Cost()
        ).double()
        direction = torch.randn(gradient.shape, generator=seeded(1), dtype=torch.float64)
        direction /= direction.norm()
        start = torch.nn.utils.parameters_to_vector(parameters).detach().clone()

        def value(shift):
            with torch.no_grad():
                torch.nn.utils.vector_to_parameters(start + shift * direction, parameters)
                return float(self.objective(model, prompt, completions, advantages, 0.7))

        slope = float(gradient @ direction)
        errors = [abs((value(h) - value(-h)) / (2 * h) - slope) for h in (1e-1, 1e-2)]
        assert errors[1] < 0.02 * errors[0] + 1e-6 and errors[1] < 2e-3 * float(gradient.norm())
        assert abs((value(1e-4) - value(-1e-4)) / 2e-4 - slope) < 2e-6 * max(1.0, float(gradient.norm()))

    def test_in_answer_space_are_advantages_times_onehots(self):
        ids = np.array([[0, 0, 1, -1], [2, 2, 2, 2]])
        advantages = np.array([[1.0, 1.0, -1.0, -1.0], [0.0, 0.0, 0.0, 0.0]])
        expected = np.zeros((2, 4))
        for i, answer in enumerate([0, 0, 1, 3]):
            frequencies = np.array([0.5, 0.25, 0.0, 0.25])
            expected[0] += advantages[0, i] / 4 * (np.eye(4)[answer] - frequencies)
        assert answer_gradients(ids, advantages, 3) == pytest.approx(expected)
        assert np.abs(answer_gradients(ids, advantages, 3).sum(1)).max() < 1e-12

    def test_coupling_of_a_constant_model_is_none(self, capsys):
        """Nothing to learn: no gradient, zero kernel, also with a real progress display."""
        with terminal_progress() as progress:
            found = measure_kernel(
                after_equals(d3=1.0), sums(), list(sums().problems[:4]), SETTINGS, Cost(), progress
            ).as_dict()
        assert found == {
            "private": 0.0,
            "shared": 0.0,
            "clock": 0.0,
            "cosine": 0.0,
            "gram_ratio": 0.0,
            "gradient_prompts": 4,
        }

    def test_prompts_that_share_every_weight_share_every_gradient(self):
        """A Markov model cannot tell prompts apart: all that moves is shared, and the halves of the batch
        agree.
        """
        task = PromptTask([f"{a}=" for a in range(9)] * 8, None, digits, max_new_tokens=3)
        settings = RunSettings(eval_prompts=8, prompts_per_step=4, rollouts=64, learning_rate=1e-3)
        found = measure_kernel(
            after_equals(**MASSES), task, list(task.problems[:32]), settings, Cost(), NullProgress()
        ).as_dict()
        assert found["cosine"] > 0.95 and found["gram_ratio"] > 0.8 and found["clock"] > 0
        assert abs(found["private"]) < 0.1 * found["shared"]

    def test_clock_predicts_a_sign_step(self, uncertain):
        """A step of size h along the sign of the mean gradient raises the objective by h · ‖g‖₁ to first
        order.
        """
        loaded, _, _ = uncertain
        model = clone(loaded).model
        problems = ADDITION.split(8)[0][:8]
        found = measure_kernel(loaded, ADDITION, problems, SETTINGS, Cost(), NullProgress()).as_dict()
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            [p.prompt for p in problems],
            rollouts=4,
            max_new_tokens=4,
            generator=seeded(0, 12),
        )
        table = []
        for group in drawn.texts:
            labels = [ADDITION.extract(text) for text in group]
            counts = np.array([0 if label is None else labels.count(label) for label in labels])
            leads = (counts == counts.max()) & (counts > 0)
            rewards = leads / max(1, len({label for label, lead in zip(labels, leads, strict=True) if lead}))
            table.append((rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4))

        def value(network):
            return (
                sum(
                    self.objective(network, prompt, tokens, advantages, 1.0)
                    for prompt, tokens, advantages in zip(
                        drawn.prompt_ids, drawn.token_ids, table, strict=True
                    )
                )
                / 8
            )

        start = value(model)
        start.backward()
        step = 1e-6
        with torch.no_grad():
            for parameter in model.double().parameters():
                parameter += step * parameter.grad.sign()
            base = value(clone(loaded).model.double())
            assert (value(model) - base).item() / step == pytest.approx(found["clock"], rel=0.05)


class TestRadius:
    def test_of_a_shipped_model(self, uncertain):
        curve = uncertain[1].radius
        kept = curve.metrics["mode_retention"]
        assert curve.noise[0] == 0 and kept[0] == 1
        assert 0 < curve.noise[1] < curve.radius < curve.noise[-1] < math.inf
        assert np.max(np.diff(kept)) < 0.3 and kept[-1] < 0.5
        assert np.interp(curve.radius, curve.noise, kept) == pytest.approx(0.5, abs=0.1)

    def test_is_the_same_whatever_the_weights_are_called(self, uncertain):
        loaded, probe, _ = uncertain
        again = retention_curve(
            clone(loaded), ADDITION, ADDITION.split(8)[1], SETTINGS, Cost(), NullProgress()
        )
        assert again.noise.tolist() == probe.radius.noise.tolist()
        assert all(
            np.array_equal(again.metrics[name], values) for name, values in probe.radius.metrics.items()
        )

    @pytest.mark.parametrize(
        "noise, kept, expected",
        [
            ([0, 0.01, 0.1], [1, 1, 0.0], 0.01 * 10**0.5),
            ([0, 0.01, 0.1], [1, 0.5, 0.4], 0.01),
            ([0, 0.01, 0.1], [1, 0.9, 0.8], math.inf),
            ([0, 0.01, 0.1], [1, 0.4, 0.1], 0.01),
        ],
    )
    def test_is_where_half_of_the_answers_are_left(self, noise, kept, expected):
        assert RetentionCurve(
            np.array(noise), {"mode_retention": np.array(kept)}, None
        ).radius == pytest.approx(expected)

    def test_trajectory_moves_by_learning_rate_per_step(self):
        curve = RetentionCurve(np.array([0, 0.01, 0.02]), {"mode_retention": np.array([1.0, 0.6, 0.0])}, None)
        trajectory = curve.trajectory(1e-3, 25, 10)
        assert trajectory.step.tolist() == [0, 10, 20, 25]
        assert trajectory["mode_retention"] == pytest.approx([1, 0.6, 0, 0])
