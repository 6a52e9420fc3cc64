"""Studies 6 and 7: training on the few problems that one wants solved, also where their majorities are wrong."""

import numpy as np

from studies.paper.draw import LOOK, band, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, simulation

MODEL, TASK, RATE = "addition-misconception", "addition", 1e-4
ARMS = {
    "6 wrong": {"wrong": True, "problems": 6, "prompts_per_step": 6},
    "32 wrong": {"wrong": True, "problems": 32, "prompts_per_step": 16},
    "32 any": {"wrong": False, "problems": 32, "prompts_per_step": 16},
}
UNSEEN, STEPS = 96, 60
KEPT = 0.9
"""A model is not destroyed where so much of its accuracy on unseen problems is left."""
POPULATIONS = {"32 wrong": (0.0, 32), "32 any": (None, 32), "4,096 any": (None, 4096)}
"""Simulated: the share of aligned prompts (None: as the prior has it), and how many are trained."""


def grid(quick: bool) -> list[Cell]:
    """Three choices of problems on a transformer; beside them coupled populations."""
    cells = []
    for label, arm in ARMS.items():
        for seed in SEEDS[: 1 if quick else None]:
            settings = {
                "model": MODEL,
                "task": TASK,
                "wrong": arm["wrong"],
                "problems": arm["problems"],
                "unseen": 48 if quick else UNSEEN,
                "run": {
                    "prompts_per_step": arm["prompts_per_step"],
                    "learning_rate": RATE,
                    "max_steps": 15 if quick else STEPS,
                    "seed": seed,
                },
            }
            cells.append(Cell("chosen problems", label, settings, 8.0 if quick else 20.0))
    for label, (alignment, size) in POPULATIONS.items():
        population = {"key": 0, "num_prompts": 5120, "num_answers": 50, "strength": 2.0}
        cells.append(
            simulation(
                label,
                ("accuracy", "mode_retention"),
                population=population if alignment is None else population | {"alignment": alignment},
                coupling=(1.0, 4.5),
                num_steps=600,
                eval_every=60,
                method="sampled",
                prompts_per_step=32,
                dataset_size=size,
                weight=12.0,
            )
        )
    return cells


def told_of(record: dict) -> dict:
    """Of one run: accuracy of both kinds of problems before and after, and unseen greedy answers that turned."""
    before, after = record["before"], record["after"]
    pairs = list(zip(before["unseen"]["greedy"], after["unseen"]["greedy"], strict=True))
    return {
        part: [round(float(np.mean(side[part]["accuracy"])), 3) for side in (before, after)]
        for part in ("trained", "unseen")
    } | {"to right": sum(b > a for a, b in pairs), "to wrong": sum(a > b for a, b in pairs)}


def find(result: dict) -> Finding:
    """Reproduced where after 32 problems with wrong majorities every seed keeps KEPT of its accuracy on unseen problems,
    and the simulated mode retention of fresh prompts ends above that after 4,096 prompts; partly where the middle seed,
    or the simulation alone, does. Part `six`: reproduced where training on 6 wrong ones turns at least two unseen greedy
    answers from wrong to right in every seed, partly in some.
    """
    told = {
        label: [told_of(record) for record in records]
        for label, records in groups(result, "chosen problems").items()
    }
    kept = sorted(one["unseen"][1] / one["unseen"][0] for one in told["32 wrong"])
    ends = {
        label: float(np.mean([curve["mode_retention"][-1] for curve in curves(records)]))
        for label, records in groups(result, "simulated").items()
    }
    held = ends["32 wrong"] > ends["4,096 any"]
    whole, some = kept[0] >= KEPT and held, kept[len(kept) // 2] >= KEPT or held
    verdict = "reproduced" if whole else "partly" if some else "contradicted"
    turned = [one["to right"] >= 2 for one in told["6 wrong"]]
    six = "reproduced" if all(turned) else "partly" if any(turned) else "contradicted"

    def mean(label, part):
        return " to ".join(f"{np.mean([one[part][side] for one in told[label]]):.2f}" for side in (0, 1))

    return Finding(
        verdict,
        "Accuracy before and after, mean of the seeds: "
        + "; ".join(
            f"{label}: trained {mean(label, 'trained')}, unseen {mean(label, 'unseen')}" for label in told
        )
        + ". Unseen greedy answers that turned right (wrong) after 6 problems with a wrong majority: "
        + ", ".join(f"{one['to right']} ({one['to wrong']})" for one in told["6 wrong"])
        + f" of {len(groups(result, 'chosen problems')['6 wrong'][0]['before']['unseen']['greedy'])}. Simulated, modes of"
        " fresh prompts that are left: "
        + ", ".join(f"{label} {value:.2f}" for label, value in ends.items())
        + ".",
        {"runs": told, "mode_retention": ends, "parts": {"six": six}},
    )


def figure(result: dict):
    """Accuracy before and after by choice of problems; unseen answers that turned; the simulated populations."""
    drawn, ((before, turns, simulated),) = sheet(
        1, 3, f"Training on a few chosen problems ({MODEL})", height=3.6
    )
    told = {
        label: [told_of(record) for record in records]
        for label, records in groups(result, "chosen problems").items()
    }
    for place, part in enumerate(("trained", "unseen")):
        for number, runs in enumerate(told.values()):
            for one in runs:
                x = [number - 0.2 + 0.4 * place - 0.08, number - 0.2 + 0.4 * place + 0.08]
                before.plot(x, one[part], marker="o", ms=4, color=colour(place), alpha=0.8)
        before.plot([], [], marker="o", color=colour(place), label=f"{part} problems, before and after")
    before.set_xticks(range(len(told)), list(told))
    finish(before, "accuracy: transformer", "problems trained on", "share", True)
    for number, runs in enumerate(told.values()):
        for side, name in ((1, "to right"), (-1, "to wrong")):
            values = [one[name] for one in runs]
            turns.bar(number, side * np.mean(values), 0.5, color=colour(2 if side > 0 else 3))
            turns.plot([number] * len(values), [side * value for value in values], "o", ms=4, color=LOOK.ink)
    turns.axhline(0, color=LOOK.grey, lw=1)
    turns.set_xticks(range(len(told)), list(told))
    finish(
        turns,
        "unseen answers: to right, to wrong",
        "problems trained on",
        "answers that turned (dots: seeds)",
    )
    for place, (label, records) in enumerate(groups(result, "simulated").items()):
        band(simulated, curves(records), "mode_retention", colour(place + 3), f"{label}, simulated", True)
    finish(simulated, "modes left of fresh prompts", "optimizer step", "share", True)
    legend(drawn, (before, simulated), 3)
    return drawn


STUDY = PaperStudy(
    "wrong-majorities",
    "Training on few problems, also those whose majority is wrong: what it does to them and to unseen ones",
    "32 problems with nearly all majorities wrong do not destroy the model; 6 of them raise two unseen problems from 0 to 1.",
    "He et al. 2026, section 3",
    grid,
    SEEDS,
    "accuracy and greedy answers of unseen problems",
    figure,
    find,
)
