"""Measured runs: repeatable, resumable to the same curve after Ctrl-C and after kill -9, and fed with the
rewards they claim.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import weights

from llm_bridge import Problem, RunSettings, get_task, load_model, majority_reward, measure
from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.tasks import read_answers
from llm_bridge.training.reward_function import task_reward
from llm_bridge.training.trainer import grpo_trainer, schedule
from sharpening import InputError, get_reward

MODEL, TASK = "addition-uncertain", get_task("addition")
SETTINGS = RunSettings(
    prompts_per_step=4, rollouts=4, learning_rate=2e-3, max_steps=9, eval_every=2, eval_prompts=8
)
ARGUMENTS = [
    "measure",
    MODEL,
    "--prompts-per-step",
    "4",
    "--rollouts",
    "4",
    "--learning-rate",
    "2e-3",
    "--max-steps",
    "9",
    "--eval-every",
    "2",
    "--eval-prompts",
    "8",
]


def tokens(measurement):
    return {name: value for name, value in measurement.cost.items() if name != "seconds"}


def assert_same(first, second):
    assert first.trajectory.step.tolist() == second.trajectory.step.tolist()
    assert first.trajectory.curve() == second.trajectory.curve()
    assert first.trajectory.floor == second.trajectory.floor
    assert tokens(first) == tokens(second)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The uninterrupted run, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return measure(MODEL, TASK, SETTINGS, output_dir=folder), folder


class TestOneRun:
    def test_has_every_evaluation_and_moves(self, whole):
        found, _ = whole
        assert found.trajectory.step.tolist() == [0, 2, 4, 6, 8, 9] and not found.interrupted
        assert found.trajectory["lm_loss"][0] != found.trajectory["lm_loss"][-1]
        assert {
            "accuracy",
            "reward_accuracy",
            "mode_retention",
            "excess_kl",
            "kl",
            "entropy",
            "lm_loss",
        } <= set(found.trajectory.metrics)
        assert found.trajectory["kl"][-1] > found.trajectory["kl"][0]

    def test_counts_its_tokens(self, whole):
        """Every step draws 16 completions of 1 to 4 tokens, and runs prompts (2 to 6 tokens) and completions
        backward once.
        """
        cost = whole[0].cost
        assert 9 * 16 * (1 + 3) <= cost["backward_tokens"] <= 9 * 16 * (4 + 6)
        assert cost["forward_tokens"] > cost["backward_tokens"] and cost["generated_tokens"] >= 9 * 16
        assert cost["seconds"] > 0

    def test_leaves_its_curve_and_no_checkpoints(self, whole):
        assert {path.name for path in whole[1].iterdir()} >= {
            "run.json",
            "trajectory.json",
            "cost.json",
            "collapse_monitor.json",
        }
        assert not list(whole[1].glob("checkpoint-*")) and not list(whole[1].glob("*.tmp"))

    def test_is_repeated_exactly(self, whole, tmp_path):
        torch.manual_seed(123)
        assert_same(measure(MODEL, TASK, SETTINGS, output_dir=tmp_path), whole[0])

    def test_is_read_back_without_training(self, whole):
        found, folder = whole
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        started = time.monotonic()
        again = measure(MODEL, TASK, SETTINGS, output_dir=folder)
        assert time.monotonic() - started < 1
        assert_same(again, found)
        assert again.cost == found.cost
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    def test_another_seed_is_another_run(self, whole, tmp_path):
        other = measure(MODEL, TASK, replace(SETTINGS, seed=1, max_steps=2), output_dir=tmp_path)
        assert other.trajectory["perplexity"][1] != whole[0].trajectory["perplexity"][1]

    def test_shows_each_step_once(self, tmp_path):
        class Bars(NullProgress):
            shown, total = 0, None

            def start(self, description, total=None):
                self.total = total
                return self

            def advance(self, n=1):
                self.shown += n

            def close(self):
                pass

        bars = Bars()
        measure(MODEL, TASK, replace(SETTINGS, max_steps=2), output_dir=tmp_path, progress=bars)
        assert bars.shown == bars.total == 2


class TestResume:
    def start(self, folder):
        return subprocess.Popen(
            [sys.executable, "-m", "llm_bridge.cli", *ARGUMENTS, "--output", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_ENABLE_X64": "0"},
        )

    def wait_for_step(self, process, folder, step):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            record = folder / "collapse_monitor.json"
            if record.is_file() and json.loads(record.read_text())["rows"][-1]["step"] >= step:
                return
            time.sleep(0.005)
        pytest.fail(f"the run did not reach step {step}: {process.communicate()}")

    def test_after_ctrl_c(self, whole, tmp_path):
        process = self.start(tmp_path)
        self.wait_for_step(process, tmp_path, 2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 3, err
        assert "resume" in err and "Traceback" not in err
        assert not (tmp_path / "trajectory.json").exists()
        (checkpoint,) = sorted(tmp_path.glob("checkpoint-*"))[-1:]
        assert 2 <= int(checkpoint.name.split("-")[1]) < 9
        assert_same(measure(MODEL, TASK, SETTINGS, output_dir=tmp_path), whole[0])

    @pytest.mark.parametrize("seed", [0, 1])
    def test_after_kill_9(self, whole, tmp_path, seed):
        rng = np.random.default_rng([17, seed])
        process = self.start(tmp_path)
        self.wait_for_step(process, tmp_path, [0, 4][seed])
        time.sleep(rng.uniform(0, 0.4))
        process.kill()
        process.communicate(timeout=60)
        # What a kill can leave behind: a checkpoint without its last file, and a scratch file.
        (tmp_path / "checkpoint-8").mkdir(exist_ok=True)
        (tmp_path / "checkpoint-8" / "trainer_state.json").write_text('{"global_step": 8, "log')
        (tmp_path / "collapse_monitor.tmp").write_text('{"rows": [')
        assert_same(measure(MODEL, TASK, SETTINGS, output_dir=tmp_path), whole[0])

    def test_after_a_kill_between_the_last_step_and_the_record(self, whole, tmp_path):
        measure(MODEL, TASK, SETTINGS, output_dir=tmp_path, keep_checkpoints=True)
        (tmp_path / "cost.json").unlink()
        assert_same(measure(MODEL, TASK, SETTINGS, output_dir=tmp_path), whole[0])

    def test_seconds_add_up(self, tmp_path):
        short = replace(SETTINGS, max_steps=4)
        first = measure(MODEL, TASK, short, output_dir=tmp_path, keep_checkpoints=True)
        (tmp_path / "cost.json").unlink()
        (tmp_path / "seconds.json").write_text("1000.0")
        assert measure(MODEL, TASK, short, output_dir=tmp_path).cost["seconds"] > 1000 > first.cost["seconds"]


class TestFolders:
    def contents(self, folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"learning_rate": 1e-3}, {"reward": "true"}, {"max_steps": 10}]
    )
    def test_of_another_run_are_refused_and_left_alone(self, whole, change):
        before = self.contents(whole[1])
        with pytest.raises(InputError, match=f"other settings \\({next(iter(change))}\\)"):
            measure(MODEL, TASK, replace(SETTINGS, **change), output_dir=whole[1])
        with pytest.raises(InputError, match="other settings \\(model\\)"):
            measure("addition-weak", TASK, SETTINGS, output_dir=whole[1])
        assert self.contents(whole[1]) == before

    def test_that_cannot_be_written_are_refused(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InputError, match="cannot be written"):
            measure(MODEL, TASK, SETTINGS, output_dir=tmp_path / "file" / "run")
        with pytest.raises(InputError, match="cannot be written"):
            measure(MODEL, TASK, SETTINGS, output_dir=tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    def test_are_not_claimed_by_a_run_that_cannot_start(self, tmp_path):
        with pytest.raises(InputError, match="model"):
            measure("no-such-model", TASK, SETTINGS, output_dir=tmp_path / "run")
        with pytest.raises(InputError, match="cannot spell"):
            measure(
                MODEL, get_task("capitals"), replace(SETTINGS, eval_prompts=4), output_dir=tmp_path / "run"
            )
        assert not (tmp_path / "run").exists()


class TestSchedule:
    def rows(self, **changes):
        train, evaluation = schedule(TASK, replace(SETTINGS, **changes))
        return [problem.prompt for problem in train], [problem.prompt for problem in evaluation]

    @pytest.mark.parametrize("size", [4, 8, 20])
    def test_every_epoch_is_a_fresh_permutation(self, size):
        train, _ = self.rows(dataset_size=size, max_steps=10 * size // 4)
        epochs = [train[i : i + size] for i in range(0, 10 * size, size)]
        assert len(train) == 10 * size and {frozenset(epoch) for epoch in epochs} == {frozenset(epochs[0])}
        assert (
            all(len(set(epoch)) == size for epoch in epochs) and len({tuple(epoch) for epoch in epochs}) > 1
        )

    def test_a_step_never_holds_a_prompt_twice_and_all_are_visited(self):
        train, _ = self.rows(dataset_size=10, max_steps=60)
        assert all(len(set(train[i : i + 4])) == 4 for i in range(0, len(train), 4))
        assert len(set(train)) == 10

    @pytest.mark.parametrize("size", [None, 8])
    def test_evaluation_prompts_are_never_trained_on(self, size):
        train, evaluation = self.rows(dataset_size=size, max_steps=2000, eval_prompts=256)
        assert len(set(evaluation)) == 256 and not set(train) & set(evaluation)

    def test_depends_on_the_seed_and_nothing_else(self):
        first = self.rows(max_steps=20)
        assert first == self.rows(
            max_steps=20, learning_rate=1.0, reward="true", rollouts=16, temperature=0.5, optimizer="sgd"
        )
        other = self.rows(max_steps=20, seed=1)
        assert other[1] == first[1] and other[0] != first[0]

    def test_a_longer_run_begins_like_a_shorter_one(self):
        for size in (None, 10):
            assert (
                self.rows(dataset_size=size, max_steps=40)[0][:20]
                == self.rows(dataset_size=size, max_steps=5)[0]
            )

    def test_fresh_prompts_are_uniform_over_the_pool(self):
        train, _ = self.rows(max_steps=10000, prompts_per_step=4, eval_prompts=256)
        counts = Counter(Counter(train).values())
        expected = 40000 / 9744
        assert len(set(train)) == pytest.approx(9744 * (1 - np.exp(-expected)), rel=0.01) and max(counts) < 25


def test_the_draws_of_a_step_depend_on_the_seed_and_the_step_alone(tmp_path):
    """So that steps are independent, and a resumed run draws what the interrupted one would have drawn."""
    loaded = load_model("addition-weak")
    prompts = [prompt for prompt in ("12+34=", "7+5=") for _ in range(4)]

    def draw(seed, *steps):
        settings = replace(SETTINGS, seed=seed)
        with quiet_libraries():
            trainer, rollouts = grpo_trainer(loaded, TASK, settings, schedule(TASK, settings)[0], tmp_path)
        torch.manual_seed(len(steps))
        before, found = torch.get_rng_state(), []
        for trainer.state.global_step in steps:
            found.append(rollouts(prompts, trainer)["completion_ids"])
        assert torch.equal(torch.get_rng_state(), before)
        return found

    first, second, third = draw(0, 0, 1, 2)
    assert first != second != third != first
    assert draw(0, 2) == [third] and draw(1, 2) != [third]


def slow_majority(texts):
    """Each rollout's share of the vote, by counting: an oracle that imports nothing of ours."""
    labels = [text.strip().lstrip("0") or "0" if text.strip().isdigit() else None for text in texts]
    votes = Counter(label for label in labels if label is not None)
    leaders = [label for label, count in votes.items() if count == max(votes.values())]
    return [1 / len(leaders) if label in leaders else 0.0 for label in labels]


GROUPS = [
    ["3", "3", "5", "x"],
    ["3", "5", "5", "3"],
    ["1", "2", "3", "4"],
    ["", "x", "-1", "1 2"],
    ["07", "7", "x", "x"],
]


class TestRewardsForTRL:
    def test_ties_are_shared_and_no_answer_earns_nothing(self):
        problems = TASK.problems[:5]
        reward = task_reward("majority", TASK, 4, lambda row: problems[row])
        rows = [row for row in range(5) for _ in range(4)]
        found = reward(prompts=None, completions=[text for group in GROUPS for text in group], row=rows)
        assert found == [1, 1, 0, 0] + [0.5] * 4 + [0.25] * 4 + [0] * 4 + [1, 1, 0, 0]
        assert found == [value for group in GROUPS for value in slow_majority(group)]
        own = majority_reward(TASK.extract, 4)
        assert own(prompts=None, completions=[text for group in GROUPS for text in group]) == found
        chat = [[{"role": "assistant", "content": text}] for group in GROUPS for text in group]
        assert own(prompts=None, completions=chat, trainer_state=None) == found

    @pytest.mark.parametrize("name", ["majority", "true"])
    def test_are_the_cores_on_the_same_completions(self, name):
        problems, rng = TASK.split(8)[1], np.random.default_rng(3)
        texts = [
            [problem.answer if rng.random() < 0.4 else str(rng.integers(6)) for _ in range(6)]
            for problem in problems
        ]
        answers = read_answers(problems, texts, TASK)
        expected = np.asarray(get_reward(name).group(answers.ids, answers.correct)).reshape(-1)
        found = task_reward(name, TASK, 6, lambda row: problems[row])(
            None, sum(texts, []), [row for row in range(8) for _ in range(6)]
        )
        assert found == expected.tolist() and len(set(found)) > 1
        if name == "true":
            assert found == [
                float(text == problem.answer)
                for problem, group in zip(problems, texts, strict=True)
                for text in group
            ]

    def test_split_groups_are_refused(self):
        for reward, options in (
            (majority_reward(TASK.extract, 4), {}),
            (task_reward("majority", TASK, 4, lambda row: Problem("1+1=", "2")), {"row": [0] * 6}),
        ):
            with pytest.raises(InputError, match="whole groups of 4"):
                reward(prompts=None, completions=["1"] * 6, **options)

    @pytest.mark.parametrize("name", ["majority", "true"])
    def test_one_real_step_climbs_the_gradient_of_exactly_that_reward(self, tmp_path, name):
        """SGD from TRL moves along sum A log π / tokens of the recorded completions, A by group (clipping
        keeps the direction).
        """
        settings = replace(
            SETTINGS, optimizer="sgd", max_steps=1, temperature=1.3, reward=name, prompts_per_step=8
        )
        loaded, records = load_model("addition-weak"), []
        train, _ = schedule(TASK, settings)
        before = weights(loaded.model)
        with quiet_libraries():
            trainer, _ = grpo_trainer(loaded, TASK, settings, train, tmp_path)
            inner = trainer.reward_funcs[0]

            def recording(prompts, completions, **rest):
                records.append(
                    (
                        prompts,
                        completions,
                        rest["completion_ids"],
                        inner(prompts=prompts, completions=completions, **rest),
                    )
                )
                return records[-1][-1]

            trainer.reward_funcs[0] = recording
            trainer.train()
        ((prompts, completions, ids, rewards),) = records
        assert prompts[::4] == [problem.prompt for problem in train] and all(
            prompts[i] == prompts[i // 4 * 4] for i in range(32)
        )
        if name == "majority":
            assert rewards == [
                value for i in range(0, 32, 4) for value in slow_majority(completions[i : i + 4])
            ]
        else:
            assert rewards == [
                float(eval(prompt[:-1]) == int(text) if text.isdigit() else 0)
                for prompt, text in zip(prompts, completions, strict=True)
            ]
        table = np.reshape(rewards, (8, 4))
        advantages = (
            (table - table.mean(1, keepdims=True)) / (table.std(1, ddof=1, keepdims=True) + 1e-4)
        ).reshape(-1)
        assert np.any(advantages)
        after = weights(loaded.model)
        loaded.model.load_state_dict(before)
        objective = 0.0
        for prompt, tokens_, advantage in zip(prompts, ids, advantages, strict=True):
            head = loaded.tokenizer(prompt)["input_ids"]
            logits = (
                loaded.model(input_ids=torch.tensor([head + list(tokens_)])).logits[0, len(head) - 1 : -1]
                / 1.3
            )
            objective = (
                objective + advantage * logits.log_softmax(-1).gather(1, torch.tensor(tokens_)[:, None]).sum()
            )
        objective.backward()
        gradient = torch.cat([p.grad.flatten() for p in loaded.model.parameters()])
        names = [key for key, _ in loaded.model.named_parameters()]
        moved = torch.cat([(after[key] - before[key]).flatten() for key in names])
        assert torch.nn.functional.cosine_similarity(gradient, moved, dim=0) > 0.999
