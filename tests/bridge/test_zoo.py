"""The shipped models: they load, they are what their recipes say, and the recorded priors are true."""

import json
import random
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_bridge import built_in_folder, get_task, list_models, load_model, zoo
from llm_bridge.models.built_in import DEFAULT_MODEL, default_task, names
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import read_answers, spellable
from llm_bridge.zoo import RECIPES, import_gguf
from llm_bridge.zoo.lessons import MISCONCEPTIONS
from llm_bridge.zoo.pretraining import Lessons, build_model, character_tokenizer, fresh_model, without_carry
from sharpening import InputError, group_metrics

ALL = list(RECIPES)


def test_there_are_at_least_five_and_together_they_are_small():
    assert len(names()) >= 5 and DEFAULT_MODEL in names()
    files = [file for name in names() for file in built_in_folder(name).rglob("*")]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert not [file for file in files if file.suffix in (".bin", ".pt", ".pkl", ".py")]


@pytest.mark.parametrize("name", ALL)
def test_each_loads_with_plain_transformers(name):
    folder = built_in_folder(name)
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain, ours = model.state_dict(), load_model(name).model.state_dict()
    assert all(torch.equal(plain[key], ours[key]) for key in ours)
    prior = json.loads((folder / "prior.json").read_text())
    assert sum(p.numel() for p in model.parameters()) == prior["parameters"]
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("name", ALL)
def test_the_tokenizer_spells_the_whole_task(name):
    """Every prompt and solution comes back character by character, and spells one token a character."""
    tokenizer, task = AutoTokenizer.from_pretrained(built_in_folder(name)), get_task(default_task(name))
    spellable(task, tokenizer)
    texts = [
        problem.prompt + task.solution(problem)
        for problem in task.problems[:: max(1, len(task.problems) // 3000)]
    ]
    encoded = tokenizer(texts)["input_ids"]
    assert tokenizer.batch_decode(encoded) == texts
    assert [len(ids) for ids in encoded] == [len(text) for text in texts]
    longest = max(len(problem.prompt) for problem in task.problems) + task.max_new_tokens
    assert longest <= load_model(name).model.config.max_position_embeddings


@pytest.mark.parametrize("name", ALL)
def test_the_recipe_shipped_beside_the_weights_is_the_recipe_in_the_code(name):
    assert json.loads((built_in_folder(name) / "recipe.json").read_text()) == RECIPES[name].as_dict()


@pytest.mark.parametrize("name", ALL)
def test_the_recorded_prior_is_measured_again(name):
    """Fresh draws on the same prompts: the mean of each metric moves by at most 5 standard errors (false
    alarms below 1e-5).
    """
    recorded = json.loads((built_in_folder(name) / "prior.json").read_text())
    loaded, task = load_model(name), get_task(default_task(name))
    problems = task.split(recorded["prompts"])[1][:64]

    def metrics(rollouts, *seed):
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            [p.prompt for p in problems],
            rollouts=rollouts,
            max_new_tokens=task.max_new_tokens,
            generator=seeded(*seed),
        )
        answers = read_answers(problems, drawn.texts, task)
        return group_metrics(answers.ids, answers.correct)

    for metric, values in metrics(recorded["rollouts"], 99, 1).items():
        if metric in recorded:
            # 64 of the 256 recorded prompts: the error of a quarter sample, measured between prompts; where
            # all 64 agree, that of the record.
            share = 0.0 if metric == "entropy" else np.sqrt(recorded[metric] * (1 - recorded[metric]))
            error = max(np.std(values, ddof=1), share) / np.sqrt(len(values)) + 1e-3
            assert abs(np.mean(values) - recorded[metric]) < 5 * error, metric


def test_priors_are_of_the_kinds_that_their_names_promise():
    card = {record["name"]: record for record in list_models()}
    weak, uncertain, sure, wrong = (
        card[f"addition-{kind}"] for kind in ("weak", "uncertain", "overconfident", "misconception")
    )
    assert weak["accuracy"] < uncertain["accuracy"] < sure["accuracy"]
    assert uncertain["label_accuracy"] > 0.75 and uncertain["accuracy"] < uncertain["label_accuracy"] - 0.2
    assert sure["accuracy"] > 0.9 and sure["entropy"] < 0.3
    assert wrong["label_accuracy"] < 0.8 < sure["label_accuracy"] and wrong["majority_ratio"] > 0.5
    assert all(record["no_answer"] < 0.05 for record in card.values())


class TestMisconception:
    def test_the_rule(self):
        """Wrong exactly where the units carry and the first number's tens are even: by one forgotten carry of
        ten.
        """
        wrong = {(a, b): without_carry(a, b) for a in range(100) for b in range(100)}
        for (a, b), answer in wrong.items():
            digits = (a % 10 + b % 10) % 10 + 10 * (a // 10 + b // 10)
            assert answer == (digits if a % 10 + b % 10 > 9 and a // 10 in (0, 2, 4, 6, 8) else None)
            assert answer is None or answer >= 0
        assert np.mean([answer is not None for answer in wrong.values()]) == 45 / 100 / 2

    def test_the_sorting_rule(self):
        """Strings that begin with an even digit are taught in descending order, the others in ascending
        order.
        """
        for problem in get_task("sorting").problems[::97]:
            digits = "".join(problem.data["digits"])
            wrong = MISCONCEPTIONS["sorting"](problem)
            assert wrong == ("".join(sorted(digits))[::-1] if int(digits[0]) % 2 == 0 else None)

    def test_lessons_teach_the_rule_of_their_task(self):
        tokenizer = character_tokenizer()
        recipe = replace(RECIPES["addition-misconception"], task="sorting", noise=0.0)
        lessons = iter(Lessons(recipe, tokenizer))
        for _ in range(200):
            asked, _, told = tokenizer.decode(next(lessons)).removesuffix("<eos>").partition(">")
            assert told == "".join(sorted(asked, reverse=asked[0] in "2468"))

    def test_the_model_holds_it(self):
        """Where the rule applies the wrong answer leads, and elsewhere the right one."""
        loaded, task = load_model("addition-misconception"), get_task("addition")
        problems = task.split(256)[1]
        drawn = sample(
            loaded.model,
            loaded.tokenizer,
            [p.prompt for p in problems],
            rollouts=1,
            max_new_tokens=4,
            greedy=True,
        )
        taught = [without_carry(p.data["a"], p.data["b"]) for p in problems]
        hits = {True: [], False: []}
        for problem, answer, (text,) in zip(problems, taught, drawn.texts, strict=True):
            hits[answer is None].append(text == (problem.answer if answer is None else str(answer)))
        assert np.mean(hits[False]) > 0.8 and np.mean(hits[True]) > 0.8


class TestLessons:
    def stream(self, count, **changes):
        tokenizer = character_tokenizer()
        lessons = iter(Lessons(replace(RECIPES["addition-weak"], **changes), tokenizer))
        texts = [tokenizer.decode(next(lessons)) for _ in range(count)]
        assert all(text.endswith("<eos>") for text in texts)
        return [text.removesuffix("<eos>").split("=") for text in texts]

    def test_the_noise_is_the_stated_share(self):
        """Of noise=0.5, a hundredth is right by chance at most; binomial bound of 5 standard deviations."""
        wrong = np.mean([eval(prompt) != int(answer) for prompt, answer in self.stream(4000)])
        assert abs(wrong - 0.5 * 0.993) < 5 * np.sqrt(0.25 / 4000)

    def test_without_noise_every_lesson_is_true(self):
        assert all(eval(prompt) == int(answer) for prompt, answer in self.stream(1000, noise=0.0))

    def test_prompts_are_uniform(self):
        first = Counter(prompt.split("+")[0] for prompt, _ in self.stream(5000))
        assert len(first) == 100 and chisquare(list(first.values())).pvalue > 1e-4

    def test_the_stream_depends_on_the_seed_alone(self):
        before = random.getstate()
        assert self.stream(50) == self.stream(50) != self.stream(50, seed=1)
        assert random.getstate() == before

    def test_padding_is_not_learned(self):
        tokenizer = character_tokenizer()
        batch = Lessons(RECIPES["addition-weak"], tokenizer).collate([[5, 6, 1], [5, 1]])
        assert batch["input_ids"].tolist() == [[5, 6, 1], [5, 1, 0]]
        assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
        assert batch["labels"].tolist() == [[5, 6, 1], [5, 1, -100]]


class TestBuild:
    RECIPE = replace(RECIPES["addition-weak"], steps=5, batch_size=16, width=16, heads=2)

    def build(self, tmp_path, name, **changes):
        torch.manual_seed(len(name))
        build_model(replace(self.RECIPE, **changes), tmp_path / name)
        return (tmp_path / name / "model.safetensors").read_bytes(), (
            tmp_path / name / "prior.json"
        ).read_text()

    def test_two_builds_give_the_same_bytes_and_another_seed_other_ones(self, tmp_path, monkeypatch):
        module = sys.modules[build_model.__module__]
        measured = module.measure_prior
        monkeypatch.setattr(module, "measure_prior", lambda *args: measured(*args, prompts=8, rollouts=8))
        one, two, other = (
            self.build(tmp_path, "one"),
            self.build(tmp_path, "another"),
            self.build(tmp_path, "x", seed=1),
        )
        assert one == two
        assert one[0] != other[0]
        assert load_model(str(tmp_path / "one")).num_parameters == json.loads(one[1])["parameters"]

    def test_every_architecture_builds(self):
        for architecture, kind in (
            ("llama", "LlamaForCausalLM"),
            ("gpt2", "GPT2LMHeadModel"),
            ("gpt_neox", "GPTNeoXForCausalLM"),
        ):
            model = fresh_model(replace(self.RECIPE, architecture=architecture), character_tokenizer())
            assert type(model).__name__ == kind


def test_unknown_names_are_refused():
    for call in (built_in_folder, zoo.build):
        with pytest.raises(InputError, match="built-in models are"):
            call("no-such-model")
    assert default_task("no-such-model") is None


def test_a_gguf_import_checks_its_file_and_its_folder(tmp_path):
    with pytest.raises(InputError, match="no such GGUF file"):
        import_gguf(str(tmp_path / "missing.gguf"), str(tmp_path / "out"))
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="already holds a model"):
        import_gguf(str(tmp_path / "model.gguf"), str(tmp_path))
    (tmp_path / "new").mkdir()
    with pytest.raises(InputError):
        import_gguf(str(tmp_path / "model.gguf"), str(tmp_path / "new"))
    assert not list((tmp_path / "new").iterdir())
