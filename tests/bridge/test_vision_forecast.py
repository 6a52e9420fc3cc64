"""Forecasts of runs on images: by a trainer, by the command line, and what they say of a model that stops looking."""

import json

import numpy as np
import pytest
import torch
from cli_helpers import assert_refused, invoke
from datasets import Dataset
from test_pictures import lines
from trl import GRPOConfig, GRPOTrainer
from vision import small_folder, small_model, write_png

from llm_bridge import Pilot, describe, forecast_trainer, get_task, load_model, majority_reward
from llm_bridge.forecast.probe import policy_gradient
from llm_bridge.models.chat import rendered
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.models.vision import joined
from llm_bridge.report.pictures import pictures_section
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.greedy import Reply
from sharpening import InputError

DOTS = get_task("dots")


def trainer_of(folder, rows, **options):
    model, processor = small_model()
    plain = dict(
        output_dir=str(folder),
        max_steps=8,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        per_device_train_batch_size=16,
        num_generations=4,
        max_completion_length=1,
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
    )
    return GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=majority_reward(lambda text: text.strip() or None, 4),
        train_dataset=Dataset.from_list(rows),
        args=GRPOConfig(**plain | options),
    )


def row_of(problem, parts: bool = False):
    question, shown = f"{problem.data['word']} how many ?", problem.prompt.pictures[0].image()
    if not parts:
        return {"prompt": [{"role": "user", "content": question}], "image": shown, "answer": problem.answer}
    content = [{"type": "image", "text": None}, {"type": "text", "text": question}]
    return {"prompt": [{"role": "user", "content": content}], "images": [shown], "answer": problem.answer}


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        (False, {}),
        pytest.param(
            True, {"top_p": 0.9, "gradient_accumulation_steps": 2, "max_steps": 2}, marks=pytest.mark.thorough
        ),
    ],
)
def test_a_trainer_on_images_is_forecast_and_left_as_it_was(tmp_path, parts, options):
    rows = [row_of(problem, parts) for problem in DOTS.problems[:24]]
    trainer = trainer_of(tmp_path, rows, **options)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    found = forecast_trainer(trainer, prompts=6, rollouts=4, gradient_prompts=4, tell=lambda sentence: None)
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
    assert any("images (they had texts alone)" in kind for kind in found.calibration["unseen"])
    record = found.pilot_records[0]
    assert len(record["metrics"]["blind_retention"]) == len(record["displacement"])
    assert 1 <= len(record["shown"]) <= 4 and record["shown"][0]["images"][0].startswith(
        "data:image/png;base64,"
    )
    assert Pilot.from_dict(json.loads(json.dumps(record))).as_dict() == record
    assert found.verdict == "no_signal" or any("`blind_retention`" in reason for reason in found.reasons)
    assert found.coupling["clock"] >= 0 and found.prior["no_answer"] >= 0
    page = pictures_section(found)
    assert page.count("data:image/png;base64,") == len(record["shown"]) and "What it sees, and says" in page
    trainer.train()
    assert trainer.state.global_step == trainer.args.max_steps


def test_data_sets_that_mix_kinds_or_hold_bad_images_are_refused(tmp_path):
    rows = [row_of(problem, parts=True) for problem in DOTS.problems[:12]]
    text = {
        "prompt": [{"role": "user", "content": [{"type": "text", "text": "sum ?"}]}],
        "images": [],
        "answer": "1",
    }
    with pytest.raises(InputError, match="some of its prompts hold images and some do not"):
        forecast_trainer(trainer_of(tmp_path, [*rows, text, text]), prompts=6, tell=lambda sentence: None)
    twice = [row | {"images": row["images"] * 2} for row in rows]
    with pytest.raises(InputError, match="1 of them have no place"):
        forecast_trainer(trainer_of(tmp_path, twice), prompts=6, tell=lambda sentence: None)


def test_a_gradient_is_that_of_each_completion_alone():
    model, processor = small_model()
    prompt = rendered(processor, DOTS.problems[0].prompt)
    (ids,) = prompt_token_ids(processor.tokenizer, [prompt])
    completions, advantages = [[5, 1], [7], [6, 1]], np.array([1.0, -0.5, -0.5])
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = policy_gradient(model, processor.tokenizer, ids, completions, advantages, 1.0, parameters, Cost())
    total = 0.0
    for completion, advantage in zip(completions, advantages, strict=True):
        whole = torch.tensor([[*ids, *completion]])
        logits = model(input_ids=whole, **joined([ids], model)).logits[0, len(ids) - 1 : -1]
        total = total + advantage * logits.log_softmax(-1).gather(1, whole[0, len(ids) :, None]).sum()
    # A layer behind the features that are read has no gradient.
    expected = torch.autograd.grad(total / 5, parameters, allow_unused=True, materialize_grads=True)
    flat = torch.cat([part.reshape(-1) for part in expected])
    assert torch.allclose(found, flat, atol=1e-5 * flat.abs().max()) and flat.abs().max() > 0
    tower = next(
        i for i, (name, _) in enumerate(model.named_parameters()) if "patch_embedding.weight" in name
    )
    assert expected[tower].abs().max() > 0


class TestAttractor:
    PROMPTS = [f"{word} how many ?" for word in ("ants", "eyes", "legs", "suns") for _ in range(6)]

    def replies(self, now, grey):
        return [Reply(answer, answer, True, blind) for answer, blind in zip(now, grey, strict=True)]

    def test_answers_of_a_model_that_stopped_looking_are_named(self):
        prior = [
            {"ants": "9", "eyes": "2", "legs": "4", "suns": "1"}[prompt.split()[0]] for prompt in self.PROMPTS
        ]
        seen = [str(place % 8 + 1) for place in range(24)]
        initial, fallen = self.replies(seen, ["0"] * 24), self.replies(prior, prior)
        found = describe(self.PROMPTS, fallen, initial)[0]
        assert (found.kind, found.share) == ("blind", 1.0) and "does not look" in found.text

    def test_one_that_never_looked_has_not_fallen_into_it(self):
        before = [str(place % 8 + 1) for place in range(24)]
        after = [str(place % 7 + 2) for place in range(24)]
        kinds = [
            one.kind
            for one in describe(self.PROMPTS, self.replies(after, after), self.replies(before, before))
        ]
        assert "blind" not in kinds

    def test_one_answer_for_all_is_more_than_blindness(self):
        seen = [str(place % 8 + 1) for place in range(24)]
        found = describe(self.PROMPTS, self.replies(["9"] * 24, ["9"] * 24), self.replies(seen, ["0"] * 24))
        assert found[0].kind == "answer"


class TestCommandLine:
    RUN = (
        "--rollouts 4 --prompts-per-step 4 --learning-rate 1e-3 --max-steps 4 --eval-prompts 6 --dataset-size 8"
        " --max-new-tokens 1 --json -"
    ).split()

    def test_forecast_of_a_file_with_images(self, tmp_path):
        rows = []
        for place in range(16):
            write_png(tmp_path / f"data/{place}.png", place)
            rows.append({"prompt": "ants how many ?", "image": f"{place}.png", "answer": str(place % 9 + 1)})
        file, folder = lines(tmp_path / "data", *rows), small_folder(tmp_path / "model")
        done = invoke("forecast", folder, "--task", file, *self.RUN)
        assert done.exit_code == 0, (done.output, done.exception)
        told = json.loads(done.stdout)
        assert told["prompts"]["example"].startswith("[image ") and told["pilot_records"][0]["shown"]
        if told["verdict"] != "no_signal":
            assert any("images (they had texts alone)" in reason for reason in told["reasons"])

    @pytest.mark.thorough
    def test_compare_with_a_report(self, tmp_path):
        folder, report = small_folder(tmp_path / "model"), tmp_path / "report"
        done = invoke(
            "compare", folder, "--task", "dots", *self.RUN, "--report", report, "--output", tmp_path / "run"
        )
        assert done.exit_code == 0, (done.output, done.exception)
        page = next(report.glob("*.html")).read_text()
        assert "What it sees, and says" in page and page.count("data:image/png;base64,") >= 2

    def test_a_model_of_texts_and_a_server_are_refused(self, tmp_path):
        assert_refused(invoke("forecast", "addition-weak", "--task", "dots", *self.RUN), "reads text alone")
        server = ["--server", "http://localhost:1/v1", "--task", "dots"]
        assert_refused(invoke("forecast", "some-model", *server), "asked in text alone")

    def test_a_model_that_sees_takes_texts_too(self, tmp_path):
        loaded = load_model(small_folder(tmp_path))
        assert prompt_token_ids(loaded.tokenizer, ["sum ?"]) == [
            [loaded.tokenizer.get_vocab()[w] for w in ("sum", "?")]
        ]
