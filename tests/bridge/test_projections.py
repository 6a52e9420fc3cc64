"""Products of gradients from projections: unbiased over seeds, as exact as stated, and in memory of a few
vectors.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import random_model

from llm_bridge import CountSketch, RunSettings, sketched_gram
from llm_bridge.console.progress import NullProgress
from llm_bridge.forecast.gradient_products import exact_gram
from llm_bridge.forecast.probe import Cost, measure_gradients, measure_kernel, policy_gradient_parts
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks.prompts import PromptTask
from sharpening import InputError

PROMPTS, SEEDS = 8, 40
SETTINGS = RunSettings(eval_prompts=8, prompts_per_step=4, rollouts=4)


def first_letter(text):
    return text[:1] or None


def sums(count=24):
    return PromptTask([f"{i % 8}+{i // 8}=" for i in range(count)], None, first_letter, max_new_tokens=2)


def gradients_of(loaded, count):
    """Policy gradients of some prompts, one list of tensors each; two are 0, one in each half."""
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        [p.prompt for p in sums().problems[:count]],
        rollouts=4,
        max_new_tokens=2,
        generator=seeded(3),
    )
    advantages, parameters = np.array([1.2, -0.9, -0.4, 0.1]), list(loaded.model.parameters())
    found = [
        policy_gradient_parts(
            loaded.model, loaded.tokenizer, prompt, tokens, advantages, 1.0, parameters, Cost()
        )
        for prompt, tokens in zip(drawn.prompt_ids, drawn.token_ids, strict=True)
    ]
    found[2] = found[count - 1] = None
    return found


@pytest.fixture(scope="module")
def gradients():
    return gradients_of(random_model("gpt2"), PROMPTS)


@pytest.fixture(scope="module")
def flat(gradients):
    rows = [
        torch.zeros(0) if parts is None else torch.cat([part.flatten() for part in parts])
        for parts in gradients
    ]
    return torch.stack([row if len(row) else torch.zeros(max(map(len, rows))) for row in rows])


@pytest.fixture(scope="module")
def exact(flat):
    return exact_gram(flat.clone())


@pytest.fixture(scope="module")
def estimates(gradients):
    """Gram matrices over seeds, by dimensions."""
    return {
        dimensions: [
            sketched_gram(gradients.__getitem__, PROMPTS, dimensions=dimensions, seed=seed)
            for seed in range(SEEDS)
        ]
        for dimensions in (32, 128, 512)
    }


class TestCountSketch:
    def test_is_one_signed_bucket_an_entry(self):
        """Linear, and its matrix, read off unit vectors, has one ±1 in each column; `scale` multiplies the
        entries.
        """
        sketch, shapes = CountSketch(5, seed=3), ((3, 4), (6,))

        def split(vector):
            return vector[:12].reshape(shapes[0]), vector[12:]

        matrix = torch.stack([sketch(split(unit)) for unit in torch.eye(18)], 1)
        assert torch.equal(matrix.abs().sum(0), torch.ones(18)) and set(matrix.unique().tolist()) == {
            -1.0,
            0.0,
            1.0,
        }
        vector, scale = torch.randn(18, generator=seeded(1)), torch.rand(18, generator=seeded(2))
        assert torch.allclose(sketch(split(vector)), matrix @ vector, atol=1e-5)
        assert torch.allclose(sketch(split(vector), split(scale)), matrix @ (vector * scale), atol=1e-5)

    def test_products_have_the_stated_mean_and_variance(self):
        """Over 3,000 seeds, few entries and fewer buckets: both within 5 standard errors, for a pair of
        vectors and for a norm.
        """
        first, second = (
            torch.tensor([2.0, -1.0, 0.5, 1.0, 0.0, 1.5]),
            torch.tensor([1.0, 1.0, -2.0, 0.3, 3.0, 0.5]),
        )
        drawn = []
        for seed in range(3000):
            sketch = CountSketch(4, seed)
            one, other = sketch([first[:2], first[2:]]), sketch([second[:2], second[2:]])
            drawn.append([float(one @ other), float(one @ one)])
        for values, u, v in zip(np.transpose(drawn), (first, first), (second, first), strict=True):
            variance = float(u @ u * (v @ v) + (u @ v) ** 2 - 2 * (u**2 @ v**2)) / 4
            deviations = (values - float(u @ v)) ** 2
            assert abs(values.mean() - float(u @ v)) < 5 * math.sqrt(variance / 3000)
            assert abs(deviations.mean() - variance) < 5 * deviations.std() / math.sqrt(3000)

    @pytest.mark.parametrize("parts", [[2**19], [2**18, 2**18]], ids=["blocks", "tensors"])
    def test_no_two_parts_share_their_buckets(self, parts):
        """Ones: a norm of n ± 5 standard errors; parts with equal buckets and signs would double it."""
        norm = float(CountSketch(4096)([torch.ones(part) for part in parts]).square().sum())
        assert abs(norm / 2**19 - 1) < 5 * math.sqrt(2 / 4096)

    def test_is_the_same_for_the_same_seed_and_leaves_the_global_state_alone(self):
        tensors, state = [torch.ones(50)], torch.get_rng_state()
        assert torch.equal(CountSketch(16, 1)(tensors), CountSketch(16, 1)(tensors))
        assert not torch.equal(CountSketch(16, 1)(tensors), CountSketch(16, 2)(tensors))
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("options", [{"dimensions": 0}, {"seed": -1}])
    def test_refuses(self, options):
        with pytest.raises(InputError, match=next(iter(options))):
            CountSketch(**options)


class TestGram:
    def test_of_float64_loops(self, flat, exact):
        """An independent slow version of K, clock and cosine."""
        rows = flat.double().numpy()
        scale = [1 / (math.sqrt(sum(g**2 for g in column) / len(rows)) + 1e-8) for column in rows.T.tolist()]
        gram = np.array([[np.sum(a * b * scale) for b in rows] for a in rows])
        first, second = rows[:4].sum(0), rows[4:].sum(0)
        assert exact.gram == pytest.approx(gram, rel=1e-3, abs=1e-4 * gram.max())
        assert exact.clock == pytest.approx(sum(abs(column.mean()) for column in rows.T), rel=1e-4)
        assert exact.cosine == pytest.approx(
            first @ second / math.sqrt(first @ first * (second @ second)), rel=1e-3
        )

    def test_clock_and_cosine_are_exact(self, exact, estimates):
        for found in (estimates[32][0], estimates[512][1]):
            assert found.clock == pytest.approx(exact.clock, rel=1e-5) and found.cosine == pytest.approx(
                exact.cosine, rel=1e-4, abs=1e-6
            )

    @pytest.mark.parametrize(
        "rows", [[0, 1, 3], [0, 2, 2], [2, 0], [2, 2]], ids=["odd", "no second half", "no first half", "none"]
    )
    def test_halves(self, gradients, flat, rows):
        """An odd number of prompts; a half, or both, without any gradient: the cosine is 0, as it is from the
        gradients themselves.
        """
        found = sketched_gram(lambda row: gradients[rows[row]], len(rows), dimensions=4096)
        expected = exact_gram(flat[rows].clone())
        assert found.cosine == pytest.approx(
            expected.cosine, rel=1e-4, abs=1e-6
        ) and found.clock == pytest.approx(expected.clock, rel=1e-5)
        assert (found.cosine == 0) == (rows != [0, 1, 3])

    def test_is_unbiased_over_seeds(self, exact, estimates):
        """Every entry within 5 standard errors of the mean over 40 seeds, also with few dimensions; rows
        without a gradient are 0.
        """
        grams = np.array([found.gram for found in estimates[32]])
        error = np.sqrt(np.mean([found.standard_errors**2 for found in estimates[32]], 0) / SEEDS)
        assert (np.abs(grams.mean(0) - exact.gram) <= 5 * error).all()
        assert not grams[:, [2, PROMPTS - 1]].any() and not exact.gram[2].any()

    def test_error_falls_as_one_over_the_root_of_the_dimensions(self, exact, estimates):
        """Slope of log error on log dimensions −0.5 ± 0.08: about five standard errors of a fit to 3 × 40
        seeds.
        """
        sizes = sorted(estimates)
        errors = [
            math.sqrt(np.mean([(found.gram - exact.gram) ** 2 for found in estimates[size]]))
            for size in sizes
        ]
        assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(-0.5, abs=0.08)

    @pytest.mark.parametrize("dimensions", [128, 512])
    def test_states_its_error(self, exact, estimates, dimensions):
        """Stated against measured, root mean squares over entries and seeds: an upper bound, and not a loose
        one.

        The measured one may exceed it by 5 %, what 40 seeds leave to chance. A mean of all products is held
        to 5 / √(2 · 40), its own chance.
        """
        found = estimates[dimensions]
        measured = math.sqrt(np.mean([(one.gram - exact.gram) ** 2 for one in found]))
        stated = math.sqrt(np.mean([one.standard_errors**2 for one in found]))
        assert 0.95 * measured < stated < 1.3 * measured
        weights = np.full(exact.gram.shape, 1 / exact.gram.size)
        measured = math.sqrt(np.mean([(one.gram.mean() - exact.gram.mean()) ** 2 for one in found]))
        assert found[0].error_of(weights) / measured == pytest.approx(1, abs=5 / math.sqrt(2 * SEEDS))

    def test_an_exact_one_has_no_error(self, exact):
        assert not exact.standard_errors.any() and exact.error_of(np.ones_like(exact.gram)) == 0

    def test_error_of_one_entry_is_its_standard_error(self, estimates):
        found, weights = estimates[128][0], np.zeros((PROMPTS, PROMPTS))
        weights[0, 3] = weights[3, 0] = 0.5
        assert found.error_of(weights) == pytest.approx(found.standard_errors[0, 3])


@pytest.fixture(scope="module")
def coupled():
    """The same probe of a random Llama, exact and from projections: coupling and cost of each."""
    loaded, found = random_model("llama"), {}
    for name, options in (
        ("exact", {}),
        ("sketched", {"gradient_bytes": 10**5}),
        ("rough", {"gradient_bytes": 10**5, "dimensions": 256}),
    ):
        cost = Cost()
        found[name] = (
            measure_kernel(
                loaded, sums(), list(sums().problems), SETTINGS, cost, NullProgress(), **options
            ).as_dict(),
            cost,
        )
    return found


class TestMeasureCoupling:
    def test_projections_agree_with_the_gradients(self, coupled):
        """Strengths within 5 standard errors of one squared norm, √(2 / dimensions); what needs no sketch is
        the same.
        """
        exact = coupled["exact"][0]
        for name in ("sketched", "rough"):
            found = coupled[name][0]
            assert (
                found.keys() - exact.keys() == {"sketch_dimensions", "gram_error"}
                and not exact.keys() - found.keys()
            )
            tolerance = 5 * math.sqrt(2 / found["sketch_dimensions"]) * (exact["private"] + exact["shared"])
            assert (
                abs(found["private"] - exact["private"]) < tolerance
                and abs(found["shared"] - exact["shared"]) < tolerance
            )
            assert found["clock"] == pytest.approx(exact["clock"], rel=1e-5) and found[
                "cosine"
            ] == pytest.approx(exact["cosine"], rel=1e-3)
        assert coupled["rough"][0]["gram_error"] == pytest.approx(
            16 * coupled["sketched"][0]["gram_error"], rel=0.1
        )

    def test_no_prompt_is_left_out_and_each_gradient_is_taken_twice(self, coupled):
        (exact, once), (sketched, twice) = coupled["exact"], coupled["sketched"]
        assert (
            exact["gradient_prompts"] == sketched["gradient_prompts"] == 24
            and sketched["sketch_dimensions"] == 2**16
        )
        assert (
            twice.backward_tokens == 2 * once.backward_tokens > 0
            and twice.generated_tokens == once.generated_tokens
        )

    def test_the_bound_is_that_of_all_gradients_together(self):
        loaded = random_model("llama")
        needed = 4 * loaded.num_parameters * 6
        for limit, is_exact in ((needed, True), (needed - 1, False)):
            found = measure_kernel(
                loaded,
                sums(),
                list(sums().problems[:6]),
                SETTINGS,
                Cost(),
                NullProgress(),
                gradient_bytes=limit,
            ).as_dict()
            assert ("sketch_dimensions" not in found) == is_exact

    def test_a_unanimous_model_has_no_kernel(self):
        """No gradient at all, from projections too."""
        task = PromptTask(
            [prompt.prompt for prompt in sums(6).problems], None, lambda text: "always", max_new_tokens=2
        )
        found = measure_kernel(
            random_model("gpt2"),
            task,
            list(task.problems),
            SETTINGS,
            Cost(),
            NullProgress(),
            gradient_bytes=0,
        ).as_dict()
        assert found == {
            "private": 0.0,
            "shared": 0.0,
            "clock": 0.0,
            "cosine": 0.0,
            "gram_ratio": 0.0,
            "gradient_prompts": 6,
        }

    def test_the_same_settings_give_the_same_sketch(self):
        loaded, problems = random_model("llama"), list(sums().problems[:6])
        first, again = (
            measure_gradients(
                loaded, sums(), problems, SETTINGS, Cost(), NullProgress(), gradient_bytes=0, dimensions=16
            )
            for _ in "ab"
        )
        assert np.array_equal(first.gram, again.gram) and first.gram.any()


PEAK = """
import sys
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from llm_bridge.models.loading import LoadedModel
from llm_bridge.tasks.prompts import PromptTask
from llm_bridge.forecast.probe import Cost, measure_kernel
from llm_bridge.console.progress import NullProgress
from llm_bridge.training.settings import RunSettings
from llm_bridge.zoo.pretraining import character_tokenizer

def memory(name):
    return 1024 * int(dict(line.split(":", 1) for line in open("/proc/self/status"))[name].split()[0])

def model(width, layers):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers, num_attention_heads=4,
                         pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None)
    return LoadedModel("random", LlamaForCausalLM(config).eval(), tokenizer)

def probe(loaded, limit):
    measure_kernel(loaded, task, list(task.problems), settings, Cost(), NullProgress(), gradient_bytes=limit, dimensions=4096)

torch.set_num_threads(1)
tokenizer = character_tokenizer()
task = PromptTask([f"{a}+{b}=" for a in range(4) for b in range(3)], None, lambda text: text[:1] or None, max_new_tokens=2)
settings = RunSettings(prompts_per_step=4, rollouts=4)
probe(model(32, 1), 0)
loaded = model(192, 6)
for limit in (2**24, 2**40):
    open("/proc/self/clear_refs", "w").write("5")
    before = memory("VmRSS")
    probe(loaded, limit)
    print(loaded.num_parameters, memory("VmHWM") - before)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the peak of resident memory from /proc"
)
def test_memory_is_that_of_a_few_vectors():
    """3 M parameters, 12 prompts: less than 6 parameter vectors + 8 MiB (12 sketches, activations,
    allocator); the gradients take 12 or more.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", PEAK], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    (count, sketched), (_, exact) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert count > 2_800_000
    assert sketched < 6 * 4 * count + 2**23 and exact > 12 * 4 * count
