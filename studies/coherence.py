"""The coherence law, with nothing fitted: does what K frozen batches at the initial weights say date the second blind
round's runs?

    python -m studies.coherence FOLDER      # FOLDER: where `sharpening study blind-2` ran; resumes; results/coherence.json

Before a run begins, K batches of it are drawn at the initial weights; each gives the update u_i that Adam makes of it
per unit of learning rate once its second moment has settled, g_i / sqrt(mean_j g_j^2). Two numbers are read from them:

R_u, the shaped radius: the scale s at which half of the greedy answers survive theta + s sum_i +-u_i / sqrt(K), signs
drawn at random (median over DRAWS); rho, the mean product of two different u_i over the mean square of one, in the
metric of what they do to the log-probabilities of the greedy answers.

If the field stays what it is at first, the square of the displacement after T steps of size eta is
eta^2 T (1 + (T - 1) rho), so half of the answers are gone at the T that solves T (1 + (T - 1) rho) = (R_u / eta)^2. Drift
alone: T = R_u / (eta sqrt(rho)); diffusion alone: (R_u / eta)^2.

Written down before anything was computed. Measured: `mode_retention` and `half_life` of the 88 runs, as intervals. The
law fails if (a) its C-index for `mode_retention` is no higher than that of R / eta, R the isotropic weight-noise radius
of the probe; or (b) the median of |log(T told / T measured)| over the runs that met `mode_retention` is above log 2; or
(c) within the runs at R/80, which are all alike to the isotropic radius, its C-index is not above .6.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import TrainerCallback

from llm_bridge import load_model
from llm_bridge.console.progress import terminal_progress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.greedy import greedy_answers, share_kept
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.training.prepare import prepared
from llm_bridge.training.trainer import grpo_trainer, schedule
from sharpening.trajectory import write_json
from studies.blind import SETTINGS, order
from studies.blind_priors import EVERY_PRIOR, SECOND_PRIORS
from studies.scoring import Scored, c_index
from studies.study import RESULTS, TRAINING, load_result, made_with, task_of

BATCHES, DRAWS, PROMPTS = 8, 3, 64
SCALES = np.geomspace(1e-5, 0.3, 24)
NUDGE = 0.1
"""Of the shaped radius: the step along each u_i from which its effect on log-probabilities is taken."""


class _Gradients(TrainerCallback):
    """The gradient of every step, flat, in the order of the weights."""

    def __init__(self):
        self.found: list[torch.Tensor] = []

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        flat = [
            (torch.zeros_like(weight) if weight.grad is None else weight.grad).flatten() for weight in weights
        ]
        self.found.append(torch.cat(flat).detach().clone())


def frozen_updates(loaded, task) -> torch.Tensor:
    """u_i, (BATCHES, weights): gradients of the run's own batches at weights that do not move, Adam's way."""
    # A step too small to change a weight in 32 bits.
    still = replace(SETTINGS, optimizer="sgd", learning_rate=1e-30, max_steps=BATCHES)
    train, _ = schedule(task, still)
    gradients = _Gradients()
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = grpo_trainer(loaded, task, still, train, Path(folder), saves=False)
        trainer.add_callback(gradients)
        trainer.train()
    table = torch.stack(gradients.found)
    size = table.square().mean(0).sqrt()
    return torch.where(size > 0, table / size.clamp(min=1e-30), 0.0)


class _Moved:
    """The model's weights, moved along a direction and put back bit for bit."""

    def __init__(self, model):
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        self.originals = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def to(self, direction: torch.Tensor | None = None, size: float = 0.0) -> None:
        place = 0
        for weight, original in zip(self.weights, self.originals, strict=True):
            weight.copy_(original)
            if direction is not None:
                part = direction[place : place + weight.numel()].view_as(weight)
                weight.add_(part, alpha=size)
            place += weight.numel()


def shaped_radius(updates, moved, answers) -> float | None:
    """Median over DRAWS of the scale at which half of `answers()` are no longer those at scale 0, between two sizes of
    SCALES in logs; None where half survive the largest.
    """
    generator = torch.Generator().manual_seed(0)
    moved.to()
    initial, found = answers(), []
    for _ in range(DRAWS):
        signs = torch.randint(0, 2, (BATCHES,), generator=generator) * 2.0 - 1
        direction = (signs @ updates) / BATCHES**0.5
        below, kept_below = None, 1.0
        crossing = np.inf
        for size in SCALES:
            moved.to(direction, float(size))
            kept = share_kept(answers(), initial)
            if kept <= 0.5:
                part = 0.0 if below is None else (kept_below - 0.5) / (kept_below - kept)
                crossing = size if below is None else below * (size / below) ** part
                break
            below, kept_below = size, kept
        found.append(crossing)
    moved.to()
    middle = float(np.median(found))
    return middle if np.isfinite(middle) else None


def coherence(updates, moved, radius: float, scores) -> float:
    """rho: mean product of the effects of two different updates on `scores()` over the mean square of one."""
    moved.to()
    start = scores()
    effects = []
    for update in updates:
        moved.to(update, NUDGE * radius)
        effects.append(scores() - start)
    moved.to()
    table = torch.stack(effects).double()
    squares, total = table.square().sum(), table.sum(0).square().sum()
    return float((total - squares) / ((BATCHES - 1) * squares))


def read(name: str, folder: Path) -> dict:
    """What the frozen batches of a prior say."""
    task = task_of(EVERY_PRIOR[name].task)
    torch.manual_seed(0)
    with quiet_libraries():
        loaded = load_model(str(folder / "priors" / name))
        prepared(task, loaded, SETTINGS)
        _, evaluation = task.split(SETTINGS.eval_prompts, SETTINGS.dataset_size)
        problems, length = evaluation[:PROMPTS], task.max_new_tokens
        model, tokenizer, moved = loaded.model, loaded.tokenizer, _Moved(loaded.model)
        updates = frozen_updates(loaded, task)
        moved.to()

        def answers():
            return greedy_answers(model, tokenizer, task, problems, length, Cost())

        drawn = sample(
            model, tokenizer, [p.asked for p in problems], rollouts=1, max_new_tokens=length, greedy=True
        )

        def scores():
            return sequence_log_probs(model, tokenizer, drawn.prompt_ids, [ids[0] for ids in drawn.token_ids])

        radius = shaped_radius(updates, moved, answers)
        rho = None if radius is None else coherence(updates, moved, radius, scores)
    return {"prior": name, "shaped_radius": radius, "rho": rho}


def told_step(radius: float, rho: float, rate: float) -> float:
    """T > 0 with T (1 + (T - 1) rho) = (radius / rate)^2; rho below 0 counts as 0: a field that turns back only waits."""
    target, rho = (radius / rate) ** 2, max(rho, 0.0)
    if rho < 1e-12:
        return target
    return float((rho - 1 + np.sqrt((1 - rho) ** 2 + 4 * rho * target)) / (2 * rho))


def rate_of(run: dict) -> float:
    """The learning rate of a run, which its record leaves out where it is the default."""
    return run["settings"].get("learning_rate", SETTINGS.learning_rate)


CRITERIA = ("mode_retention", "half_life")


def scored(priors: list[dict], study: dict) -> dict:
    """How well four ways to date the runs do, nothing of them fitted: C-index overall and within the runs at one
    multiple of R, and how far off they are.
    """
    probes = {prior["prior"]: prior["probe"]["noise"]["radius"] for prior in study["priors"]}
    read_of = {prior["prior"]: prior for prior in priors if prior["shaped_radius"] is not None}
    runs = [run for run in study["runs"] if run["model"] in read_of and probes[run["model"]]]
    ways = {
        "coherence": lambda one, R, rate: told_step(one["shaped_radius"], one["rho"], rate),
        "diffusion": lambda one, R, rate: (one["shaped_radius"] / rate) ** 2,
        "shaped radius": lambda one, R, rate: one["shaped_radius"] / rate,
        "radius": lambda one, R, rate: R / rate,
    }
    scores: dict = {}
    for criterion in CRITERIA:
        known = [run for run in runs if run["times"][criterion] is not None]
        for way, tell in ways.items():
            told = np.array([tell(read_of[r["model"]], probes[r["model"]], rate_of(r)) for r in known])
            scores.setdefault(criterion, {})[way] = _score(known, criterion, told)
    return {
        "priors": [_rounded(prior) for prior in priors],
        "without_radius": sorted({prior["prior"] for prior in priors} - set(read_of)),
        "runs": len(runs),
        "scores": scores,
    }


def _score(runs: list[dict], criterion: str, told) -> dict:
    times = [run["times"][criterion] for run in runs]
    low = np.array([after for after, _ in times], float)
    high = np.array([np.inf if by is None else by for _, by in times], float)
    multiple = np.array([run["label"].rsplit(" ", 1)[1] for run in runs])
    column = np.array([run["model"] for run in runs])
    rate = np.log([rate_of(run) for run in runs])
    every = Scored(
        column, column, column, multiple, multiple, rate, low, high, np.log(told), np.ones(len(runs))
    )
    met = np.isfinite(high)
    off = np.log(told[met]) - np.log(np.sqrt(np.maximum(low[met], 0.5) * high[met]))
    return {
        "runs": len(runs),
        "met": int(met.sum()),
        "c_index": round(c_index(every), 3),
        "within": {
            name: round(c_index(every[multiple == name]), 3) for name in sorted(set(multiple.tolist()))
        },
        "median_factor_off": round(float(np.exp(np.median(np.abs(off)))), 2),
        "told_over_measured": round(float(np.exp(np.median(off))), 2),
    }


def _rounded(prior: dict) -> dict:
    return {
        name: value if value is None or isinstance(value, str) else float(f"{value:.3g}")
        for name, value in prior.items()
    }


def main(folder: Path) -> None:
    kept = folder / "coherence"
    kept.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    names = [name for name in order(SECOND_PRIORS) if (folder / "priors" / name / "config.json").is_file()]
    with terminal_progress() as progress:
        bar = progress.start("frozen batches", len(names))
        for name in names:
            file = kept / f"{name}.json"
            if not file.is_file():
                write_json(file, read(name, folder))
            bar.advance()
        bar.close()
    priors = [json.loads((kept / f"{name}.json").read_text()) for name in names]
    made = made_with("coherence", "python -m studies.coherence FOLDER", (*TRAINING, "numpy"))
    write_json(RESULTS / "coherence.json", made | scored(priors, load_result("blind-2")), indent=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
