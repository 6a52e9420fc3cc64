"""Where theorem meets network: the shipped addition model, exact distributions, exact updates, nothing
sampled.

Four parts, each kept in a file of its own once it is done: `alone` (one prompt trained by itself: which of
S1, S3, S4 and S5 survive shared weights), `speeds` (S6's four flows in the network, against their closed
forms), `across` (what one step does to other prompts, against the gradient kernel) and `retention` (mode
retention with and without shared weights).
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

MODEL, TASK, ANSWERS = "addition-uncertain", "addition", 200
# nats: how far the first step moves the mode's log-odds, to first order, where a step size is to be chosen
FIRST_MOVE = 0.01
FLOW_MOVE = 0.05  # nats: the first midpoint step, where a flow is followed
ETAS = tuple(10.0 ** np.arange(-6, -0.9, 0.5))


@dataclass(frozen=True)
class ExactStudy:
    """Looks like a `Study` to the command line; `run` skips parts that `folder` already holds."""

    name: str = "exact"
    description: str = (
        "Theorem meets network: exact distributions and updates of a tiny transformer, no sampling"
    )
    command: str = "sharpening study exact"

    def run(self, folder: Path, progress=None) -> dict:
        from llm_bridge.console.progress import NullProgress

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        bar = (progress or NullProgress()).start(self.name, len(PARTS))
        found = {}
        for name, part in PARTS.items():
            file = folder / f"{name}.json"
            if not file.is_file():
                started = time.monotonic()
                record = part() | {"seconds": round(time.monotonic() - started, 1)}
                file.write_text(json.dumps(rounded(record), separators=(",", ":")))
            found[name] = json.loads(file.read_text())
            bar.advance()
        bar.close()
        versions = {name: version(name) for name in ("torch", "transformers", "jax", "numpy")} | {
            "python": platform.python_version()
        }
        result = {
            "study": self.name,
            "command": self.command,
            "date": time.strftime("%Y-%m-%d"),
            "versions": versions,
            "model": MODEL,
            **found,
        }
        (folder / "result.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
        return result


def rounded(value):
    """The same data with numbers of five significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [rounded(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return float(f"{value:.5g}") if isinstance(value, (float, np.floating)) else value


def _load():
    import torch

    from llm_bridge import get_task, load_model

    torch.set_num_threads(1)
    return load_model(MODEL), get_task(TASK)


def _exact(loaded, task, strings=None):
    from llm_bridge import ExactModel
    from llm_bridge.exact import numerals

    return ExactModel(loaded, task, strings or numerals(ANSWERS))


def _prompts(task, number: int) -> list[str]:
    return [problem.prompt for problem in task.split(256)[1][:number]]


def alone() -> dict:
    """One prompt at a time: does a step keep the mode, majorize, keep the order; does the logit law hold?"""
    from sharpening import GRPO, KLProx, NaturalGradient, SoftmaxGradient

    loaded, task = _load()
    small = {
        "softmax_gradient": (SoftmaxGradient, "sgd"),
        "grpo": (GRPO, "sgd"),
        "softmax_gradient, Adam 1e-5": (SoftmaxGradient, "adam"),
    }
    rows = []
    for reward in ("majority", "trajectory-entropy"):
        for name, (update, optimizer) in small.items():
            for prompt in _prompts(task, 8):
                exact = _exact(loaded, task)
                rate = 1e-5 if optimizer == "adam" else FIRST_MOVE / _rate(exact, prompt, reward, update())
                rows.append({"update": name, **_follow(exact, prompt, reward, update(rate), optimizer, 30)})
        for update, steps in ((NaturalGradient(0.5), 3), (KLProx(2.0), 3)):
            for prompt in _prompts(task, 2):
                rows.append(
                    {
                        "update": update.name,
                        **_follow(_exact(loaded, task), prompt, reward, update, "sgd", steps),
                    }
                )
    return {"first_move": FIRST_MOVE, "rows": rows}


def _rate(exact, prompt: str, reward: str, update) -> float:
    """d(log-odds of the mode)/d(learning rate) at 0."""
    import torch

    from llm_bridge.exact import pull_back, push_forward
    from sharpening import get_reward
    from sharpening.simulation.precision import precision_context

    policy = exact.policy([prompt])
    with precision_context("float64"):
        direction = np.asarray(
            update.direction(
                policy, np.asarray(get_reward(reward).exact(policy, no_answer=exact.num_answers - 1))
            )
        )
    moved = push_forward(exact, [prompt], pull_back(exact, [prompt], torch.tensor(direction)))[0]
    mode = int(policy[0, :-1].argmax())
    return abs(float(moved[mode]) / (1 - float(np.exp(policy[0, mode]))))


def _follow(exact, prompt: str, reward: str, update, optimizer: str, steps: int) -> dict:
    """Worst violations over some steps; sums of smallest masses and masses are compared as numbers, not as
    logarithms.
    """
    from llm_bridge import ExactTraining
    from sharpening.logspace import log_odds
    from sharpening.theorems.numerics import log_tails

    training = ExactTraining(exact, reward, update, optimizer=optimizer)
    worst = {
        "mode_falls": 0.0,
        "tails_grow": 0.0,
        "entropy_grows": 0.0,
        "reordered": 0,
        "ratios_move": 0.0,
        "logit_law": 0.0,
        "missed": 0.0,
    }
    steps_that = {"majorize": 0, "keep_mode": 0, "keep_order": 0}
    first = exact.policy([prompt])
    for _ in range(steps):
        step = training.step([prompt])
        before, after = step.before, step.after
        leads = np.arange(before.shape[1]) == before[0, :-1].argmax()
        common = (before[0] > np.log(1e-6)) & ~leads
        tails = float((np.exp(log_tails(after)) - np.exp(log_tails(before))).max())
        falls = float(np.exp(before[0, leads][0]) - np.exp(after[0, leads][0]))
        order = np.argsort(before[0][common])
        swaps = int((np.diff(after[0][common][order]) < 0).sum())
        entropy = [-(np.exp(z) * z).sum() for z in (before[0], after[0])]
        gained = log_odds(after, leads[None]) - log_odds(before, leads[None])
        tabular = log_odds(step.tabular, leads[None]) - log_odds(before, leads[None])
        found = {
            "mode_falls": falls,
            "tails_grow": tails,
            "entropy_grows": entropy[1] - entropy[0],
            "reordered": swaps,
            "ratios_move": np.ptp((after - before)[0][common]),
            "logit_law": abs(float(gained[0] - tabular[0])),
            "missed": step.missed,
        }
        worst = {key: max(value, found[key]) for key, value in worst.items()}
        for key, kept in (
            ("majorize", tails <= 1e-12),
            ("keep_mode", falls <= 1e-12),
            ("keep_order", swaps == 0),
        ):
            steps_that[key] += kept
    mode = int(first[0, :-1].argmax())
    return {
        "prompt": prompt, "reward": reward, "optimizer": optimizer, "step_size": update.step_size, "steps": steps, "steps_that": steps_that,
        "start": float(np.exp(first[0, mode])), "end": float(np.exp(step.after[0, mode])), "worst": worst,
    }  # fmt: skip


def speeds() -> dict:
    """S6: two answers, the mode and everything else. All four flows follow one path in weight space, theta'
    along grad logit p, and differ in its clock only: dt = d logit, sqrt(q) d logit, d logit / (2 kappa q), d
    logit / (2 kappa sqrt(q)) with q = p(1-p), where kappa = |grad logit p|^2 / 2 is 1 for a table of logits.
    """
    loaded, task = _load()
    everything, curves = _exact(loaded, task), []
    for prompt in _prompts(task, 3):
        mode = everything.trie.labels[int(everything.policy([prompt])[0, :-1].argmax())]
        logit, kappa = (
            np.array(values) for values in zip(*_ascent(_exact(loaded, task, [mode]), prompt), strict=True)
        )
        t = _times(logit, kappa)
        fine = np.linspace(logit[0], logit[-1], 5000)
        kept = np.unique(np.linspace(0, len(logit) - 1, 80).astype(int))
        curves.append({
            "prompt": prompt, "steps": len(logit), "logit": logit[kept], "kappa": kappa[kept], "t": {name: times[kept] for name, times in t.items()},
            "tail_exponents": _tail_exponents(logit, t), "tail_exponents_of_a_table": _tail_exponents(fine, _times(fine, np.ones_like(fine))),
        })  # fmt: skip
    return {"to": 1e-3, "curves": curves}


def _times(logit: np.ndarray, kappa: np.ndarray) -> dict[str, np.ndarray]:
    """When each of the four flows reaches each logit, by the trapezoidal rule."""
    q = 1 / (np.exp(logit) + 2 + np.exp(-logit))
    clocks = {"natural_gradient": np.ones_like(q), "natural_gradient / std": np.sqrt(q), "softmax_gradient": 1 / (2 * kappa * q),
              "grpo": 1 / (2 * kappa * np.sqrt(q))}  # fmt: skip
    return {
        name: np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(logit))])
        for name, rate in clocks.items()
    }


def _tail_exponents(logit: np.ndarray, t: dict[str, np.ndarray]) -> dict[str, float]:
    """d log(1-p) / d log t of the two flows with power-law tails, fitted where 1 - p is 0.01 to 0.001."""
    last = logit > np.log(1e2)
    return {
        name: float(np.polyfit(np.log(t[name][last]), -np.log1p(np.exp(logit[last])), 1)[0])
        for name in ("softmax_gradient", "grpo")
    }


def _ascent(exact, prompt: str):
    """The path theta' = grad logit / |grad logit|^2 by midpoint steps, halved until the logit gains what it
    should to 2 %; its (logit, kappa) as it goes, until 1 - p is 1e-3.
    """
    import torch

    def state():
        masses = exact.log_probs([prompt])[0]
        logit = masses[0] - masses[1]
        return float(logit.detach()), torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(logit, exact.parameters)]
        )

    size, (logit, gradient) = FLOW_MOVE, state()
    while True:
        yield logit, float(gradient @ gradient) / 2
        if logit > np.log(1e3):
            return
        start = exact.weights
        while True:
            exact.set_weights(start + size / 2 * gradient / (gradient @ gradient))
            middle = state()[1]
            exact.set_weights(start + size * middle / (middle @ middle))
            reached = state()
            if abs(reached[0] - logit - size) <= 0.02 * size or size < 1e-4:
                break
            size /= 2
        (logit, gradient), size = reached, min(1.3 * size, 2 * FLOW_MOVE)


def across() -> dict:
    """One step of size eta on one prompt: error of the kernel's prediction for 16 others, for softmax
    gradient (unit norm) and sign steps.
    """
    import torch

    from llm_bridge.exact import pull_back, push_forward

    loaded, task = _load()
    prompts = _prompts(task, 19)
    others, rows = prompts[3:], []
    for prompt in prompts[:3]:
        exact = _exact(loaded, task)
        policy = exact.policy([prompt])
        leads = policy == policy[:, :-1].max()
        gradient = pull_back(exact, [prompt], torch.tensor(np.exp(policy) * (leads - np.exp(policy[leads]))))
        for kind, change in (
            ("softmax gradient, unit norm", gradient / gradient.norm()),
            ("first Adam step (signs)", gradient.sign()),
        ):
            start, z0 = exact.weights, exact.policy(others)
            slope = push_forward(exact, others, change).numpy()
            own = push_forward(exact, [prompt], change).numpy()[leads][0]
            seen = z0 > np.log(1e-6)
            errors, sizes = [], []
            for eta in ETAS:
                exact.set_weights(start + eta * change)
                moved = exact.policy(others) - z0
                errors.append(float(np.sqrt(np.mean((moved - eta * slope)[seen] ** 2))))
                sizes.append(float(np.sqrt(np.mean(moved[seen] ** 2))))
            exact.set_weights(start)
            small = slice(0, 5) if "sign" not in kind else slice(0, 3)
            fitted = np.polyfit(np.log(ETAS[small]), np.log(errors[small]), 1)[0]
            rows.append(
                {
                    "prompt": prompt,
                    "step": kind,
                    "slope": float(fitted),
                    "errors": errors,
                    "sizes": sizes,  # fmt: skip
                    "own": float(own),
                    "others": float(np.abs(slope[z0 == z0[:, :-1].max(axis=1, keepdims=True)]).mean()),
                }
            )
    return {"etas": list(ETAS), "fitted_up_to": [ETAS[4], ETAS[2]], "others": len(others), "rows": rows}


def retention() -> dict:
    """64 prompts are watched: trained themselves or not, with shared weights or as a table, with majority
    rewards and no sampling.
    """
    from llm_bridge import ExactTraining
    from sharpening import GRPO, get_reward
    from sharpening.simulation.precision import precision_context
    from sharpening.theorems.numerics import path

    loaded, task = _load()
    train, _ = task.split(256)
    watched, fresh = task.split(256)[1][:64], [problem.prompt for problem in train]
    runs = {
        "fresh prompts, Adam 5e-4": (GRPO(5e-4), lambda step: fresh[16 * step : 16 * step + 16], 200),
        "fresh prompts, Adam 1e-4": (GRPO(1e-4), lambda step: fresh[16 * step : 16 * step + 16], 200),
        "one prompt, Adam 1e-4": (GRPO(1e-4), lambda step: fresh[:1], 60),
        "the 64 themselves, Adam 1e-4": (
            GRPO(1e-4),
            lambda step: [problem.prompt for problem in watched],
            60,
        ),
    }
    curves = []
    for name, (update, batch, steps) in runs.items():
        exact = _exact(loaded, task)
        initial = exact.population(watched)
        training = ExactTraining(exact, "majority", update, optimizer="adam")
        curve = {"run": name, "step": [], "mode_retention": [], "accuracy": [], "excess_kl": [], "own": []}
        for step in range(steps + 1):
            if step % 10 == 0:
                _watch(curve, step, exact.policy([problem.prompt for problem in watched]), initial)
            if step < steps:
                done = training.step(batch(step))
                curve["own"].append(
                    float((done.before[:, :-1].argmax(axis=1) == done.after[:, :-1].argmax(axis=1)).mean())
                )
        curve["own"] = min(curve["own"])
        curves.append(curve)
    initial = _exact(loaded, task).population(watched)
    curve = {
        "run": "a table of logits, GRPO 0.5",
        "step": [],
        "mode_retention": [],
        "accuracy": [],
        "excess_kl": [],
        "own": 1.0,
    }
    with precision_context("float64"):
        steps = path(GRPO(0.5), get_reward("majority"), initial.log_probs, 200, no_answer=initial.no_answer)
        for step, now in enumerate([initial.log_probs, *steps]):
            if step % 10 == 0:
                _watch(curve, step, now, initial)
    return {"watched": len(watched), "alignment": initial.alignment, "curves": [*curves, curve]}


def _watch(curve: dict, step: int, now: np.ndarray, initial) -> None:
    from sharpening import exact_metrics

    metrics = exact_metrics(now, initial.correct, initial.log_probs, no_answer=initial.no_answer)
    curve["step"].append(step)
    for name in ("mode_retention", "accuracy", "excess_kl"):
        curve[name].append(float(np.mean(np.asarray(metrics[name]))))


PARTS = {"alone": alone, "speeds": speeds, "across": across, "retention": retention}
EXACT = ExactStudy()
