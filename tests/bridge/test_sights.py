"""Models that see in other ways than ours does: the sampler and the scorers against plain passes over each prompt alone,
and whole runs.
"""

import json
from importlib.util import find_spec

import pytest
import torch
from cli_helpers import invoke
from datasets import Dataset
from PIL import Image
from sights import patched, saved, tiled
from trl import GRPOConfig, GRPOTrainer
from vision import noise

from llm_bridge import CollapseMonitor, forecast_trainer, get_task, load_model, majority_reward
from llm_bridge.models.chat import blind, chat_prompt, rendered
from llm_bridge.models.pictures import Picture
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.models.vision import image_token, images_of, joined, same_shape
from llm_bridge.sampling.forward import completion_statistics, next_token_logits
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.sampling.seeing import alone_logits, shares_images
from sharpening import InputError

MADE = {"Idefics3": tiled, "Qwen2-VL": patched, "Qwen2.5-VL": lambda: patched(later=True)}
SIZES = ((32, 32), (40, 24), (24, 40), (64, 32))
DOTS = get_task("dots")


@pytest.fixture(
    scope="module", params=["Idefics3", "Qwen2-VL", pytest.param("Qwen2.5-VL", marks=pytest.mark.thorough)]
)
def made(request):
    return MADE[request.param]()


def prompts_of(processor, *seeds_of, system: str = "") -> list:
    """One prompt for each tuple of seeds, its images of sizes that differ."""
    begin = [{"role": "system", "content": system}] if system else []
    return [
        rendered(
            processor,
            chat_prompt(
                [*begin, {"role": "user", "content": "ants how many ?"}],
                images=[Picture.of(noise(seed, *SIZES[seed % 4])) for seed in seeds],
            ),
        )
        for seeds in seeds_of
    ]


MIXED = ((0,), (1,), (3,), (1, 2), (4,), (3, 0, 2))
LONG = "legs how many ants left ? brighter toes sum"


def test_prompts_whose_images_differ_in_size_and_number_share_batches_and_a_prefix(made):
    """Scores of draws two tokens long, and of given completions, in plain passes over each sequence alone."""
    model, processor = made
    tokenizer, prompts = processor.tokenizer, prompts_of(processor, *MIXED, system=LONG)
    ids = prompt_token_ids(tokenizer, prompts)
    assert shares_images(model, tokenizer, ids) and not same_shape(ids) or "image_grid_thw" in ids[0].fields
    drawn = sample(
        model, tokenizer, prompts, rollouts=8, max_new_tokens=3, generator=torch.Generator().manual_seed(1)
    )
    alone = sum(map(len, ids)) * 8
    assert drawn.forward_tokens < alone / 2, "no rollout looks at its images again"
    for prompt, group, scores in zip(ids, drawn.token_ids, drawn.token_log_probs, strict=True):
        for row, told in zip(group[:2], scores[:2], strict=True):
            logits = alone_logits(model, prompt, row)[len(prompt) - 1 : -1]
            logits[:, image_token(model)] = -torch.inf
            expected = logits.log_softmax(-1).gather(1, torch.tensor(row)[:, None])[:, 0]
            assert told == pytest.approx(expected.tolist(), abs=1e-4)
    digits = tokenizer.convert_tokens_to_ids([*"0123456789"])
    completions = [[digits[5], digits[6]], [digits[7]], digits[2:5], *([[digits[1]]] * 3)]
    logits = [alone_logits(model, p, c)[len(p) - 1 :] for p, c in zip(ids, completions, strict=True)]
    expected = [
        one[:-1].log_softmax(-1).gather(1, torch.tensor(c)[:, None]).sum().item()
        for one, c in zip(logits, completions, strict=True)
    ]
    stats = completion_statistics(model, tokenizer, ids, [[c] for c in completions])
    assert stats.total(stats.log_prob)[:, 0].tolist() == pytest.approx(expected, abs=1e-4)
    assert sequence_log_probs(model, tokenizer, ids, completions).tolist() == pytest.approx(
        expected, abs=1e-4
    )
    last = next_token_logits(model, tokenizer, [*ids, tokenizer("sum ?")["input_ids"]])
    for row, one in zip(last, logits, strict=False):
        assert torch.allclose(row, one[0], atol=1e-4)


def test_images_and_grey_are_told_apart(made):
    model, processor = made
    prompt, other = prompts_of(processor, (0,), (4,))
    ids = prompt_token_ids(processor.tokenizer, [prompt, other, blind(prompt)])
    assert len({images_of(one) for one in ids}) == 3 and ids[0] == ids[1] == ids[2]
    here, there, grey = (alone_logits(model, one)[-1] for one in ids)
    assert (here - there).abs().max() > 0.01 < (here - grey).abs().max()


def test_filled_up_images_are_zeros_behind():
    model, processor = tiled()
    small, large = prompt_token_ids(processor.tokenizer, prompts_of(processor, (1,), (1, 2)))
    batch = joined([small, large], model)
    tiles = small.fields["pixel_values"].shape[1]
    assert batch["pixel_values"].shape[1] == large.fields["pixel_values"].shape[1] > tiles
    assert torch.equal(batch["pixel_values"][:1, :tiles], small.fields["pixel_values"])
    assert not batch["pixel_values"][0, tiles:].any() and not batch["pixel_attention_mask"][0, tiles:].any()


def write_rows(folder) -> str:
    """A JSONL file of prompts with a system message and one or two images of several sizes."""
    folder.mkdir()
    rows = []
    for place in range(16):
        Image.fromarray(noise(place, *SIZES[place % 4])).save(folder / f"{place}.png")
        names = [f"{place}.png", *(["0.png"] if place % 5 == 1 else [])]
        content = [*({"type": "image"} for _ in names), {"type": "text", "text": "ants how many ?"}]
        messages = [{"role": "system", "content": LONG}, {"role": "user", "content": content}]
        rows.append({"prompt": messages, "images": names, "answer": str(place % 9 + 1)})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / "rows.jsonl")


RUN = (
    "--rollouts 4 --prompts-per-step 4 --learning-rate 1e-2 --max-steps 2 --eval-every 1 --eval-prompts 6"
    " --dataset-size 8 --max-new-tokens 2 --json -"
).split()
WHOLE = {
    "Idefics3": tiled,
    "SmolVLM": lambda: tiled(smol=True),
    "Qwen2-VL": lambda: patched(videos=True),
    "Qwen2.5-VL": lambda: patched(later=True, videos=True),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", WHOLE)
def test_every_command_takes_them(tmp_path, name):
    if name != "Idefics3":
        pytest.importorskip("torchvision", reason="the processor's part for videos needs it")
    if name == "SmolVLM":
        pytest.importorskip("num2words")
    folder = saved(tmp_path / "model", WHOLE[name]())
    for task in ("dots", write_rows(tmp_path / "data")):
        forecast = invoke("forecast", folder, "--task", task, *RUN)
        assert forecast.exit_code == 0, (forecast.output, forecast.exception)
        assert json.loads(forecast.stdout)["pilot_records"][0]["metrics"]["blind_retention"]
        run = tmp_path / ("run-" + name + str(task == "dots"))
        measured = invoke("measure", folder, "--task", task, *RUN, "--output", run)
        assert measured.exit_code == 0, (measured.output, measured.exception)
        assert len(json.loads(measured.stdout)["curve"]["blind_retention"]) == 3


@pytest.mark.thorough
@pytest.mark.parametrize("name", MADE)
def test_a_trainer_is_forecast_and_watched(tmp_path, name):
    model, processor = MADE[name]()
    rows = [
        {
            "prompt": [{"role": "user", "content": f"{problem.data['word']} how many ?"}],
            "image": problem.prompt.pictures[0].image().resize(SIZES[place % 4]),
            "answer": problem.answer,
        }
        for place, problem in enumerate(DOTS.problems[:40])
    ]
    trainer = GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=majority_reward(lambda text: text.strip() or None, 4),
        train_dataset=Dataset.from_list(rows[8:]),
        args=GRPOConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            learning_rate=1e-2,
            per_device_train_batch_size=16,
            num_generations=4,
            max_completion_length=2,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        ),
    )
    found = forecast_trainer(trainer, prompts=6, rollouts=4, gradient_prompts=4, tell=lambda sentence: None)
    assert found.pilot_records[0]["metrics"]["blind_retention"]
    monitor = CollapseMonitor(prompts=Dataset.from_list(rows[:8]), max_new_tokens=2, eval_every=1)
    trainer.add_callback(monitor)
    trainer.train()
    curve = monitor.trajectory
    assert not monitor.failures and len(curve["blind_retention"]) == 3 and curve.has("excess_kl")


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
def test_a_processor_that_lacks_a_package_is_refused_with_its_name(tmp_path):
    """That of Qwen2-VL, whose part for videos needs torchvision."""
    folder, config = saved(tmp_path, patched()), tmp_path / "processor_config.json"
    told = json.loads(config.read_text()) | {"processor_class": "Qwen2VLProcessor"}
    config.write_text(json.dumps(told))
    with pytest.raises(InputError, match="Qwen-VL and SmolVLM ask for torchvision"):
        load_model(folder)
