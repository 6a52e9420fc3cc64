"""Every registered reward through the bridge: the registry's own numbers, one real TRL step, verifier calls,
resumed runs.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from tiny import clone, same_weights, weights

from llm_bridge import RunSettings, TaskReward, get_task, load_model, measure
from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.probe import Cost, measure_kernel
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.rephrasing import with_rephrasings
from llm_bridge.training.signals import Batch, Signals
from llm_bridge.training.trainer import grpo_trainer, schedule
from sharpening import REWARDS, Reward, RewardCard, get_reward, register_reward

ADDITION, COUNTDOWN, POLYNOMIALS = get_task("addition"), get_task("countdown"), get_task("polynomials")
TASKS = {"exhaustive-teacher": COUNTDOWN, "semantic-clusters": COUNTDOWN, "antiderivative": POLYNOMIALS}
MODELS = {"addition": "addition-uncertain", "countdown": "countdown", "polynomials": "polynomials"}
SPECS = [{"judge": "judge(model=addition-overconfident)"}.get(name, name) for name in sorted(REWARDS)]
DRAWN = {"noisy-verifier", "hybrid-scheduled"}  # what is a mean in the registry is drawn in training
SETTINGS = RunSettings(
    prompts_per_step=4, rollouts=4, learning_rate=2e-3, max_steps=1, eval_every=1, eval_prompts=8
)


@pytest.fixture(scope="module")
def models():
    """The shipped model of each task's name, loaded once."""

    class Shelf(dict):
        def __missing__(self, task):
            self[task] = load_model(MODELS[task])
            return self[task]

    return Shelf()


def of(spec, models):
    task = TASKS.get(get_reward(spec).name, ADDITION)
    return task, clone(models[task.name])


def attached(spec, task, loaded, rollouts=4, **options):
    reward = TaskReward(spec, task, rollouts, **{"reference": clone(loaded).model, **options})
    reward.attach(lambda: loaded.model, loaded.tokenizer)
    return reward


def batch_of(task, loaded, problems, rollouts=4, step=0):
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        [p.prompt for p in problems],
        rollouts=rollouts,
        max_new_tokens=task.max_new_tokens,
        generator=torch.Generator().manual_seed(7),
    )
    return Batch(list(problems), drawn.prompt_ids, drawn.token_ids, drawn.texts, step)


def scored(reward, batch):
    return reward.score(batch.problems, batch.prompt_ids, batch.token_ids, batch.texts, batch.step)


def written(*groups, answers=("5",)):
    """A batch of addition problems with these texts; no model is asked."""
    problems = [problem for answer in answers for problem in ADDITION.problems if problem.answer == answer][
        : len(groups)
    ]
    return Batch(problems, [], [], [list(group) for group in groups])


def with_wordings(spec, task, problems):
    return with_rephrasings(task, problems[:2]) if "questions" in get_reward(spec).card.needs else problems


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec not in DRAWN])
def test_is_the_registrys_reward_of_the_same_statistics(spec, models):
    """Answers, signals and verdicts made here by hand, for the whole batch; the bridge asks for less and must
    get the same.
    """
    task, loaded = of(spec, models)
    reward, card = get_reward(spec), get_reward(spec).card
    bridge = attached(spec, task, loaded)
    batch = batch_of(
        task, loaded, with_wordings(spec, task, task.problems[40 :: len(task.problems) // 4][:4])
    )
    signals = Signals(card.needs, task, loaded.tokenizer, rollouts=4, reference=clone(loaded).model)
    answers = signals.answers(batch)
    given = signals(loaded.model, batch, answers)
    if bridge.verifier is not None:
        labels = [[None if i < 0 else answers.labels[i] for i in row] for row in answers.ids]
        given["verdicts"] = bridge.verifier.judge(batch.problems, labels)
    expected = np.asarray(reward.group(answers.ids, answers.correct, **given))[:, :4]
    found = scored(bridge, batch)
    assert found.dtype == np.float64 and found == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert (
        card.name.startswith("kl-p")
        or card.name in ("kl-reference", "self-verification")
        or len(np.unique(found)) > 1
    )


@pytest.mark.parametrize("spec", SPECS)
def test_one_real_step_climbs_it(spec, models, tmp_path):
    """TRL takes one step on the rewards of its own completions, logged where a verifier was asked; only a
    constant reward moves nothing.
    """
    task, loaded = of(spec, models)
    settings = replace(SETTINGS, reward=spec)
    train, _ = schedule(task, settings)
    before, calls = weights(loaded.model), []
    with quiet_libraries():
        trainer, counter = grpo_trainer(loaded, task, settings, train, tmp_path)
        inner = trainer.reward_funcs[0]

        def recording(**given):
            calls.append((given, inner(**given)))
            return calls[-1][1]

        trainer.reward_funcs[0] = recording
        trainer.train()
    ((given, rewards),) = calls
    assert len(rewards) == 16 and all(isinstance(value, float) and np.isfinite(value) for value in rewards)
    assert given["prompts"] == [problem.prompt for problem in train for _ in range(4)]
    spread = np.reshape(rewards, (4, 4)).std(1).max()
    assert same_weights(before, weights(loaded.model)) == (spread == 0)
    needs = set(get_reward(spec).card.needs)
    assert inner.asks_a_verifier == bool(needs & {"labels", "verdicts"}) == (counter.calls > 0)
    texts, row = given["completions"], given["row"]
    if not needs & {"tokens", "states", "voters"} and get_reward(spec).name not in DRAWN | {
        "self-verification"
    }:
        again = TaskReward(spec, task, 4, lambda index: train[index])
        again.attach(lambda: loaded.model, loaded.tokenizer)
        assert (
            again(prompts=None, completions=texts, row=row, completion_ids=given["completion_ids"]) == rewards
        )


class TestDrawn:
    """What the registry gives as a mean: the mean of many draws lies within 5 standard errors, and the steps
    differ.
    """

    TEXTS = written(["5", "5", "6", "x"], ["5", "7", "7", "5"], answers=("5", "5"))

    @pytest.mark.parametrize(
        "spec",
        [
            "noisy-verifier(tpr=0.8, fpr=0.3)",
            "hybrid-scheduled(share=0.3)",
            "hybrid-weighted(external=noisy-verifier(tpr=0.7, fpr=0.2))",
            "hybrid-scheduled(share=0.4, external=noisy-verifier(tpr=0.9, fpr=0.2))",
            "noisy-verifier(tpr=0.8, verifier=noisy-verifier(tpr=0.6))",
        ],
    )
    def test_the_mean_is_the_registrys(self, spec):
        answers = read_answers(self.TEXTS.problems, self.TEXTS.texts, ADDITION)
        mean = np.asarray(get_reward(spec).group(answers.ids, answers.correct, step=0))
        reward = TaskReward(spec, ADDITION, 4)
        draws = np.array([scored(reward, replace(self.TEXTS, step=step)) for step in range(600)])
        error = draws.std(0, ddof=1) / np.sqrt(len(draws)) + 1e-9
        assert np.all(np.abs(draws.mean(0) - mean) < 5 * error)
        assert len(np.unique(draws.reshape(600, -1), axis=0)) > 5

    def test_is_fixed_by_the_seed_and_the_step(self):
        reward = TaskReward("noisy-verifier(tpr=0.6, fpr=0.4)", ADDITION, 8, seed=3)
        texts = replace(written(["5"] * 8), step=4)
        assert scored(reward, texts).tolist() == scored(reward, texts).tolist()
        assert len({tuple(scored(reward, replace(texts, step=step))[0]) for step in range(20)}) > 5


class TestVerifierCalls:
    SURE, SPLIT, SILENT = ["5", "5", "5", "5"], ["5", "6", "7", "x"], ["x", "y", "", "x"]

    def calls(self, spec, *groups, step=0):
        reward = TaskReward(spec, ADDITION, 4)
        logged = {}
        problems = written(*groups, answers=("5", "5", "5")).problems
        reward.problem_of = lambda row: problems[row]
        rewards = reward(
            prompts=None,
            completions=sum(groups, []),
            row=[row for row in range(len(groups)) for _ in range(4)],
            trainer_state=type("State", (), {"global_step": step}),
            log_metric=logged.__setitem__,
        )
        assert logged == {"verifier_calls": reward.verifier_calls}
        return reward.verifier_calls, rewards

    def test_count_the_distinct_answers_asked_about(self):
        assert self.calls("true", self.SURE, self.SPLIT, self.SILENT)[0] == 1 + 3 + 0
        assert self.calls("hybrid-weighted", self.SURE, self.SPLIT)[0] == 4
        assert self.calls("hybrid-weighted(intrinsic_weight=1)", self.SURE, self.SPLIT)[0] == 0

    def test_are_made_only_where_the_vote_is_uncertain(self):
        calls, rewards = self.calls("hybrid-gated(threshold=0.7)", self.SURE, self.SPLIT)
        assert calls == 3 and rewards == [1, 1, 1, 1, 1, 0, 0, 0]
        assert self.calls("hybrid-gated(threshold=0)", self.SURE, self.SPLIT)[0] == 0
        assert self.calls("hybrid-gated(threshold=1)", self.SURE, self.SPLIT)[0] == 3

    def test_are_made_only_at_the_scheduled_steps_and_for_a_share_of_the_rollouts(self):
        spec = "hybrid-scheduled(every=3, share=1)"
        assert [self.calls(spec, self.SURE, self.SPLIT, step=step)[0] for step in range(7)] == [
            4,
            0,
            0,
            4,
            0,
            0,
            4,
        ]
        reward = TaskReward("hybrid-scheduled(share=0.25)", ADDITION, 4)
        texts = written(["1", "2", "3", "4"])
        for step in range(200):
            scored(reward, replace(texts, step=step))
        assert abs(reward.verifier_calls - 200) < 5 * np.sqrt(800 * 0.25 * 0.75)

    def test_ask_the_verifier_about_nothing_else(self, monkeypatch):
        """A gated judge sees the three answers of the split group and no others."""
        loaded = load_model("addition-uncertain")
        reward = TaskReward("hybrid-gated(external=judge(model=addition-overconfident))", ADDITION, 4)
        reward.attach(lambda: loaded.model, loaded.tokenizer)
        seen, judge = [], reward.verifier.judge
        monkeypatch.setattr(
            reward.verifier, "judge", lambda problems, shown: seen.append(shown) or judge(problems, shown)
        )
        batch = written(self.SURE, self.SPLIT, answers=("5", "5"))
        found = reward.score(batch.problems, [[3]] * 2, [[[4]] * 4] * 2, batch.texts)
        assert seen == [[[None] * 4, ["5", "6", "7", None]]]
        assert (
            found.tolist() == [[1, 1, 1, 1], judge(batch.problems[1:], [["5", "6", "7", None]])[0].tolist()]
            and reward.verifier_calls == 3
        )
        assert 0 < reward.cost[0] <= 2 * 4 and reward.cost[1] > 0, (
            "one greedy answer to the one prompt asked about, here twice"
        )


@pytest.mark.parametrize(
    "spec",
    [
        "kl-previous",
        "weighted-majority",
        "trajectory-consistency",
        "hybrid-gated(external=noisy-verifier, threshold=0.9)",
    ],
)
def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(spec, tmp_path):
    """Curve, tokens and verifier calls, from the checkpoint of step 2: what the reward remembers and draws
    comes back.
    """
    settings = replace(SETTINGS, reward=spec, max_steps=3, prompts_per_step=2)
    whole = measure("addition-uncertain", ADDITION, settings, output_dir=tmp_path, keep_checkpoints=True)
    for path in [
        *(tmp_path / "checkpoint-3").iterdir(),
        tmp_path / "cost.json",
        tmp_path / "trajectory.json",
    ]:
        path.unlink()
    again = measure("addition-uncertain", ADDITION, settings, output_dir=tmp_path)
    assert again.trajectory.curve() == whole.trajectory.curve()
    assert {**again.cost, "seconds": 0} == {**whole.cost, "seconds": 0}
    assert ("verifier_calls" in whole.cost) == spec.startswith("hybrid")
    assert not list(tmp_path.glob("previous-*")) and not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.parametrize(
    "spec",
    [
        "majority",
        "true",
        "probability",
        "rephrased-majority",
        "kl-reference",
        "weighted-majority",
        "hybrid-gated",
        "trajectory-consistency",
        "self-verification",
        "judge(model=addition-overconfident)",
    ],
)
def test_the_probe_takes_the_gradient_of_the_same_reward(spec, models):
    """Its kernel is empty exactly where the reward of its rollouts is constant in every group, and the
    reward's own cost is counted.
    """
    loaded, cost = clone(models["addition"]), Cost()
    asked = ADDITION.problems[4321::97][:4]
    kernel = measure_kernel(loaded, ADDITION, asked, replace(SETTINGS, reward=spec), cost, NullProgress())
    problems = with_wordings(spec, ADDITION, asked)
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        [p.prompt for p in problems],
        rollouts=4,
        max_new_tokens=4,
        generator=seeded(0, 12),
    )
    reward = attached(spec, ADDITION, loaded)
    rewards = reward.score(problems, drawn.prompt_ids, drawn.token_ids, drawn.texts)
    assert (kernel.clock == 0) == (np.ptp(rewards, axis=1).max() == 0)
    moving = [
        pair for row, *pair in zip(rewards, drawn.prompt_ids, drawn.token_ids, strict=True) if np.ptp(row)
    ]
    policy_gradients = sum(len(prompt) + len(ids) for prompt, group in moving for ids in group)
    assert (cost.generated_tokens, cost.forward_tokens) == (
        drawn.generated_tokens + reward.cost[0],
        drawn.forward_tokens + reward.cost[1] + policy_gradients,
    )


def test_a_users_reward_is_measured_by_its_name(tmp_path):
    """Registered by the decorator, with a setting: a reward for long answers lengthens them."""

    @register_reward
    @dataclass(frozen=True)
    class LengthReward(Reward):
        power: float = 1.0
        card = RewardCard(
            name="test-length",
            branch="intrinsic: certainty",
            known_as=(),
            unified=None,
            limit="long",
            failure_mode="length",
            needs=("tokens",),
            source="a test",
        )

        def group(self, answers=None, is_correct=None, *, tokens=None, **_):
            return tokens.lengths**self.power

    try:
        settings = replace(
            SETTINGS, reward="test-length(power=2)", max_steps=8, prompts_per_step=8, eval_every=8, rollouts=8
        )
        found = measure("addition-uncertain", ADDITION, settings, output_dir=tmp_path)
        assert found.settings.reward == "test-length(power=2.0)"
        assert found.trajectory["mean_length"][-1] > found.trajectory["mean_length"][0] + 0.2
    finally:
        del REWARDS["test-length"]
