"""The critical learning rate of SmolLM2-135M-Instruct on two tasks, by bisection on a ladder of factor 1.2,
seed by seed.

    python -m studies.critical FOLDER      # resumable; writes results/critical.json after every seed

A learning rate kills if half of what reward accuracy has above its floor is lost within the budget
(`half_life`).
"""

from dataclasses import replace
from pathlib import Path

from llm_bridge import RunSettings
from studies import capitals
from studies.capitals import MODEL, SEEDS
from studies.study import RESULTS, TRAINING, made_with, task_of

FACTOR = 1.2
LADDER = tuple(float(f"{4e-6 * FACTOR**rung:.3g}") for rung in range(-9, 15))
"""7.8e-7 to 5.1e-5: of `capitals` some seeds hold at 2e-5, and one dies below 4e-6."""

TASKS = ("capitals", "continents")


def settings(learning_rate: float, seed: int) -> RunSettings:
    """64 countries in training, 8 a step, 8 rollouts, 20 steps; 24 other countries evaluated every 5
    steps.
    """
    return replace(
        capitals.settings(learning_rate, seed), max_steps=20, eval_prompts=24, criterion="half_life"
    )


def run_name(task: str, rate: float, seed: int) -> str:
    """The folder of one run."""
    return f"{task}_{rate:g}_seed{seed}"


def trial(task: str, rate: float, seed: int, folder: Path) -> dict:
    """One run: the step at which half was lost (None: not within the budget), and its curves. At the last
    evaluation once is enough.
    """
    from llm_bridge import measure
    from llm_bridge.console.quiet import quiet_libraries

    with quiet_libraries():
        found = measure(
            MODEL,
            task_of(task),
            settings(rate, seed),
            output_dir=folder / run_name(task, rate, seed),
            stop_on_collapse=True,
        )
    half, reward = found.collapse["half_life"], found.trajectory["reward_accuracy"]
    step = int(found.trajectory.step[-1]) if half.step is None and reward[-1] <= half.threshold else half.step
    curve = {
        name: [round(float(value), 4) for value in found.trajectory[name]]
        for name in ("accuracy", "label_accuracy", "reward_accuracy")
    }
    return {
        "learning_rate": rate,
        "step": step,
        "curve": {"step": found.trajectory.step.tolist()} | curve,
        "cost": found.cost,
    }


def bracket(run, ladder=LADDER, alive=None, dead=None) -> tuple[list[dict], float | None, float | None]:
    """Bisect for the last rung that lives below one that kills: (trials in order, highest that lived, lowest
    that killed), None off the ladder.

    run: a learning rate to a record with `step`, None if it lived. alive, dead: rungs already known to
    bracket it. Outcomes need not be monotone; the bracket is of those met on the way.
    """
    low = -1 if alive is None else ladder.index(alive)
    high, trials = len(ladder) if dead is None else ladder.index(dead), []
    while high - low > 1:
        middle = (low + high) // 2
        trials.append(run(ladder[middle]))
        if trials[-1]["step"] is None:
            low = middle
        else:
            high = middle
    return trials, ladder[low] if low >= 0 else None, ladder[high] if high < len(ladder) else None


def finished(task: str, seed: int, folder: Path) -> list[dict]:
    """The trials that `folder` holds, by learning rate."""
    rates = [rate for rate in LADDER if (folder / run_name(task, rate, seed) / "cost.json").is_file()]
    return [trial(task, rate, seed, folder) for rate in rates]


def ends(trials) -> tuple[float | None, float | None]:
    """(highest rate that lived, lowest that killed) of trials, None where there is none."""
    alive = max((one["learning_rate"] for one in trials if one["step"] is None), default=None)
    return alive, min((one["learning_rate"] for one in trials if one["step"] is not None), default=None)


def collect(folder: Path) -> dict:
    """Every finished run below `folder`: for each task and seed its runs by rate, and between which rates it
    dies (None: on one side only).
    """
    rows = []
    for task in TASKS:
        for seed in SEEDS:
            if trials := finished(task, seed, folder):
                alive, dead = ends(trials)
                rows.append({"task": task, "seed": seed, "alive": alive, "dead": dead, "trials": trials})
    made = made_with("critical", "python -m studies.critical FOLDER", TRAINING)
    return made | {"settings": settings(LADDER[0], 0).as_dict(), "rows": rows}


def main(folder: str, *tasks: str):
    from sharpening.trajectory import write_json

    for task in tasks or TASKS:
        for seed in SEEDS:
            known = ends(finished(task, seed, Path(folder)))
            _, alive, dead = bracket(lambda rate: trial(task, rate, seed, Path(folder)), LADDER, *known)  # noqa: B023
            print(task, seed, alive, dead, flush=True)
            write_json(RESULTS / "critical.json", collect(Path(folder)))


if __name__ == "__main__":
    import sys

    main(*sys.argv[1:])
