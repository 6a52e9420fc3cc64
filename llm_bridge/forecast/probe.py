"""Probe a model before any training: rollouts become a Population, per-prompt gradients a coupling, weight
noise a retention curve.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from llm_bridge.console.progress import NullProgress
from llm_bridge.forecast.gradient_products import DIMENSIONS, GradientProducts, exact_gram, sketched_gram
from llm_bridge.forecast.kernel import Kernel
from llm_bridge.forecast.levels import crossing
from llm_bridge.forecast.prior import Prior, population_and_prior
from llm_bridge.models.vision import joined
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.engine import initial_rollouts
from llm_bridge.sampling.greedy import greedy_answers, share_kept
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.base import base_rate_floor, run_without_labels
from llm_bridge.tasks.rephrasing import with_rephrasings
from llm_bridge.training.reward_function import TaskReward
from sharpening.metrics import NO_ANSWER
from sharpening.population import Population
from sharpening.trajectory import Trajectory, evaluation_steps

# memory for per-prompt gradients; where they need more, their products come from random projections
GRADIENT_BYTES = 2**31


@dataclass
class Probe:
    """What a forecast needs to know of a model on a task.

    population: the answer distributions, from rollouts; prior: their metrics. kernel: how far a step on one
    prompt moves the others. radius: retention against weight noise.
    """

    population: Population
    prior: Prior
    kernel: Kernel
    radius: "RetentionCurve"
    cost: Cost


@dataclass
class RetentionCurve:
    """Metrics of the model under isotropic Gaussian weight noise of standard deviation `noise` (0 first),
    medians over draws.
    """

    noise: np.ndarray
    metrics: dict[str, np.ndarray]
    floor: float | None

    @property
    def radius(self) -> float:
        """s*: the noise at which half of the greedy answers survive, log-interpolated; inf if more survive at
        every noise tried.
        """
        return crossing(self.noise, self.metrics["mode_retention"], 0.5)

    def trajectory(self, learning_rate: float, max_steps: int, eval_every: int) -> Trajectory:
        """The baseline's curve: after t steps of size learning_rate the weights have moved by learning_rate ·
        t (theory, last section).
        """
        steps = evaluation_steps(max_steps, eval_every)
        moved = learning_rate * steps
        metrics = {name: np.interp(moved, self.noise, values) for name, values in self.metrics.items()}
        return Trajectory(steps, metrics, floor=self.floor, source="predicted", settings={"voice": "radius"})


PROMPTS, GRADIENT_PROMPTS = 128, 64
"""Evaluation prompts that are asked, and training prompts whose gradients are taken."""
NOISE = np.concatenate([[0.0], np.geomspace(1e-3, 0.128, 15)])
"""Standard deviations of the noise that is added to every weight, a factor √2 apart."""


def probe_model(
    loaded,
    task,
    settings,
    *,
    progress=None,
    prompts: int = PROMPTS,
    rollouts: int = 64,
    gradient_prompts: int = GRADIENT_PROMPTS,
    noise_prompts: int | None = None,
    draws: int = 3,
    noise=NOISE,
    engine: str = "transformers",
) -> Probe:
    """Rollouts and weight noise (`draws` of each size in `noise`, 0 first) on evaluation prompts of `task`,
    gradients on training prompts.

    No weight is changed. Noise is tried on `noise_prompts` of them (None: all). engine: what draws the rollouts of the
    unchanged model (`llm_bridge.sampling.engine`).

    Where the gradients would need more than GRADIENT_BYTES, their products are estimated from random
    projections. States its cost in tokens and seconds.
    """
    started, progress, cost = time.monotonic(), progress or NullProgress(), Cost()
    model, tokenizer = loaded.model, loaded.tokenizer
    pool, evaluation = task.split(settings.eval_prompts, settings.dataset_size)
    problems = evaluation[:prompts]
    bar = progress.start("probe: rollouts", 1)
    length = settings.max_new_tokens or task.max_new_tokens
    drawn = initial_rollouts(
        loaded,
        [p.asked for p in problems],
        engine=engine,
        rollouts=rollouts,
        max_new_tokens=length,
        temperature=settings.temperature,
        seed=(settings.seed, 11),
    )
    cost.add(drawn)
    bar.close()
    truncated = drawn.truncated(model, tokenizer)
    answers = read_answers(
        problems, drawn.texts, task, truncated if settings.mask_truncated_completions else None
    )
    population, prior = population_and_prior(task, problems, answers, settings.rollouts, truncated)
    kernel = measure_kernel(loaded, task, pool[:gradient_prompts], settings, cost, progress)
    radius = retention_curve(
        loaded, task, problems[:noise_prompts], settings, cost, progress, draws=draws, noise=noise
    )
    cost.seconds = time.monotonic() - started
    return Probe(population, prior, kernel, radius, cost)


def measure_kernel(
    loaded,
    task,
    problems,
    settings,
    cost,
    progress,
    *,
    gradient_bytes: int = GRADIENT_BYTES,
    dimensions: int = DIMENSIONS,
) -> Kernel:
    """The kernel between prompts: `measure_gradients(...).kernel()`, zero where no prompt has a gradient."""
    products = measure_gradients(
        loaded, task, problems, settings, cost, progress, gradient_bytes=gradient_bytes, dimensions=dimensions
    )
    found = products.kernel() if np.any(products.answer_gradients) else Kernel()
    return replace(found, gradient_prompts=len(products.answer_gradients))


def measure_gradients(
    loaded,
    task,
    problems,
    settings,
    cost,
    progress,
    *,
    gradient_bytes: int = GRADIENT_BYTES,
    dimensions: int = DIMENSIONS,
) -> GradientProducts:
    """Products of per-prompt policy gradients of the run's own reward (theorem C4).

    g_x = mean over rollouts and tokens of A ∇log π, as the update takes it; K_xy = ⟨g_x, P g_y⟩ with P =
    1/√mean_x(g_x²), Adam's preconditioner at its first steps. Where the gradients would need more than
    `gradient_bytes` together, K is estimated from projections to `dimensions` numbers: each gradient is then
    taken twice, and three vectors as large as the model are held. What the reward costs (its own forward
    passes, a verifier's) is counted.
    """
    model, tokenizer = loaded.model, loaded.tokenizer
    reward = TaskReward(
        settings.parsed_reward,
        task,
        settings.rollouts,
        temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens,
        seed=settings.seed,
        reference=model,
        mask_truncated_completions=settings.mask_truncated_completions,
    )
    reward.attach(lambda: model, tokenizer)
    parameters = [p for p in model.parameters() if p.requires_grad]
    count = sum(p.numel() for p in parameters)
    if settings.asks_rephrasings:
        problems = with_rephrasings(task, problems[: (len(problems) + 1) // 2], seed=settings.seed)
    length = settings.max_new_tokens or task.max_new_tokens
    drawn = sample(
        model,
        tokenizer,
        [p.asked for p in problems],
        rollouts=settings.rollouts,
        max_new_tokens=length,
        temperature=settings.temperature,
        generator=seeded(settings.seed, 12),
    )
    cost.add(drawn)
    unread = drawn.truncated(model, tokenizer) if settings.mask_truncated_completions else None
    answers = read_answers(problems, drawn.texts, task, unread)
    rewards = reward.score(problems, drawn.prompt_ids, drawn.token_ids, drawn.texts)
    cost.generated_tokens, cost.forward_tokens = (
        cost.generated_tokens + reward.cost[0],
        cost.forward_tokens + reward.cost[1],
    )
    learnt = rewards[:, : settings.train_rollouts]
    advantages = np.zeros_like(rewards)
    advantages[:, : settings.train_rollouts] = (learnt - learnt.mean(1, keepdims=True)) / (
        learnt.std(1, ddof=1, keepdims=True) + 1e-4
    )
    exact = 4 * count * len(problems) <= gradient_bytes

    def gradient_of(row, of=policy_gradient if exact else policy_gradient_parts):
        if not np.any(advantages[row]):
            return None
        return of(
            model,
            tokenizer,
            drawn.prompt_ids[row],
            drawn.token_ids[row],
            advantages[row],
            settings.temperature,
            parameters,
            cost,
        )

    bar = progress.start("probe: gradients", len(problems) * (1 if exact else 2))
    if exact:
        gradients = torch.zeros((len(problems), count))
        for row in range(len(problems)):
            if (gradient := gradient_of(row)) is not None:
                gradients[row] = gradient
            bar.advance()
        estimate = exact_gram(gradients)
    else:
        estimate = sketched_gram(
            gradient_of, len(problems), dimensions=dimensions, seed=settings.seed, advance=bar.advance
        )
    bar.close()
    flat = answer_gradients(answers.ids, advantages, len(answers.labels))
    return GradientProducts(estimate, flat, answers.labels, drawn.mean_length)


def answer_gradients(ids, advantages, num_labels: int) -> np.ndarray:
    """Gradients in answer-logit space: mean_i A_i (onehot(a_i) − π̂), π̂ the group's own frequencies;
    (prompts, labels + no answer).
    """
    columns = np.where(ids == NO_ANSWER, num_labels, ids)
    onehot = np.eye(num_labels + 1)[columns]
    return np.einsum("pr,prk->pk", advantages / ids.shape[1], onehot - onehot.mean(1, keepdims=True))


def policy_gradient(model, tokenizer, prompt, completions, advantages, temperature, parameters, cost):
    """Flat gradient of mean over tokens of A · log π for one prompt's group."""
    parts = policy_gradient_parts(
        model, tokenizer, prompt, completions, advantages, temperature, parameters, cost
    )
    return torch.cat([g.reshape(-1) for g in parts]).cpu()


def policy_gradient_parts(model, tokenizer, prompt, completions, advantages, temperature, parameters, cost):
    """The same gradient as one tensor for each parameter, where the parameter is."""
    width = len(prompt) + max(map(len, completions))
    pad = tokenizer.pad_token_id
    ids = torch.tensor(
        [[*prompt, *c] + [pad] * (width - len(prompt) - len(c)) for c in completions], device=model.device
    )
    mask = torch.tensor(
        [[1] * (len(prompt) + len(c)) + [0] * (width - len(prompt) - len(c)) for c in completions],
        device=model.device,
    )
    seen = joined([prompt] * len(completions), model, len(prompt), width - len(prompt))
    logits = (
        model(input_ids=ids, attention_mask=mask, use_cache=False, **seen).logits[:, len(prompt) - 1 : -1]
        / temperature
    )
    log_probs = logits.float().log_softmax(-1).gather(2, ids[:, len(prompt) :, None])[..., 0]
    weights = (
        torch.tensor(advantages, dtype=torch.float32, device=model.device)[:, None] * mask[:, len(prompt) :]
    )
    objective = (log_probs * weights).sum() / mask[:, len(prompt) :].sum()
    cost.forward_tokens += int(mask.sum())
    cost.backward_tokens += int(mask.sum())
    # A prompt without images leaves a vision tower out.
    return torch.autograd.grad(objective, parameters, allow_unused=True, materialize_grads=True)


def retention_curve(
    loaded, task, problems, settings, cost, progress, *, draws: int = 3, noise=NOISE, originals=None
) -> RetentionCurve:
    """Greedy answers under weight noise: the retention radius of theory's last section, with every metric
    that greedy answers allow.

    `mode_retention` here is greedy retention: the greedy answer stands in for the mode. The search stops once
    a noise leaves less than 2 %. Noise is added in place to the weights that training moves, and taken back
    bit for bit from `originals`, one tensor a parameter (None: a copy that is made here).
    """
    noisy = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    originals = originals or [parameter.detach().clone() for parameter in noisy]
    generator = seeded(settings.seed, 13)
    bar = progress.start("probe: weight noise", len(noise))
    labelled = not run_without_labels(problems)
    initial, kept, table = None, [], []
    floor = base_rate_floor(task, problems) if labelled else None
    length, masked = settings.max_new_tokens or task.max_new_tokens, settings.mask_truncated_completions
    try:
        for size in noise:
            rows = []
            for _ in range(draws if size else 1):
                _set_weights(noisy, originals, size, generator)
                answers = greedy_answers(loaded.model, loaded.tokenizer, task, problems, length, cost, masked)
                initial = initial or answers
                rows.append(_greedy_metrics(task, problems, answers, initial, labelled))
            kept.append(size)
            table.append({name: float(np.median([row[name] for row in rows])) for name in rows[0]})
            bar.advance()
            if table[-1]["mode_retention"] < 0.02:
                break
    finally:
        _set_weights(noisy, originals)
    bar.close()
    return RetentionCurve(
        np.array(kept), {name: np.array([row[name] for row in table]) for name in table[0]}, floor
    )


@torch.no_grad()
def _set_weights(parameters, originals, size: float = 0.0, generator=None) -> None:
    """Each parameter's original value, bit for bit, plus noise of this size if there is any."""
    for parameter, value in zip(parameters, originals, strict=True):
        parameter.copy_(value)
        if size:
            noise = torch.randn(value.shape, generator=generator)
            parameter.copy_(value + size * noise.to(value.device))


def _greedy_metrics(task, problems, answers, initial, labelled) -> dict[str, float]:
    values: dict[str, float] = {
        "mode_retention": share_kept(answers, initial),
        "distinct_answers": len({a for a in answers if a is not None}),
        "no_answer_rate": float(np.mean([a is None for a in answers])),
    }
    if labelled:
        right = float(np.mean([task.is_correct(p, a) for p, a in zip(problems, answers, strict=True)]))
        # With one greedy rollout the pseudo-reward is 1 for any answer, so it agrees with the truth exactly
        # where the answer is right.
        values |= {"accuracy": right, "label_accuracy": right, "reward_accuracy": right}
    return {name: float(value) for name, value in values.items()}
