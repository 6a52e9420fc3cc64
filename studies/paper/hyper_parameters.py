"""Study 3: which settings move when a coupled population collapses, and which whether; in simulation."""

import numpy as np

from studies.paper.draw import LOOK, band, colour, finish, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, median_step, steps, sweeping

STEPS, EVERY = 800, 20
METRICS = ("reward_accuracy", "accuracy", "mode_retention", "kl")
POPULATION = {"key": 0, "num_prompts": 4096, "num_answers": 50, "strength": 2.0}
COUPLING = (1.0, 4.5)
BASE = "base"
PREVIOUS = {"beta": 0.1, "sync_ref_model": True, "ref_model_sync_steps": 1, "ref_model_mixup_alpha": 1.0}
SETTINGS: dict[str, dict] = {
    BASE: {},
    "learning rate × 1/2": {"learning_rate": 0.5},
    "learning rate × 2": {"learning_rate": 2.0},
    "4 rollouts": {"rollouts": 4},
    "16 rollouts": {"rollouts": 16},
    "16 prompts a step": {"prompts_per_step": 16},
    "256 prompts a step": {"prompts_per_step": 256},
    "no division by std": {"scale": "none"},
    "KL .02 to initial": {"beta": 0.02},
    "KL .1 to initial": {"beta": 0.1},
    "KL .1 to previous": PREVIOUS,
}
EASIEST = "easiest third"
QUICK = (BASE, "learning rate × 2", "KL .1 to initial")
RATES = {"learning rate × 1/2": 0.5, "learning rate × 2": 2.0}
FAMILIES = {
    "learning rate": tuple(RATES),
    "rollouts": ("4 rollouts", "16 rollouts"),
    "prompts a step": ("16 prompts a step", "256 prompts a step"),
    "KL, loss, data": (
        "no division by std",
        "KL .02 to initial",
        "KL .1 to initial",
        "KL .1 to previous",
        EASIEST,
    ),
}


def grid(quick: bool) -> list[Cell]:
    """One setting changed at a time, then the easiest prompts alone."""
    common = {"num_steps": STEPS, "eval_every": EVERY, "method": "sampled"}
    usual = {"prompts_per_step": 64, "rollouts": 8}
    points = {name: usual | changes for name, changes in SETTINGS.items() if not quick or name in QUICK}
    world = {"population": POPULATION, "coupling": COUPLING} | common
    cells = [sweeping("one setting changed", points, METRICS, weight=30.0 if quick else 90.0, **world)]
    if not quick:
        cells.append(sweeping(EASIEST, {EASIEST: usual}, METRICS, easiest=0.333333, weight=20.0, **world))
    return cells


def find(result: dict) -> Finding:
    """Reproduced where nine in ten settings collapse in most seeds, rollouts and batch size move no more than when, and
    each of SRT's signs is seen.
    """
    found = groups(result, "simulated")
    when = {name: median_step(records, "relative") for name, records in found.items()}
    spread = {name: [step for step, _ in steps(records, "relative")] for name, records in found.items()}
    start = when[BASE]
    ended = [name for name, step in when.items() if step is not None]
    held = [name for name, step in when.items() if step is None]
    moved = {name: round(step / start, 2) for name, step in when.items() if step and start and name != BASE}
    only_when = all(
        when[name] is not None
        for name in ("4 rollouts", "16 rollouts", "16 prompts a step", "256 prompts a step")
        if name in when
    )
    share = len(ended) / len(when)
    clocks = {
        name: round(step * RATES.get(name, 1.0))
        for name, step in when.items()
        if step and (name in RATES or name == BASE)
    }
    signs = {
        "more KL to the initial policy does not delay": _sign(
            when, "KL .1 to initial", lambda late: late <= 1.1
        ),
        "fewer rollouts delay": _sign(when, "4 rollouts", lambda late: late > 1.1),
        "the easiest third is safe": None if EASIEST not in when else when[EASIEST] is None,
    }
    whole = share >= 0.9 and only_when and all(seen for seen in signs.values() if seen is not None)
    verdict = "reproduced" if whole else "partly" if share >= 0.5 else "contradicted"
    told = ", ".join(f"{name} × {factor:g}" for name, factor in moved.items())
    kept = f" Not collapsed within {STEPS} steps: {', '.join(held)}." if held else ""
    return Finding(
        verdict,
        f"{len(ended)} of {len(when)} settings collapse within {STEPS} steps (base: step {start and round(start)}). Against the"
        f" base, the step moves by: {told}.{kept} Steps × learning rate: "
        + ", ".join(f"{name} {clock}" for name, clock in clocks.items())
        + ". SRT's signs: "
        + ", ".join(
            f"{name}: {'seen' if seen else 'not seen'}" for name, seen in signs.items() if seen is not None
        )
        + ". Simulated only: no transformer was run.",
        {"step": when, "steps": spread, "factor": moved, "rescaled": clocks, "signs": signs},
    )


def _sign(when: dict, name: str, holds) -> bool | None:
    """Whether the step of a setting over the base's is as said; later than all where it did not collapse."""
    if name not in when or when[BASE] is None:
        return None
    return bool(holds(np.inf if when[name] is None else when[name] / when[BASE]))


def figure(result: dict):
    """Reward accuracy by family of settings, and the collapse step of each."""
    drawn, table = sheet(2, 3, "Settings move when a coupled population collapses, and few move whether")
    found = groups(result, "simulated")
    for axes, (family, names) in zip(table.flat, FAMILIES.items(), strict=False):
        band(axes, curves(found[BASE]), "reward_accuracy", LOOK.ink, BASE, True)
        for place, name in enumerate(names):
            if name in found:
                band(axes, curves(found[name]), "reward_accuracy", colour(place), name, True)
        finish(axes, family, "optimizer step", "reward accuracy", True)
        axes.set_xlim(-10, 0.75 * STEPS)
        axes.legend(fontsize=7.5, frameon=False, loc="center right", handlelength=2.2)
    rescaled, dots = table.flat[4], table.flat[5]
    for place, name in enumerate((BASE, *RATES)):
        if name in found:
            shown = [
                curve | {"step": [step * RATES.get(name, 1.0) for step in curve["step"]]}
                for curve in curves(found[name])
            ]
            band(
                rescaled,
                shown,
                "reward_accuracy",
                LOOK.ink if name == BASE else colour(place - 1),
                name,
                True,
            )
    rescaled.set_xlim(-10, STEPS / 2)
    finish(rescaled, "rescaled time", "step × learning rate", "reward accuracy", True)
    for place, records in enumerate(found.values()):
        for step, collapsed in steps(records, "relative"):
            dots.plot(
                step,
                place,
                "o" if collapsed else ">",
                ms=5,
                color=LOOK.ink if collapsed else colour(0),
                alpha=0.8,
            )
    dots.set_yticks(range(len(found)), list(found), fontsize=7.5)
    dots.invert_yaxis()
    finish(dots, "collapse step (▸ later)", "optimizer step")
    dots.tick_params(axis="y", labelsize=7.5)
    return drawn


STUDY = PaperStudy(
    "hyper-parameters",
    "Learning rate, rollouts, batch, loss, KL to the initial and to the previous policy: when against whether (simulated)",
    "Nearly all settings degrade; batch size and rollouts move when, not whether. SRT: more KL does not delay, fewer"
    " rollouts delay, the easiest third is safe.",
    "He et al. 2026, section 3; SRT (arXiv 2505.21444)",
    grid,
    SEEDS,
    "reward_accuracy",
    figure,
    find,
)
