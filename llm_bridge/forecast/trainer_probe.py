"""The probe of a trainer's own run: its rollouts, and its own loss's gradients, prompt by prompt."""

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from llm_bridge.console.progress import NullProgress, Progress
from llm_bridge.forecast.gradient_products import GradientProducts, exact_gram, sketched_gram
from llm_bridge.forecast.kernel import Kernel
from llm_bridge.forecast.prior import population_and_prior
from llm_bridge.forecast.probe import Probe, answer_gradients, retention_curve
from llm_bridge.models.loading import LoadedModel
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.memory import rows_that_fit
from llm_bridge.sampling.rollouts import cut_off, sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks import Task, read_answers
from llm_bridge.training.planned import TrainerSettings
from llm_bridge.training.trainer import OwnRollouts, sampled_plainly
from llm_bridge.training.twin import bytes_of, trained_parameters

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import GRPOTrainer


@dataclass
class TrainerRun:
    """A throwaway trainer and what is asked of it.

    rows: the data set; problems: evaluation prompts; pool: training prompts; the `data` of each holds its
    `row`, the prompt as the data set has it (`asked`) and its token ids. originals: the user's own trained
    weights, one tensor a parameter. cost is charged.
    """

    twin: "GRPOTrainer"
    rows: "Dataset"
    loaded: LoadedModel
    task: Task
    settings: TrainerSettings
    problems: list
    pool: list
    originals: list
    cost: Cost = field(default_factory=Cost)
    progress: Progress = field(default_factory=NullProgress)

    def sampled_plainly(self) -> bool:
        """Whether the run draws every token from the model's own distribution at its temperature."""
        twin = self.twin
        ours = twin.rollout_func is None or isinstance(twin.rollout_func, OwnRollouts)
        return ours and sampled_plainly(twin.args)


def probe_trainer(run: TrainerRun, *, rollouts: int, gradient_prompts: int, noise) -> Probe:
    """As `llm_bridge.forecast.probe.probe_model`, by the trainer's own means: where it does not sample plainly
    it draws the rollouts itself, and gradients are those of its own rewards, advantages and loss.
    """
    started, settings, task = time.monotonic(), run.settings, run.task
    bar = run.progress.start("probe: rollouts", 1)
    token_ids, texts = _draw(run, run.problems, rollouts)
    bar.close()
    truncated = cut_off(token_ids, run.loaded.model, run.loaded.tokenizer)
    answers = read_answers(
        run.problems, texts, task, truncated if settings.mask_truncated_completions else None
    )
    group = min(settings.rollouts, rollouts)
    population, prior = population_and_prior(task, run.problems, answers, group, truncated)
    kernel = measure_trainer_kernel(run, run.pool[:gradient_prompts])
    radius = retention_curve(
        run.loaded,
        task,
        run.problems,
        settings,
        run.cost,
        run.progress,
        draws=1,
        noise=noise,
        originals=run.originals,
    )
    run.cost.seconds += time.monotonic() - started
    return Probe(population, prior, kernel, radius, run.cost)


def _draw(run: TrainerRun, problems, rollouts: int) -> tuple[list, list]:
    """Token ids and texts, (prompts, rollouts), of completions drawn as the run draws them."""
    settings, tokenizer = run.settings, run.loaded.tokenizer
    if run.sampled_plainly():
        length = settings.max_new_tokens or run.task.max_new_tokens
        drawn = sample(
            run.loaded.model,
            tokenizer,
            [problem.asked for problem in problems],
            rollouts=rollouts,
            max_new_tokens=length,
            temperature=settings.temperature,
            generator=seeded(settings.seed, 11),
            chunk=rows_that_fit(run.loaded.model, problems, length),
        )
        run.cost.add(drawn)
        return drawn.token_ids, drawn.texts
    # TRL draws as many completions as it is given prompts.
    asked = [problem for problem in problems for _ in range(rollouts)]
    flat, width = [], run.twin.args.per_device_train_batch_size
    for start in range(0, len(asked), width):
        prompts = [problem.data["asked"] for problem in asked[start : start + width]]
        with run.twin.accelerator.autocast():
            flat += run.twin._generate(prompts)[1]
    generated = sum(map(len, flat))
    run.cost.generated_tokens += generated
    run.cost.forward_tokens += generated + rollouts * sum(len(problem.asked) for problem in problems)
    token_ids = [flat[start : start + rollouts] for start in range(0, len(flat), rollouts)]
    return token_ids, [tokenizer.batch_decode(group, skip_special_tokens=True) for group in token_ids]


def measure_trainer_kernel(run: TrainerRun, problems) -> Kernel:
    """The kernel between prompts from gradients of the trainer's own loss; zero where no prompt has one."""
    batches = _scored(run, problems)
    parameters = trained_parameters(run.loaded.model)

    def gradient_of(row):
        batch = batches[row]
        return _loss_gradient(run, batch, parameters, row) if batch["advantages"].any() else None

    size = 4 * sum(parameter.numel() for parameter in parameters)
    exact = size * len(problems) <= bytes_of(run.loaded.model.parameters()) / 2
    bar = run.progress.start("probe: gradients", len(problems) * (1 if exact else 2))
    run.loaded.model.train()
    try:
        if exact:
            table = torch.zeros((len(problems), size // 4))
            for row in range(len(problems)):
                if (found := gradient_of(row)) is not None:
                    table[row] = torch.cat([part.reshape(-1).float() for part in found]).cpu()
                bar.advance()
            estimate = exact_gram(table)
        else:
            estimate = sketched_gram(gradient_of, len(problems), seed=run.settings.seed, advance=bar.advance)
    finally:
        run.loaded.model.eval()
    bar.close()
    texts = [batch["texts"] for batch in batches]
    answers = read_answers(problems, texts, run.task)
    advantages = np.array([batch["advantages"].float().cpu().numpy() for batch in batches])
    flat = answer_gradients(answers.ids, advantages, len(answers.labels))
    length = float(np.mean([batch["completion_mask"].sum(1).float().mean().item() for batch in batches]))
    products = GradientProducts(estimate, flat, answers.labels, length)
    found = products.kernel() if np.any(flat) and np.diag(estimate.gram).any() else Kernel()
    return replace(found, gradient_prompts=len(problems))


def _scored(run: TrainerRun, problems) -> list[dict]:
    """One group of completions a prompt, generated, rewarded and given advantages by the trainer."""
    from trl.trainer.utils import split_pixel_values_by_grid

    twin, group, found = run.twin, run.settings.rollouts, []
    each = max(1, twin.args.per_device_train_batch_size // group)
    for start in range(0, len(problems), each):
        part = problems[start : start + each]
        inputs = [dict(run.rows[problem.data["row"]]) for problem in part for _ in range(group)]
        assert twin.model is not None
        twin.model.train()
        with twin.accelerator.autocast():
            batch = split_pixel_values_by_grid(twin._generate_and_score_completions(inputs))
        size = len(inputs)
        for place in range(len(part)):
            mine = slice(place * group, (place + 1) * group)
            own = _rows(batch, mine, size)
            ids = [
                row[mask.bool()].tolist()
                for row, mask in zip(own["completion_ids"], own["completion_mask"], strict=True)
            ]
            own["texts"] = run.loaded.tokenizer.batch_decode(ids, skip_special_tokens=True)
            positions = int(own["prompt_mask"].sum() + own["completion_mask"].sum())
            run.cost.generated_tokens += sum(map(len, ids))
            run.cost.forward_tokens += positions
            found.append(own)
    return found


def _rows(batch: dict, chosen: slice, size: int) -> dict:
    """Some of the `size` completions of a batch, whose images are split; what is not one row a completion stays
    whole.
    """
    return {
        name: value[chosen]
        if isinstance(value, list)
        and len(value) == size
        or isinstance(value, torch.Tensor)
        and value.dim()
        and len(value) == size
        else value
        for name, value in batch.items()
    }


def _loss_gradient(run: TrainerRun, batch: dict, parameters, row: int) -> list[torch.Tensor]:
    """The gradient of the trainer's loss on one group, the same at every call; as many rows at once as one
    of its own micro-batches has.
    """
    from trl.trainer.utils import unsplit_pixel_values_by_grid

    twin, size = run.twin, len(batch["advantages"])
    width = min(size, twin.args.per_device_train_batch_size)
    for parameter in parameters:
        parameter.grad = None
    torch.manual_seed(row)
    for start in range(0, size, width):
        part = _rows(batch, slice(start, start + width), size)
        part["num_items_in_batch"] = part["completion_mask"].sum().clamp(min=1)
        with twin.accelerator.autocast():
            loss = twin.compute_loss(twin.model, unsplit_pixel_values_by_grid(part))
        # Added where training adds them, so that one gradient is in memory and not two.
        (loss * (len(part["advantages"]) / size)).backward()
        positions = int(part["prompt_mask"].sum() + part["completion_mask"].sum())
        run.cost.forward_tokens += positions
        run.cost.backward_tokens += positions
    found = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    for parameter in parameters:
        parameter.grad = None
    return found
