"""Completions cut off at the length limit: their share is told everywhere, and whether they vote is a setting
with TRL's name and meaning.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from cli_helpers import invoke
from tiny import markov_model, save

from llm_bridge import Evaluator, RunSettings, TaskReward, get_task, measure
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.probe import probe_model
from llm_bridge.sampling.rollouts import sample
from llm_bridge.tasks import read_answers
from llm_bridge.training.trainer import grpo_trainer, schedule
from sharpening import InputError

TASK = get_task("addition")
SETTINGS = RunSettings(
    prompts_per_step=4, rollouts=8, max_steps=2, eval_every=1, eval_prompts=8, max_new_tokens=2
)


def wordy():
    """After "=" a 3, which stops half of the time and else goes on with 3 for ever."""
    return markov_model({"=": {"3": 0.9999}, "3": {"3": 0.5, "<eos>": 0.5}})


@pytest.fixture(scope="module")
def model():
    return wordy()


@pytest.mark.parametrize("masked", [False, True])
class TestEvaluation:
    def test_tells_the_share_and_lets_them_vote_or_not(self, model, masked):
        """At two tokens the first is 3; the second is <eos> or 3: "3" whole, or "33" cut off."""
        problems = TASK.split(64)[1]
        evaluator = Evaluator(
            TASK, problems, model.tokenizer, rollouts=64, max_new_tokens=2, mask_truncated_completions=masked
        )
        found = evaluator(model.model, 1)
        assert abs(found["truncated"] - 0.5) < 5 * 0.5 / 64
        assert found["no_answer_rate"] == pytest.approx(found["truncated"] if masked else 0.0, abs=1e-3)

    def test_the_probe_says_it(self, model, masked):
        settings = replace(SETTINGS, mask_truncated_completions=masked)
        prior = probe_model(
            model, TASK, settings, prompts=8, noise_prompts=2, draws=1, noise=np.zeros(1)
        ).prior
        assert abs(prior.truncated - 0.5) < 0.1
        assert prior.no_answer == pytest.approx(prior.truncated if masked else 0.0, abs=2e-3)
        assert list(prior.as_dict())[-1] == "truncated"

    def test_of_whole_completions_there_is_none(self, model, masked):
        evaluator = Evaluator(
            TASK,
            TASK.split(4)[1],
            model.tokenizer,
            rollouts=8,
            max_new_tokens=40,
            mask_truncated_completions=masked,
        )
        found = evaluator(model.model, 1)
        assert found["truncated"] == 0 == found["no_answer_rate"]

    def test_the_reward_and_trls_loss_follow_the_setting(self, model, masked, tmp_path):
        settings = replace(SETTINGS, mask_truncated_completions=masked)
        train, _ = schedule(TASK, settings)
        twin = wordy()
        with quiet_libraries():
            trainer, _ = grpo_trainer(twin, TASK, settings, train, tmp_path, saves=False)
        assert trainer.args.mask_truncated_completions is masked
        reward, end = trainer.reward_funcs[0], twin.tokenizer.eos_token_id
        three = twin.tokenizer.convert_tokens_to_ids("3")
        ids = [[three, three]] * 5 + [[three, end]] * 3
        found = reward(prompts=None, completions=["33"] * 5 + ["3"] * 3, row=[0] * 8, completion_ids=ids)
        assert found == ([0.0] * 5 + [1.0] * 3 if masked else [1.0] * 5 + [0.0] * 3)

    @pytest.mark.parametrize("reward", ["majority", "weighted-majority", "trajectory-consistency"])
    def test_a_run_measures_it(self, masked, tmp_path, reward):
        path = save(wordy(), tmp_path / "model")
        settings = replace(SETTINGS, mask_truncated_completions=masked, reward=reward)
        measured = measure(path, TASK, settings, output_dir=tmp_path / "run")
        found = measured.trajectory
        assert ("count as no answer" if masked else "vote with what is read") in measured.notes[0]
        assert 0.2 < found["truncated"][0] < 0.8
        assert found["no_answer_rate"][0] == pytest.approx(found["truncated"][0] if masked else 0, abs=0.02)


def test_labels_of_unread_completions_are_none():
    answers = read_answers(TASK.problems[:1], [["3", "33", "33"]], TASK, [[False, True, False]])
    assert [answers.labels[i] if i >= 0 else None for i in answers.ids[0]] == ["3", None, "33"]


def test_trls_own_share_is_ours(tmp_path):
    twin, shares, told = wordy(), [], []
    with quiet_libraries():
        trainer, counter = grpo_trainer(
            twin, TASK, SETTINGS, schedule(TASK, SETTINGS)[0], tmp_path, saves=False
        )
        counter.heard = lambda step, drawn: shares.append(
            np.mean(drawn.truncated(twin.model, twin.tokenizer))
        )
        compute = trainer.compute_loss

        def reading(*args, **kwargs):
            told.append(trainer._metrics["train"]["completions/clipped_ratio"][-1])
            return compute(*args, **kwargs)

        trainer.compute_loss = reading
        trainer.train()
    assert told == pytest.approx(shares) and len(told) == 2


def test_a_reward_that_cannot_see_them_says_so(model):
    reward = TaskReward("majority", TASK, 2, lambda row: TASK.problems[row], mask_truncated_completions=True)
    with pytest.raises(InputError, match="attach"):
        reward(prompts=None, completions=["1", "2"], row=[0, 0])
    reward.attach(lambda: model.model, model.tokenizer)
    with pytest.raises(InputError, match="completion_ids"):
        reward(prompts=None, completions=["1", "2"], row=[0, 0])


def test_the_draws_are_the_same_either_way(model, tmp_path):
    drawn = sample(model.model, model.tokenizer, ["1+2="], rollouts=4, max_new_tokens=2)
    assert len(drawn.truncated(model.model, model.tokenizer)[0]) == 4
    path = save(model, tmp_path / "model")
    words = (
        "--max-new-tokens 2 --max-steps 1 --eval-prompts 4 --prompts-per-step 4 --learning-rate 5e-4".split()
    )
    curves = []
    for number, extra in enumerate(
        ([], ["--mask-truncated-completions"], ["--no-mask-truncated-completions"])
    ):
        place = ["--json", tmp_path / "out.json", "--output", tmp_path / str(number)]
        assert invoke("measure", path, "--task", "addition", *words, *extra, *place).exit_code == 0
        document = json.loads((tmp_path / "out.json").read_text())
        assert document["settings"]["mask_truncated_completions"] is (number == 1)
        curves.append(document["curve"])
    assert curves[0] == curves[2] != curves[1]
    assert curves[0]["truncated"][0] == curves[1]["truncated"][0]
