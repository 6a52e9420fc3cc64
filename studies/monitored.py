"""Runs of TRL's GRPOTrainer that `sharpening monitor` is judged by without labels: what a user has of a run
(completions and trainer_state.json), and the accuracy of held-out prompts, which the monitor is not shown.

    sharpening study monitor-runs           # resumable; --collect gathers what is finished

Three parts: the first to look at, the second to calibrate on, the third made after the rules were frozen
(`python -m studies.monitor_frozen`). Models, tasks and rewards of the third part that the others lack are `LEFT_OUT`.

Written down before any run was looked at. The accuracy is that of one sampled answer, on HELD_OUT prompts x DRAWS
answers every EVERY steps; `best` is its highest value, `last` the mean of the last two. Runs whose best is below .1
are left out. Collapse: last <= .5 best. Slow fall: last <= .9 best. Healthy: all others. A collapse is caught if
the monitor says to stop at the latest at the evaluation before accuracy is down to best - (best - start) / 2; where
less than .05 was gained there is no gain to save, and the half is that of the way from best to last.
"""

import contextlib
import json
import os
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path

from studies.blind_priors import EVERY_PRIOR, build_blind_prior
from studies.study import made_with, task_of

PARTS = ("look", "calibrate", "judge")
STRANGERS = "strangers"
STEPS, PROMPTS, ROLLOUTS, EVERY, HELD_OUT, DRAWS = 100, 16, 8, 5, 128, 3
SHORT = (
    "addition-uncertain",
    "addition-weak",
    "addition-overconfident",
    "addition-misconception",
    "commonest-nemotron-misconception",
)
BLIND = ("commonest-granite-noisy", "signed-sum-nemotron-clean", "roman-smollm3-noisy", "commonest-opt-early")
LEFT_OUT = (
    "depth-nemotron-early",
    "worked-addition",
    "depth-granite-misconception",
    "depth-qwen2-noisy",
    "shared-letter-gemma-noisy",
    "choice-of-four-opt-noisy",
    "roman-gemma-misconception",
)
LEFT_OUT_REWARDS = ("self-certainty", "probability")
RESULT = "run.json"
WARM_UP = 20
LOGGED = {
    "log_completions": True,
    "num_completions_to_print": 1,
    "logging_strategy": "steps",
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": WARM_UP,
}
"""TRL's fields: what is logged, and the steps over which the learning rate rises."""


@dataclass(frozen=True)
class Spec:
    """One run: `kind` says why it is there, not how it ended."""

    number: int
    part: str
    kind: str
    model: str
    reward: str
    rate: float
    seed: int
    dataset_size: int | None = None
    imbalanced: bool = False
    steps: int = STEPS
    beta: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.number:03d}-{self.part}-{self.kind}-{self.model}"


@dataclass(frozen=True)
class Kind:
    """How many runs of a kind a part holds, and from what they are drawn."""

    name: str
    count: int
    rewards: tuple[str, ...]
    rates: tuple[float, ...]
    sizes: tuple[int | None, ...] = (None,)
    imbalanced: bool = False
    betas: tuple[float, ...] = field(default=(0.0,))


KINDS = (
    Kind("vote", 24, ("majority",), (2e-4, 3e-4, 5e-4), (None, None, 256)),
    Kind("certain", 4, ("trajectory-entropy", "token-entropy"), (2e-4, 5e-4)),
    Kind("slow-vote", 3, ("majority",), (5e-5, 1e-4, 1.5e-4), betas=(0.0, 0.02)),
    Kind("low-rate", 3, ("majority",), (1e-5, 3e-5)),
    Kind("small-set", 3, ("majority",), (5e-5, 1e-4), (8, 16, 32)),
    Kind("true", 6, ("true",), (2e-4, 5e-4, 1e-3), (None, 16, 64)),
    Kind(
        "verified",
        3,
        ("noisy-verifier(tpr=0.9,fpr=0.1)", "hybrid-weighted(intrinsic_weight=0.2)"),
        (2e-4, 5e-4),
    ),
    Kind("imbalanced", 2, ("true", "majority"), (5e-5, 3e-4), imbalanced=True),
)


def specs() -> list[Spec]:
    """Every run, part by part; within a part in an order that was shuffled once."""
    found: list[Spec] = []
    for part in PARTS:
        rng, models = random.Random(f"monitor {part}"), SHORT + BLIND
        if part == "judge":
            models = LEFT_OUT + SHORT[:2]
        drawn = _drawn(rng, part, models, LEFT_OUT_REWARDS if part == "judge" else None)
        found += [Spec(number=len(found) + place, **one) for place, one in enumerate(drawn)]
    return found


def _drawn(rng: random.Random, part: str, models, certain: tuple[str, ...] | None) -> list[dict]:
    """The runs of one part in a shuffled order; certain: rewards of the kind `certain` instead of its own."""
    drawn = []
    for kind in KINDS:
        rewards = certain if certain is not None and kind.name == "certain" else kind.rewards
        for place in range(kind.count):
            drawn.append(
                dict(
                    part=part,
                    kind=kind.name,
                    model=models[(place + rng.randrange(2)) % len(models)],
                    reward=rewards[place % len(rewards)],
                    rate=rng.choice(kind.rates),
                    dataset_size=rng.choice(kind.sizes),
                    imbalanced=kind.imbalanced,
                    beta=rng.choice(kind.betas),
                    seed=rng.randrange(1000),
                )
            )
    rng.shuffle(drawn)
    return drawn


def strangers() -> list[Spec]:
    """Two more rounds of every kind, of the second blind round's priors that no other part holds: for rules that were
    judged on all of PARTS.
    """
    from studies.blind_priors import SECOND_PRIORS

    rng = random.Random("monitor strangers")
    models = sorted(set(SECOND_PRIORS) - set(SHORT + BLIND + LEFT_OUT))
    rng.shuffle(models)
    half = len(models) // 2
    drawn = [one for some in (models[:half], models[half:]) for one in _drawn(rng, STRANGERS, some, None)]
    return [Spec(number=len(specs()) + place, **one) for place, one in enumerate(drawn)]


def model_of(spec: Spec, folder: Path) -> tuple[str, str]:
    """(what `load_model` takes, name of the task)."""
    from llm_bridge.models.built_in import default_task

    task = default_task(spec.model)
    if task is not None:
        return spec.model, task
    return str(build_blind_prior(spec.model, folder)), EVERY_PRIOR[spec.model].task


def problems_of(task, spec: Spec) -> tuple[list, list]:
    """(training problems in order, evaluation problems). Imbalanced: seven of ten share one answer."""
    from llm_bridge import RunSettings
    from llm_bridge.training.trainer import schedule

    settings = RunSettings(
        max_steps=spec.steps,
        prompts_per_step=PROMPTS,
        seed=spec.seed,
        eval_prompts=HELD_OUT,
        dataset_size=spec.dataset_size if (spec.dataset_size or PROMPTS) >= PROMPTS else PROMPTS,
    )
    train, held_out = schedule(task, settings)
    if spec.dataset_size is not None and spec.dataset_size < PROMPTS:
        train = [train[place % spec.dataset_size] for place in range(len(train))]
    if spec.imbalanced:
        rng = random.Random(spec.seed)
        answers = [problem.answer for problem in train]
        commonest = max(sorted(set(answers)), key=answers.count)
        same = [problem for problem in task.problems if problem.answer == commonest]
        same = [problem for problem in same if problem not in set(held_out)] or same
        train = [rng.choice(same) if rng.random() < 0.7 else problem for problem in train]
    return train, held_out


class HeldOut:
    """Accuracy on held-out prompts before the first step and every EVERY steps: an outcome, no part of the log."""

    def __init__(self, loaded, task, problems, seed: int):
        self.loaded, self.task, self.problems, self.seed = loaded, task, problems, seed
        self.accuracy: dict[int, float] = {}

    def __call__(self, step: int) -> None:
        from llm_bridge.sampling.rollouts import sample
        from llm_bridge.sampling.seeding import seeded
        from llm_bridge.tasks import read_answers

        drawn = sample(
            self.loaded.model,
            self.loaded.tokenizer,
            [problem.prompt for problem in self.problems],
            rollouts=DRAWS,
            max_new_tokens=self.task.max_new_tokens,
            temperature=1.0,
            generator=seeded(self.seed, 11, step),
        )
        answers = read_answers(self.problems, drawn.texts, self.task)
        self.accuracy[step] = round(float(answers.correct.mean()), 4)


def train(spec: Spec, folder: Path, live=None) -> dict:
    """One run, trained or read back: its record. What a user has of it lies in `folder`/LABEL/trl.

    live: of a task, a tokenizer and a folder a further callback, with which the run is trained even if it has been.
    """
    own = Path(folder) / spec.label
    if live is None and (own / RESULT).is_file():
        return json.loads((own / RESULT).read_text())
    import shutil

    import torch
    from transformers import TrainerCallback

    from llm_bridge import RunSettings
    from llm_bridge.models.loading import load_model
    from llm_bridge.training.trainer import grpo_trainer

    torch.set_num_threads(1)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    source, task_name = model_of(spec, Path(folder))
    task, loaded = task_of(task_name), load_model(source)
    problems, held_out = problems_of(task, spec)
    settings = RunSettings(
        reward=spec.reward,
        prompts_per_step=PROMPTS,
        rollouts=ROLLOUTS,
        learning_rate=spec.rate,
        beta=spec.beta,
        max_steps=spec.steps,
        seed=spec.seed,
        config=LOGGED,
    )
    look = HeldOut(loaded, task, held_out, spec.seed)

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            if state.global_step % EVERY == 0:
                look(state.global_step)

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        trainer, _ = grpo_trainer(loaded, task, settings, problems, own / "trl", saves=False)
        trainer.add_callback(Watch())
        if live is not None:
            trainer.add_callback(live(task, loaded.tokenizer, own))
        look(0)
        trainer.train()
    # What a user has who did not add the callback.
    history = trainer.state.log_history
    trainer.state.log_history = [
        row for row in history if not any(key.startswith("collapse/") for key in row)
    ]
    trainer.save_state()
    record = asdict(spec) | {"label": spec.label, "accuracy": look.accuracy, "task": task_name}
    (own / RESULT).write_text(json.dumps(record) + "\n")
    return json.loads(json.dumps(record))


@dataclass(frozen=True)
class Monitored:
    """The study: every run of the parts asked for, one after the other."""

    name: str = "monitor-runs"
    description: str = (
        "Runs of TRL on the tiny zoo that collapse, fall slowly or stay healthy, as a user logs them: what the"
        " monitor is judged by"
    )

    @property
    def command(self) -> str:
        return f"sharpening study {self.name}"

    def run(self, folder: Path, progress=None, parts=PARTS) -> dict:
        from llm_bridge.console.progress import NullProgress

        todo = [spec for spec in specs() if spec.part in parts]
        bar = (progress or NullProgress()).start(self.name, len(todo))
        for spec in todo:
            train(spec, Path(folder))
            bar.advance()
        bar.close()
        return self.collect(folder)

    def collect(self, folder: Path) -> dict:
        """The finished runs. Raises: InputError where there is none."""
        from sharpening import InputError

        done = [spec for spec in specs() if (Path(folder) / spec.label / RESULT).is_file()]
        if not done:
            rule = f"it holds no finished run of the study {self.name}"
            raise InputError("output", str(folder), rule, "Run the study first")
        result = made_with(self.name, self.command) | {"runs": [train(spec, Path(folder)) for spec in done]}
        (Path(folder) / "result.json").write_text(json.dumps(result) + "\n")
        return result


MONITORED = Monitored()

if __name__ == "__main__":
    import sys

    MONITORED.run(Path(sys.argv[1]), parts=tuple(sys.argv[2:]) or PARTS)
