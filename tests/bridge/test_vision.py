"""Prompts with images through the sampler, the scorers and the processor: what a plain pass over each alone says."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from vision import noise, small_folder, small_model

from llm_bridge import built_in_folder, get_task, load_model
from llm_bridge.models.chat import blind, chat_prompt, rendered
from llm_bridge.models.pictures import Picture
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.models.vision import SeenIds, fit_together, joined
from llm_bridge.sampling import seeing
from llm_bridge.sampling.batching import Batching
from llm_bridge.sampling.forward import completion_statistics, next_token_logits
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.sampling.seeing import alone_logits, shares_images
from llm_bridge.training.prepare import prepared
from llm_bridge.zoo import VISION_RECIPES
from llm_bridge.zoo.vision import VisionLessons, normalised
from sharpening import InputError

MODEL, PROCESSOR = small_model()
TOKENIZER = PROCESSOR.tokenizer


def asked(question: str = "ants how many ?", *seeds: int):
    """A rendered prompt with images, 32 × 32."""
    pictures = [Picture.of(noise(seed, 32, 32)) for seed in seeds]
    return rendered(PROCESSOR, chat_prompt([{"role": "user", "content": question}], images=pictures))


PROMPTS = [
    asked("ants how many ?", 0),
    asked("ants how many ?", 1),
    asked("missing shape ? missing shape ?", 2),
    asked("sum ?", 3, 4),
    asked("ants how many ?", 0),
]


class TestTokens:
    def test_ids_and_pixels_are_those_that_the_processor_gives_a_trainer(self):
        (ids,) = prompt_token_ids(TOKENIZER, PROMPTS[:1])
        parts = [{"type": "image", "image": Picture.of(noise(0, 32, 32)).image()}]
        parts.append({"type": "text", "text": "ants how many ?"})
        made = PROCESSOR.apply_chat_template(
            [[{"role": "user", "content": parts}]],
            tokenize=True,
            return_dict=True,
            add_generation_prompt=True,
        )
        assert ids == made["input_ids"][0] and ids.count(PROCESSOR.image_token_id) == 16
        assert torch.equal(ids.fields["pixel_values"], torch.tensor(np.array(made["pixel_values"])))
        assert torch.equal(ids.fields["pixel_values"], normalised(noise(0, 32, 32)[None]))

    def test_texts_and_images_stand_in_their_order(self):
        found = prompt_token_ids(TOKENIZER, ["sum ?", PROMPTS[0], "how many ?"])
        assert [len(ids) for ids in found] == [2, 20, 3]
        assert [isinstance(ids, SeenIds) for ids in found] == [False, True, False]

    def test_a_model_that_reads_text_alone_is_told_so(self):
        chat = chat_prompt([{"role": "user", "content": "sum ?"}], images=[Picture.of(noise())])
        with pytest.raises(InputError, match="reads text alone"):
            prompt_token_ids(TOKENIZER, [chat])
        with pytest.raises(InputError, match="reads text alone"):
            rendered(load_model("addition-weak").reader, chat)

    def test_ids_with_images_can_be_cut_and_continued(self):
        row = torch.tensor([[0, 1, 1, 0]])
        ids = SeenIds([7, 3, 3, 8], {"pixel_values": torch.ones(1, 3, 2, 2), "token_type_ids": row}, ["a"])
        longer = (ids + [9]).after(1)
        assert longer == [3, 3, 8, 9] and longer.digests == ("a",)
        assert longer.fields["token_type_ids"].tolist() == [[1, 1, 0, 0]] and ids.upto(2) == [7, 3]
        batch = joined([longer, [5]], MODEL, 6, 1)
        assert batch["token_type_ids"].tolist() == [[0, 0, 1, 1, 0, 0, 0], [0] * 7]
        assert batch["pixel_values"].shape == (1, 3, 2, 2)
        other = SeenIds([3], {"pixel_values": torch.ones(1, 3, 4, 4)}, ["b"])
        assert not fit_together([ids, other]) and fit_together([ids, [5]])


def test_what_is_seen_changes_what_is_said():
    first, second, *_ = prompt_token_ids(TOKENIZER, PROMPTS)
    grey = prompt_token_ids(TOKENIZER, [blind(PROMPTS[0])])[0]
    here, there, nothing = (alone_logits(MODEL, ids)[-1] for ids in (first, second, grey))
    assert (here - there).abs().max() > 0.01 < (here - nothing).abs().max()


class TestSampling:
    def exact(self, ids):
        """P(first token) at temperature 1, an image never written."""
        logits = alone_logits(MODEL, ids)[-1]
        logits[PROCESSOR.image_token_id] = -torch.inf
        return logits.double().softmax(-1)

    @pytest.mark.parametrize("alone", [False, True])
    def test_draws_follow_a_plain_pass_over_each_prompt(self, alone, monkeypatch, caplog):
        """Frequencies of first tokens, each prompt against its own distribution: |error| < 5 standard errors + 1/n."""
        if alone:
            monkeypatch.setitem(seeing.verified, MODEL, False)
        draws = 400
        drawn = sample(
            MODEL,
            TOKENIZER,
            PROMPTS,
            rollouts=draws,
            max_new_tokens=2,
            generator=torch.Generator().manual_seed(3),
        )
        for ids, group, scores in zip(drawn.prompt_ids, drawn.token_ids, drawn.token_log_probs, strict=True):
            law = self.exact(ids)
            found = torch.bincount(torch.tensor([row[0] for row in group]), minlength=len(law)) / draws
            assert (found - law).abs().max() < 5 * (0.25 / draws) ** 0.5
            assert ((found - law).abs() < 5 * (law * (1 - law) / draws).sqrt() + 2 / draws).all()
            for row, score in zip(group[:5], scores[:5], strict=True):
                assert score[0] == pytest.approx(law[row[0]].log().item(), abs=1e-4)
        assert PROCESSOR.image_token_id not in {t for group in drawn.token_ids for row in group for t in row}

    def test_the_fast_way_is_taken_and_looks_at_each_image_once(self):
        assert shares_images(MODEL, TOKENIZER, prompt_token_ids(TOKENIZER, PROMPTS))
        seen, hook = (
            [],
            MODEL.model.vision_tower.register_forward_pre_hook(
                lambda _, given, named: seen.append(len(given[0] if given else named["pixel_values"])),
                with_kwargs=True,
            ),
        )
        try:
            drawn = sample(MODEL, TOKENIZER, PROMPTS[:2], rollouts=16, max_new_tokens=3)
        finally:
            hook.remove()
        assert seen == [2] and drawn.forward_tokens < 2 * 20 + 16 * 2 * 2

    def test_a_model_that_batches_mislead_is_sampled_alone_and_says_so(self, caplog):
        model, _ = small_model(1)
        # Padding in front is read as if it were text.
        forward = model.forward
        model.forward = lambda *args, attention_mask=None, position_ids=None, **rest: forward(*args, **rest)
        assert not shares_images(model, TOKENIZER, prompt_token_ids(TOKENIZER, PROMPTS))
        assert "drawn by the model's own generate" in caplog.text
        assert Batching.ALONE > Batching.PLAIN

    def test_greedy_is_the_likeliest_both_ways(self, monkeypatch):
        fast = sample(MODEL, TOKENIZER, PROMPTS, rollouts=1, max_new_tokens=3, greedy=True)
        monkeypatch.setitem(seeing.verified, MODEL, False)
        slow = sample(MODEL, TOKENIZER, PROMPTS, rollouts=1, max_new_tokens=3, greedy=True)
        assert fast.token_ids == slow.token_ids and fast.token_ids[0] == fast.token_ids[4]

    @pytest.mark.parametrize("alone", [False, True])
    def test_scores_are_those_of_plain_passes(self, alone, monkeypatch):
        if alone:
            monkeypatch.setitem(seeing.verified, MODEL, False)
        ids = prompt_token_ids(TOKENIZER, PROMPTS)
        completions = [[5, 6, 1], [7], [4, 1], [9, 8], [5, 6, 1]]
        expected = []
        for prompt, completion in zip(ids, completions, strict=True):
            logs = alone_logits(MODEL, prompt, completion)[len(prompt) - 1 : -1].log_softmax(-1)
            expected.append(logs.gather(1, torch.tensor(completion)[:, None]).sum().item())
        with torch.no_grad():
            found = sequence_log_probs(MODEL, TOKENIZER, ids, completions)
            stats = completion_statistics(MODEL, TOKENIZER, ids, [[c] for c in completions])
            last = next_token_logits(MODEL, TOKENIZER, ids)
        assert found.tolist() == pytest.approx(expected, abs=1e-4)
        assert stats.total(stats.log_prob)[:, 0].tolist() == pytest.approx(expected, abs=1e-4)
        for row, prompt in zip(last, ids, strict=True):
            assert torch.allclose(row, alone_logits(MODEL, prompt)[-1], atol=1e-4)


class TestFolders:
    def test_a_folder_loads_with_its_processor(self, tmp_path):
        loaded = load_model(small_folder(tmp_path))
        assert loaded.processor is not None and loaded.reader is loaded.processor
        task = prepared(get_task("dots"), loaded, _Settings())
        assert task.problems[0].prompt.rendered and task.problems[0].prompt.processor is loaded.processor

    def test_a_folder_without_its_processor_is_refused(self, tmp_path):
        folder = small_folder(tmp_path)
        (tmp_path / "processor_config.json").unlink()
        with pytest.raises(InputError, match="processor"):
            load_model(folder)

    def test_the_shipped_one_is_standard_and_is_what_its_card_says(self):
        folder = built_in_folder("dots-uncertain")
        assert sum(file.stat().st_size for file in folder.iterdir()) < 4_000_000
        model = AutoModelForImageTextToText.from_pretrained(folder, use_safetensors=True)
        assert AutoProcessor.from_pretrained(folder).image_token_id == model.config.image_token_id
        card, loaded = json.loads((folder / "prior.json").read_text()), load_model("dots-uncertain")
        assert loaded.num_parameters == card["parameters"] and 0.3e6 <= loaded.num_parameters <= 2e6
        assert json.loads((folder / "recipe.json").read_text()) == VISION_RECIPES["dots-uncertain"].as_dict()
        task = get_task("dots")
        problems = task.split(card["prompts"])[1]
        texts = {}
        for name, put in (("seen", lambda prompt: prompt), ("grey", blind)):
            prompts = [put(rendered(loaded.reader, problem.prompt)) for problem in problems]
            drawn = sample(loaded.model, loaded.tokenizer, prompts, rollouts=1, max_new_tokens=3, greedy=True)
            texts[name] = [group[0] for group in drawn.texts]
        right = np.mean(
            [text == problem.answer for text, problem in zip(texts["seen"], problems, strict=True)]
        )
        assert abs(right - card["label_accuracy"]) < 0.03
        same = np.mean([one == other for one, other in zip(texts["seen"], texts["grey"], strict=True)])
        assert same == pytest.approx(card["blind_retention"], abs=0.005)


class _Settings:
    mask_truncated_completions = False
    eval_prompts, dataset_size, max_new_tokens = 8, 8, None


class TestLessons:
    def test_they_are_fixed_by_their_number_and_teach_what_the_recipe_says(self):
        recipe = VISION_RECIPES["dots-misconception"]
        lessons = VisionLessons(recipe, PROCESSOR, get_task("dots"), pool=200)
        assert lessons[7] == VisionLessons(recipe, PROCESSOR, get_task("dots"), pool=200)[7]
        drawn = np.random.default_rng([recipe.seed, 21])
        answers = [int(get_task("dots").draw(drawn)[2]) for _ in range(200)]
        assert [int(taught) for taught in lessons.taught] == [a - (a >= 6) for a in answers]
        batch = lessons.collate([lessons[number] for number in range(4)])
        assert batch["pixel_values"].shape == (4, 3, 32, 32)
        taught = batch["labels"] != -100
        assert torch.equal(batch["labels"][taught], batch["input_ids"][taught]) and taught.sum() == 8
