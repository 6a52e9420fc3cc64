"""What a reward needs of its task and its settings, told before any work; questions and their rephrasings in
one step.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from llm_bridge import RunSettings, TaskReward, get_task, measure
from llm_bridge.training.reward_function import check_reward
from llm_bridge.training.trainer import schedule
from sharpening import InputError

ADDITION, COUNTDOWN = get_task("addition"), get_task("countdown")
SETTINGS = RunSettings(
    prompts_per_step=4, rollouts=4, learning_rate=2e-3, max_steps=1, eval_every=1, eval_prompts=8
)


class TestRefusals:
    @pytest.mark.parametrize(
        ("spec", "task", "named"),
        [
            ("true", "unlabelled", "true answers"),
            ("next-token", "unlabelled", "true answers"),
            ("hybrid-gated", "unlabelled", "true answers"),
            ("rephrased-majority", "unlabelled", "rephrasings"),
            ("symbolic-verifier", "capitals", "symbolic cannot judge task capitals"),
            ("exhaustive-teacher", "addition", "teacher cannot judge task addition"),
            ("antiderivative", "countdown", "cannot judge"),
            ("judge", "addition", "needs a model"),
            ("noisy-verifier(verifier=judge)", "addition", "needs a model"),
            ("judge(model=/no/such/folder)", "addition", "neither a folder"),
            (
                "hybrid-weighted(intrinsic=weighted-majority, external=probability)",
                "addition",
                "other models' votes",
            ),
            (
                "hybrid-weighted(intrinsic=symbolic-verifier, external=exhaustive-teacher)",
                "countdown",
                "several verifiers",
            ),
        ],
    )
    def test_what_a_task_cannot_give_is_told_before_any_work(self, tmp_path, spec, task, named):
        path = tmp_path / "unlabelled.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"{a}+{a}="}) + "\n" for a in range(40)))
        task = get_task(path if task == "unlabelled" else task)
        with pytest.raises(InputError, match=named):
            check_reward(spec, task)
        with pytest.raises(InputError, match=named):
            measure("addition-uncertain", task, replace(SETTINGS, reward=spec), output_dir=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_settings_know_the_rewards(self):
        assert (
            RunSettings(reward="TTRL").reward == "majority"
            and RunSettings(reward="Self-certainty").reward == "self-certainty"
        )
        assert RunSettings(reward="noisy-verifier( tpr=0.9,fpr=0.10 )").reward == "noisy-verifier"
        for options, named in [
            ({"reward": "majorty"}, "known rewards"),
            ({"reward": "noisy-verifier(tpr=2)"}, "0..1"),
            ({"reward": "rephrased-majority", "prompts_per_step": 3}, "even"),
        ]:
            with pytest.raises(InputError, match=named):
                RunSettings(**options)

    def test_a_model_that_was_never_named(self):
        with pytest.raises(InputError, match="attach"):
            TaskReward("probability", ADDITION, 2, lambda row: ADDITION.problems[row])(
                prompts=None, completions=["1", "2"], row=[0, 0]
            )

    def test_file_rephrasings_serve(self, tmp_path):
        path = tmp_path / "task.jsonl"
        path.write_text(
            "".join(json.dumps({"prompt": f"{a}+1=", "rephrasings": [f"1+{a}="]}) + "\n" for a in range(9))
        )
        check_reward("rephrased-majority", get_task(path))
        path.write_text(json.dumps({"prompt": "1+1=", "rephrasings": "1 + 1"}) + "\n")
        with pytest.raises(InputError, match="line 1 .* rephrasings"):
            get_task(path)


class TestRephrasings:
    def test_a_step_holds_each_question_in_two_wordings_and_no_evaluation_prompt(self):
        settings = replace(
            SETTINGS, reward="rephrased-majority", max_steps=300, dataset_size=None, eval_prompts=2000
        )
        train, evaluation = schedule(ADDITION, settings)
        plain, _ = schedule(ADDITION, replace(settings, reward="majority", prompts_per_step=2))
        assert train[::2] == plain and len(train) == 1200
        assert not {p.prompt for p in train} & {p.prompt for p in evaluation}
        other = [(p.data["b"], p.data["a"]) for p in train[::2]]
        swapped = [q.prompt == f"{a}+{b}=" for q, (a, b) in zip(train[1::2], other, strict=True)]
        assert all(
            s or q.prompt == p.prompt for p, q, s in zip(train[::2], train[1::2], swapped, strict=True)
        )
        assert 0.7 < np.mean(swapped) < 0.95, "a fifth of the other wordings is held out"
        assert all(
            p.data["question"] == q.data["question"] and p.answer == q.answer
            for p, q in zip(train[::2], train[1::2], strict=True)
        )
        assert schedule(ADDITION, replace(settings, max_steps=20))[0] == train[:80]

    def test_of_every_built_in_task_ask_the_same(self):
        for name, count in (("addition", 1), ("modmul", 1), ("worked-addition", 1), ("capitals", 2)):
            task = get_task(name)
            for problem in task.problems[::97]:
                assert len(task.rephrase(problem)) == count
                if name != "capitals":
                    assert eval(task.rephrase(problem)[0][:-1]) == int(problem.answer)
        for problem in COUNTDOWN.problems[::97]:
            for text in COUNTDOWN.rephrase(problem):
                numbers, _, target = text[:-1].partition(">")
                assert (
                    sorted(map(int, numbers.split(","))) == list(problem.data["numbers"])
                    and target == problem.answer
                )
