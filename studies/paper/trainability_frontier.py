"""Study 10: what can be trained without labels: prior × data-set size × reward, as a map."""

import numpy as np

from studies.paper.dataset_size import critical_size
from studies.paper.draw import LOOK, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, sweeping

STRENGTHS, SIZES = (1.6, 2.2, 2.8, 3.4), (32, 256, 1024, 4096)
REWARDS = ("majority", "trajectory-entropy", "true")
ANSWERS, BATCH, COUPLING = 50, 64, (1.0, 4.5)
METRICS = ("train_accuracy", "train_reward_accuracy")
MODELS = (
    "addition-uncertain",
    "addition-gpt2-noisy",
    "polynomials",
    "countdown",
    "sorting-llama-noisy",
    "sorting-neox-weak",
)
RUNS = {
    "votes, 32 prompts": "5e-4 32 prompts",
    "votes, 256 prompts": "5e-4 256 prompts",
    "votes, fresh prompts": "0.0005",
    "self-certainty, fresh": "5e-4 self-certainty",
    "trajectory-entropy, fresh": "5e-4 trajectory-entropy",
}
SAFE, FRESH = "votes, 32 prompts", "votes, fresh prompts"
HELD = 0.02
"""Accuracy that ends lower by at most this has not fallen."""


def grid(quick: bool) -> list[Cell]:
    """A sweep for each strength of the prior; beside them the transformers of `ground-truth` at 5e-4."""
    cells = []
    sizes, strengths = (SIZES[::3], STRENGTHS[::3]) if quick else (SIZES, STRENGTHS)
    for strength in strengths:
        points = {
            f"{reward}, {strength:g}, {size}": {"reward": reward, "dataset_size": size}
            for reward in REWARDS
            for size in sizes
        }
        cells.append(
            sweeping(
                f"strength {strength:g}",
                points,
                METRICS,
                population={"key": 0, "num_prompts": 5120, "num_answers": ANSWERS, "strength": strength},
                coupling=COUPLING,
                num_steps=600,
                eval_every=300,
                method="sampled",
                prompts_per_step=BATCH,
                weight=40.0,
            )
        )
    return cells + [
        Cell(
            "stored",
            f"{model}: {told}",
            {
                "study": "ground-truth",
                "label": f"{model} {label}",
                "metrics": ["accuracy"],
                "seeds": list(SEEDS),
                "parameters": True,
            },
            1.0,
        )
        for model in MODELS
        for told, label in RUNS.items()
    ]


def simulated_map(result: dict) -> dict[str, np.ndarray]:
    """Reward to the mean gain of the trained prompts' accuracy, (sizes, strengths) of the result, and both axes."""
    gains = {
        tuple(label.split(", ")): float(
            np.mean([curve["train_accuracy"][-1] - curve["train_accuracy"][0] for curve in curves(records)])
        )
        for label, records in groups(result, "simulated").items()
    }
    strengths = sorted({float(strength) for _, strength, _ in gains})
    sizes = sorted({int(size) for _, _, size in gains})
    table = {
        reward: np.array(
            [[gains[reward, f"{strength:g}", f"{size}"] for strength in strengths] for size in sizes]
        )
        for reward in REWARDS
    }
    return table | {"strengths": np.array(strengths), "sizes": np.array(sizes)}


def stored_map(result: dict) -> tuple[np.ndarray, list[int]]:
    """Mean gain of accuracy on held-out prompts, (models, runs), and the models' parameters."""
    found = groups(result, "stored")
    table = [
        [
            float(
                np.mean(
                    [
                        curve["accuracy"][-1] - curve["accuracy"][0]
                        for curve in curves(found[f"{model}: {told}"])
                    ]
                )
            )
            for told in RUNS
        ]
        for model in MODELS
    ]
    return np.array(table), [found[f"{model}: {SAFE}"][0]["parameters"] for model in MODELS]


def find(result: dict) -> Finding:
    """Reproduced where, simulated, true rewards never end more than HELD below their start, votes on the smallest set
    end above those on the largest at every strength, and the largest set that votes do not harm never shrinks as the
    prior grows stronger; and where at least five of the six transformers end higher on 32 prompts than on fresh ones.
    Partly where some of this holds.
    """
    table, (stored, _) = simulated_map(result), stored_map(result)
    votes, sizes = table["majority"], table["sizes"]
    unharmed = [int(max([0, *sizes[column >= -HELD]])) for column in votes.T]
    safe = stored[:, list(RUNS).index(SAFE)]
    better = int(np.sum(safe > stored[:, list(RUNS).index(FRESH)]))
    parts = {
        "true rewards never fall": bool(table["true"].min() >= -HELD),
        "small sets end higher": bool(np.all(votes[0] > votes[-1])),
        "a stronger prior bears larger sets": bool(np.all(np.diff(unharmed) >= 0)),
        "transformers end higher on 32 prompts": better >= 5,
    }
    verdict = "reproduced" if all(parts.values()) else "partly" if any(parts.values()) else "contradicted"
    frontier = ", ".join(
        f"{size or 'none'} at strength {strength:g}"
        for strength, size in zip(table["strengths"], unharmed, strict=True)
    )
    return Finding(
        verdict,
        f"Simulated, the largest set that 600 steps of votes do not harm: {frontier}; true rewards change accuracy by at"
        f" least {table['true'].min():+.2f}, votes by {votes.min():+.2f} to {votes.max():+.2f}, trajectory entropy by"
        f" {table['trajectory-entropy'].min():+.2f} to {table['trajectory-entropy'].max():+.2f}. {better} of {len(MODELS)}"
        f" transformers end higher after votes on 32 prompts than on fresh ones, and {int(np.sum(safe > -HELD))} of them without"
        f" harm (change {safe.min():+.2f} to {safe.max():+.2f}, at the rate 5e-4). They differ too little in size to tell size"
        " from prior.",
        {
            "held": parts,
            "frontier": unharmed,
            "simulated": {reward: np.round(table[reward], 3).tolist() for reward in REWARDS},
            "transformers": np.round(stored, 3).tolist(),
        },
    )


def figure(result: dict):
    """Three simulated maps with the frontier of C2, and the transformers."""
    drawn, panels = sheet(2, 2, "What can be trained, and with which reward: change of accuracy", height=3.3)
    *maps, stored = panels.flat
    table, (gains, parameters) = simulated_map(result), stored_map(result)
    look = {"cmap": "PuOr", "vmin": -0.8, "vmax": 0.8}
    for axes, reward in zip(maps, REWARDS, strict=True):
        axes.imshow(table[reward], origin="lower", aspect="auto", **look)
        _labelled(axes, table[reward])
        axes.set_xticks(range(len(table["strengths"])), [f"{value:g}" for value in table["strengths"]])
        axes.set_yticks(range(len(table["sizes"])), [f"{value:,}" for value in table["sizes"]])
        at = np.interp(
            np.log(critical_size(*COUPLING, BATCH, ANSWERS)),
            np.log(table["sizes"]),
            range(len(table["sizes"])),
        )
        axes.axhline(at, color=LOOK.ink, lw=1.6, ls=(0, (4, 2)), label="critical size of C2")
        finish(axes, f"{reward} (simulated)", "strength of the prior (nats)", "prompts")
        axes.grid(False)
    shade = stored.imshow(gains, aspect="auto", **look)
    _labelled(stored, gains)
    stored.set_xticks(range(len(RUNS)), list(RUNS), rotation=20, ha="right")
    stored.set_yticks(
        range(len(MODELS)),
        [f"{model}\n{size / 1e3:.0f} k" for model, size in zip(MODELS, parameters, strict=True)],
    )
    finish(stored, "transformers at 5e-4", "", "")
    stored.tick_params(labelsize=7.5)
    stored.grid(False)
    bar = drawn.colorbar(shade, ax=panels, pad=0.01, aspect=40)
    bar.set_label("accuracy at the end less at the start", fontsize=9, color=LOOK.grey)
    legend(drawn, maps[:1])
    return drawn


def _labelled(axes, table: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if abs(value) > 0.5 else LOOK.ink
        axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=8, color=ink)


STUDY = PaperStudy(
    "trainability-frontier",
    "Prior, data-set size and reward: what training without labels gains or destroys, as a map",
    "Small data sets are trainable without labels, large ones are not, and a stronger prior bears larger ones; true"
    " rewards train everywhere.",
    "He et al. 2026, section 3; theory C2",
    grid,
    SEEDS,
    "accuracy",
    figure,
    find,
)
