"""Exact distributions and updates of a transformer: against brute force, finite differences, sampling, and
the theorems.
"""

import json
import math

import numpy as np
import pytest
import torch
from tiny import after_equals, random_model, same_weights, weights

from llm_bridge import ExactModel, ExactTraining, get_task, load_model
from llm_bridge.exact import fit, jacobian, numerals, project, pull_back, push_forward
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from sharpening import GRPO, InputError, KLProx, NaturalGradient, Population, SoftmaxGradient, exact_metrics
from sharpening.logspace import log_odds
from sharpening.theorems.numerics import path
from studies.exact import EXACT
from studies.exact_figures import exact_figure
from studies.study import load_result

TASK = get_task("addition")
PROMPTS = ["3+4=", "12+34=", "7+81="]


@pytest.fixture(scope="module")
def shipped():
    return load_model("addition-uncertain")


def small(architecture="llama", strings=None, **options):
    return ExactModel(random_model(architecture), TASK, strings or numerals(12), **options)


def slowly(loaded, prompt, string, temperature=1.0):
    """log pi of one completion and the end token, one forward pass, the model's own precision."""
    ids = loaded.tokenizer(prompt)["input_ids"]
    tokens = loaded.tokenizer(string, add_special_tokens=False)["input_ids"] + [loaded.tokenizer.eos_token_id]
    with torch.no_grad():
        scores = (loaded.model(torch.tensor([ids + tokens])).logits[0] / temperature).log_softmax(-1)
    return sum(float(scores[len(ids) + i - 1, token]) for i, token in enumerate(tokens))


class TestDistribution:
    @pytest.mark.parametrize("architecture", ["llama", "gpt2"])
    def test_it_is_what_the_model_says_of_each_string(self, architecture):
        loaded, exact = random_model(architecture), small(architecture)
        policy = exact.policy(PROMPTS)
        for row, prompt in zip(policy, PROMPTS, strict=True):
            assert row[:-1] == pytest.approx(
                [slowly(loaded, prompt, label) for label in exact.trie.labels], abs=2e-4
            )

    @pytest.mark.parametrize("architecture", ["llama", "gpt2"])
    def test_with_other_it_sums_to_one_before_it_is_normalised(self, architecture):
        masses = small(architecture).log_probs(PROMPTS).exp().sum(dim=1)
        assert masses.tolist() == pytest.approx([1.0] * 3, abs=1e-12)

    def test_a_known_law(self):
        exact = ExactModel(after_equals(d3=0.7, d5=0.2, d8=0.1 - 1e-9), TASK, ["3", "5"])
        assert np.exp(exact.policy(["1+2="]))[0] == pytest.approx([0.7, 0.2, 0.1], abs=1e-6)

    def test_other_keeps_its_digits(self):
        other = ExactModel(after_equals(d3=1.0), TASK, ["3"]).policy(["1+2="])[0, -1]
        assert math.log(1e-20) < other < math.log(1e-14)

    def test_prompts_of_any_length_share_a_batch(self):
        exact = small()
        alone = np.concatenate([exact.policy([prompt]) for prompt in PROMPTS])
        assert exact.policy(PROMPTS) == pytest.approx(alone, abs=1e-11)

    def test_the_temperature_divides_the_logits(self):
        loaded, exact = random_model("llama"), small(temperature=0.5)
        assert exact.policy(PROMPTS[:1])[0, 3] == pytest.approx(
            slowly(loaded, PROMPTS[0], "3", 0.5), abs=4e-4
        )

    def test_spellings_of_one_label_are_summed(self):
        both, apart = small(strings=["7", "07", "8"]), small(strings=["7"])
        late = small(strings=["07"])
        assert both.trie.labels == ("7", "8")
        mass = lambda exact: np.exp(exact.policy(PROMPTS)[:, 0])  # noqa: E731
        assert mass(both) == pytest.approx(mass(apart) + mass(late), rel=1e-9)

    def test_the_sampler_draws_from_it(self, shipped):
        exact, draws = ExactModel(shipped, TASK, numerals(200)), 4000
        drawn = sample(
            shipped.model, shipped.tokenizer, ["7+8="], rollouts=draws, max_new_tokens=4, generator=seeded(0)
        )
        labels = [TASK.extract(text) for text in drawn.texts[0]]
        masses = np.exp(exact.policy(["7+8="])[0, :-1])
        for label in np.argsort(-masses)[:5]:
            seen, mass = labels.count(exact.trie.labels[label]), masses[label]
            # false alarm below 1e-4 in all
            assert abs(seen - draws * mass) < 4.5 * math.sqrt(draws * mass * (1 - mass)) + 1

    def test_the_population_knows_truth_and_silence(self, shipped):
        problems = TASK.split(8)[1]
        population = ExactModel(shipped, TASK, numerals(200)).population(problems)
        assert population.no_answer == 200 and (population.correct.sum(axis=1) == 1).all()
        assert 0.4 < population.accuracy < 0.95 and population.answer_names[-1] == "(other)"

    def test_the_model_given_stays_as_it_is(self):
        loaded = random_model("llama")
        before = weights(loaded.model)
        ExactTraining(ExactModel(loaded, TASK, numerals(12)), "majority", SoftmaxGradient(0.1)).step(PROMPTS)
        assert (
            same_weights(before, weights(loaded.model))
            and next(loaded.model.parameters()).dtype == torch.float32
        )

    @pytest.mark.parametrize("strings", [[], ["twelve"], ["1", ""], numerals(5000)])
    def test_strings_that_are_no_answers_are_refused(self, strings):
        with pytest.raises(InputError):
            ExactModel(random_model("llama"), TASK, strings)

    def test_a_bad_temperature_is_refused(self):
        with pytest.raises(InputError):
            small(temperature=0.0)


class TestKernel:
    @pytest.mark.parametrize("architecture", ["llama", "gpt2"])
    def test_jacobians_agree_with_finite_differences(self, architecture):
        exact = small(architecture)
        rows, start = jacobian(exact, PROMPTS[:2]), exact.weights
        change = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        change /= change.norm()
        exact.set_weights(start + 1e-5 * change)
        up = exact.policy(PROMPTS[:2])
        exact.set_weights(start - 1e-5 * change)
        slope = (up - exact.policy(PROMPTS[:2])) / 2e-5
        exact.set_weights(start)
        assert (rows @ change).numpy() == pytest.approx(slope.reshape(-1), abs=1e-7)
        assert push_forward(exact, PROMPTS[:2], change).numpy() == pytest.approx(slope, abs=1e-7)

    def test_forward_and_back_are_transposes(self):
        exact, draw = small(), torch.Generator().manual_seed(0)
        w = torch.randn(2, exact.num_answers, generator=draw, dtype=torch.float64)
        v = torch.randn(len(exact.weights), generator=draw, dtype=torch.float64)
        assert float((push_forward(exact, PROMPTS[:2], v) * w).sum()) == pytest.approx(
            float(pull_back(exact, PROMPTS[:2], w) @ v), rel=1e-10
        )

    def test_masses_add_up_so_scores_average_to_nothing(self):
        exact = small()
        masses = torch.tensor(np.exp(exact.policy(PROMPTS)))
        assert float(pull_back(exact, PROMPTS, masses).abs().max()) < 1e-12

    @pytest.mark.parametrize("kind", ["gradient", "signs"])
    def test_other_prompts_move_as_the_kernel_says_to_first_order(self, shipped, kind):
        """Halving the step quarters the error."""
        exact = ExactModel(shipped, TASK, numerals(200))
        policy = exact.policy(["37+48="])
        change = pull_back(
            exact,
            ["37+48="],
            torch.tensor(np.exp(policy) * ((policy == policy.max()) - np.exp(policy.max()))),
        )
        change = change / change.norm() if kind == "gradient" else change.sign() / len(change) ** 0.5
        others, start = ["37+49=", "5+6=", "90+9="], exact.weights
        at_rest, slope = exact.policy(others), push_forward(exact, others, change).numpy()

        def error(eta):
            exact.set_weights(start + eta * change)
            return np.abs(exact.policy(others) - at_rest - eta * slope).max()

        ratios = [error(eta) / error(eta / 2) for eta in (1e-4, 1e-5)]
        assert ratios == pytest.approx([4.0, 4.0], rel=0.02) and np.abs(slope).max() > 1


class TestUpdates:
    def test_the_fit_is_the_weighted_least_squares_of_least_norm(self):
        rng = np.random.default_rng(0)
        rows, wanted, mass = rng.standard_normal((6, 40)), rng.standard_normal((2, 3)), rng.random((2, 3))
        rows[5] = rows[4]
        delta, missed = fit(torch.tensor(rows), wanted, mass)
        root = np.sqrt(mass).reshape(-1)
        oracle = np.linalg.lstsq(rows * root[:, None], wanted.reshape(-1) * root, rcond=1e-10)[0]
        assert delta.numpy() == pytest.approx(oracle, abs=1e-7)
        left = ((rows @ oracle - wanted.reshape(-1)) * root) ** 2
        assert (
            missed == pytest.approx(left.sum() / ((wanted.reshape(-1) * root) ** 2).sum(), abs=1e-9)
            and missed > 1e-3
        )

    @pytest.mark.parametrize(
        "update", [SoftmaxGradient, lambda eta: GRPO(eta, eps=0.0)], ids=["softmax gradient", "GRPO"]
    )
    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_a_small_step_raises_the_expected_reward(self, update, optimizer):
        step = ExactTraining(small(), "majority", update(1e-5), optimizer=optimizer).step(PROMPTS)
        mode = step.before[:, :-1].argmax(axis=1)
        assert sum(step.after[range(3), mode] - step.before[range(3), mode]) > 0

    def test_a_gradient_step_is_the_gradient_of_the_expected_reward(self):
        exact = small()
        start, policy = exact.weights, exact.policy(PROMPTS)
        rewards = torch.tensor((policy == policy[:, :-1].max(axis=1, keepdims=True)) * 1.0)
        value = (exact.log_probs(PROMPTS).exp() * rewards).sum(dim=1).mean()
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, exact.parameters)])
        ExactTraining(exact, "majority", SoftmaxGradient(0.25)).step(PROMPTS)
        assert (exact.weights - start).numpy() == pytest.approx(0.25 * gradient.numpy(), abs=1e-13)

    def test_natural_gradient_is_the_tabular_one_to_first_order(self):
        """Shared weights can follow any direction over the answers of one prompt; what is left is of second
        order.
        """
        errors = []
        for eta in (0.04, 0.02):
            step = ExactTraining(small(), "trajectory-entropy", NaturalGradient(eta)).step(PROMPTS[:1])
            errors.append(np.abs(step.after - step.tabular).max())
            assert step.missed < 1e-8
        assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.2)

    @pytest.mark.parametrize("prompts", [1, 2])
    def test_s1_and_s4_hold_under_kl_prox_with_shared_weights(self, prompts):
        step = ExactTraining(small(), "majority", KLProx(2.0)).step(PROMPTS[:prompts])
        leads = step.before == step.before[:, :-1].max(axis=1, keepdims=True)
        assert 0 <= step.missed < 1e-12
        assert log_odds(step.after, leads) - log_odds(step.before, leads) == pytest.approx(
            [0.5] * prompts, abs=1e-5
        )
        ratios = np.where(leads, np.nan, step.after - step.before)
        assert np.nanmax(ratios, axis=1) - np.nanmin(ratios, axis=1) == pytest.approx(
            [0.0] * prompts, abs=1e-3
        )

    def test_a_projection_reaches_a_distant_target(self):
        exact = small()
        target = 0.5 * exact.policy(PROMPTS[:1])
        target -= np.log(np.exp(target).sum())
        assert project(exact, PROMPTS[:1], target) < 1e-12
        assert exact.policy(PROMPTS[:1]) == pytest.approx(target, abs=1e-4)

    def test_s5_does_not_survive_shared_weights(self, shipped):
        """A softmax step on the mode lifts its neighbours too: some sum of smallest masses grows, at a rate
        that does not vanish.
        """
        growth = {}
        for eta in (4e-5, 2e-5):
            exact = ExactModel(shipped, TASK, numerals(200))
            step = ExactTraining(exact, "majority", SoftmaxGradient(eta)).step(["70+73="])
            tails = [np.cumsum(np.sort(np.exp(z[0]))) for z in (step.before, step.after, step.tabular)]
            assert (tails[2] - tails[0]).max() < 1e-15
            growth[eta] = (tails[1] - tails[0]).max()
        assert growth[4e-5] > 1e-7 and growth[4e-5] / growth[2e-5] == pytest.approx(2.0, rel=0.1)

    def test_modes_survive_in_a_table_but_not_in_the_network(self, shipped):
        problems = TASK.split(256)[1][:24]
        exact = ExactModel(shipped, TASK, numerals(200))
        start = exact.population(problems)
        training = ExactTraining(exact, "majority", GRPO(3e-3), optimizer="adam")
        for _ in range(8):
            training.step(["37+48="])

        def kept(now):
            return float(
                exact_metrics(now, start.correct, start.log_probs, no_answer=200)["mode_retention"].mean()
            )  # noqa: E731

        assert kept(exact.policy([problem.prompt for problem in problems])) < 0.7
        table = Population(start.log_probs, start.correct, no_answer=200)
        assert all(
            kept(now) == 1.0 for now in path(GRPO(5.0), training.reward, table.log_probs, 8, no_answer=200)
        )

    @pytest.mark.parametrize(
        "update, optimizer", [("grpo", "sgd"), (KLProx(1.0), "adam"), (SoftmaxGradient(1.0), "lion")]
    )
    def test_what_it_cannot_do_is_refused(self, update, optimizer):
        with pytest.raises(InputError):
            ExactTraining(small(), "majority", update, optimizer=optimizer)


class TestStudy:
    """What docs/theorem_meets_network.md says is what the committed result holds."""

    def rows(self, update):
        return [row for row in load_result("exact")["alone"]["rows"] if row["update"] == update]

    def test_s1_survives_kl_prox(self):
        rows = self.rows("kl_prox")
        assert all(row["steps_that"] == {"majorize": 3, "keep_mode": 3, "keep_order": 3} for row in rows)
        assert all(
            row["worst"]["logit_law"] < 3e-7 and row["worst"]["ratios_move"] < 5e-7
            for row in rows
            if row["reward"] == "majority"
        )

    @pytest.mark.parametrize(
        "update, majorizing",
        [("softmax_gradient", {98, 106}), ("grpo", {98, 106}), ("softmax_gradient, Adam 1e-5", {68, 85})],
    )
    def test_majorization_does_not_survive_the_softmax_gradient(self, update, majorizing):
        rows = self.rows(update)
        counts = {
            reward: sum(r["steps_that"]["majorize"] for r in rows if r["reward"] == reward)
            for reward in ("majority", "trajectory-entropy")
        }
        assert set(counts.values()) == majorizing and all(
            row["worst"]["mode_falls"] == 0 and row["worst"]["entropy_grows"] == 0 for row in rows
        )

    def test_errors_across_prompts_are_of_second_order(self):
        assert all(abs(row["slope"] - 2) < 0.01 for row in load_result("exact")["across"]["rows"])

    def test_clocks_and_tails(self):
        for curve in load_result("exact")["speeds"]["curves"]:
            start = 1 / (1 + math.exp(-curve["logit"][0]))
            last, end = curve["t"]["natural_gradient / std"][-1], math.pi - 2 * math.asin(math.sqrt(start))
            assert last < end < 1.08 * last
            assert (
                -1 < curve["tail_exponents"]["softmax_gradient"] < -0.8
                and curve["kappa"][0] > 200 > 60 > curve["kappa"][-1] > 30
            )

    def test_modes_are_kept_for_ever_in_a_table_only(self):
        curves = {curve["run"]: curve for curve in load_result("exact")["retention"]["curves"]}
        assert set(curves["a table of logits, GRPO 0.5"]["mode_retention"]) == {1.0}
        assert (
            curves["fresh prompts, Adam 5e-4"]["mode_retention"][2] < 0.1
            and curves["one prompt, Adam 1e-4"]["mode_retention"][-1] < 0.8
        )

    def test_it_resumes_part_by_part_and_draws_its_figure(self, tmp_path):
        result = load_result("exact")
        for part in ("alone", "speeds", "across", "retention"):
            (tmp_path / f"{part}.json").write_text(json.dumps(result[part]))
        again = EXACT.run(tmp_path)
        assert all(again[part] == result[part] for part in ("alone", "speeds", "across", "retention"))
        assert len(exact_figure(result).axes) == 4
