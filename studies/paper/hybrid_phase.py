"""Study 12: how much of a vote a verifier bears: the phase boundary lambda = J/(1 + J) of theory X2, over measured
points.
"""

import numpy as np

from studies.paper.draw import LOOK, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, training

MODEL, RATE, STEPS = "addition-misconception", 1e-4, 80
POINTS = ((1.0, (0.25, 0.75)),)
"""(J, lambdas on both sides of J/(1 + J)) of the trained points."""
TINY = 0.02
"""Label accuracy that moves by less than this went nowhere."""


def boundary(youden):
    """The largest weight of the vote at which a right answer still wins: X2."""
    return youden / (1 + youden)


def grid(quick: bool) -> list[Cell]:
    """A map of simulated points, and trained points on both sides of the line."""
    settings = {
        "prompts": 64 if quick else 256,
        "answers": 10,
        "step": 0.5,
        "steps": 400,
        "weights": [round(0.05 * i, 2) for i in range(1, 20, 2 if quick else 1)],
        "youden": [round(0.1 * i, 1) for i in range(1, 11)],
        "seeds": list(SEEDS),
    }
    cells = [Cell("hybrid map", "misaligned prompts", settings, 30.0)]
    for youden, weights in POINTS[: 1 if quick else None]:
        for weight in weights:
            tpr, fpr = (1 + youden) / 2, (1 - youden) / 2
            cells += training(
                f"J {youden:g}, lambda {weight:g}",
                MODEL,
                ("label_accuracy", "accuracy", "reward_accuracy"),
                seeds=SEEDS[: 1 if quick else None],
                weight=10.0 if quick else 35.0,
                learning_rate=RATE,
                reward=f"hybrid-weighted(tpr={tpr:g}, fpr={fpr:g}, intrinsic_weight={weight:g})",
                max_steps=30 if quick else STEPS,
                eval_every=10,
                eval_prompts=96,
            )
    return cells


def side(label: str) -> bool:
    """Whether a trained point lies where the right answer should win."""
    youden, weight = (float(part.split()[1]) for part in label.split(", "))
    return weight < boundary(youden)


def find(result: dict) -> Finding:
    """Reproduced where at least 95 % of the simulated points off the line fall on their side, and the verifier's side
    ends higher than the vote's on the transformer, at every J.
    """
    ((record,),) = groups(result, "hybrid map").values()
    weights, youden = np.array(record["weights"]), np.array(record["youden"])
    rescued = np.mean(record["rescued"], axis=0)
    off = np.abs(weights[:, None] - boundary(youden)) > 1e-9
    should = weights[:, None] < boundary(youden)
    agree = float(np.mean((rescued > 0.5)[off] == should[off]))
    changes, ends = {}, {}
    for label, records in groups(result, "trained").items():
        found = curves(records)
        changes[label] = [
            round(curve["label_accuracy"][-1] - curve["label_accuracy"][0], 3) for curve in found
        ]
        ends[label] = float(np.median([curve["label_accuracy"][-1] for curve in found]))
    pairs: dict[str, dict] = {}
    for label, end in ends.items():
        pairs.setdefault(label.split(",")[0], {})[side(label)] = end
    apart = [pair[True] > pair[False] + TINY for pair in pairs.values()]
    verdict = (
        "reproduced"
        if agree >= 0.95 and all(apart)
        else "partly"
        if agree >= 0.95 or any(apart)
        else "contradicted"
    )
    told = "; ".join(
        f"{label}: {', '.join(f'{value:+.2f}' for value in found)}" for label, found in changes.items()
    )
    return Finding(
        verdict,
        f"{agree:.0%} of {int(off.sum())} simulated points fall on the side of the line J/(1 + J) that X2 says. On the"
        f" transformer label accuracy changed by {told}; the verifier's side ends above the vote's at {sum(apart)} of"
        f" {len(apart)} values of J. A change below the line means that wrong majorities were corrected.",
        {"agreement": agree, "points": int(off.sum()), "label_accuracy_change": changes},
    )


def figure(result: dict):
    """The simulated map with the line; label accuracy of the trained points by step."""
    drawn, ((chart, lines),) = sheet(
        1, 2, "A vote mixed with a verifier: who wins on misaligned prompts", height=3.9
    )
    ((record,),) = groups(result, "hybrid map").values()
    weights, youden = np.array(record["weights"]), np.array(record["youden"])
    rescued = np.mean(record["rescued"], axis=0)
    mesh = chart.pcolormesh(youden, weights, rescued, cmap="cividis", vmin=0, vmax=1, shading="nearest")
    bar = drawn.colorbar(mesh, ax=chart, pad=0.02)
    bar.set_label("share of prompts that end right (simulated)", fontsize=9, color=LOOK.grey)
    bar.ax.tick_params(labelsize=8.5)
    fine = np.linspace(0, 1, 200)
    chart.plot(fine, boundary(fine), color="white", lw=3.6)
    chart.plot(fine, boundary(fine), color=LOOK.colour("pilot"), lw=2, label="J/(1 + J), theory X2")
    groups_found = groups(result, "trained")
    for place, label in enumerate(groups_found):
        j, weight = (float(part.split()[1]) for part in label.split(", "))
        chart.plot([j], [weight], "o" if side(label) else "s", ms=8, mfc=colour(place), mec="white", mew=1.4)
        found = curves(groups_found[label])
        for number, curve in enumerate(found):
            lines.plot(
                curve["step"],
                curve["label_accuracy"],
                color=colour(place),
                lw=1.6,
                alpha=0.85,
                ls="-" if side(label) else (0, (2, 1.5)),
                label=f"{label} ({'verifier' if side(label) else 'vote'} should win)" if not number else None,
            )
    chart.set_xlim(0, 1.05)
    chart.set_ylim(0, 1)
    finish(chart, "phase diagram", "Youden index J of the verifier", "weight of the vote, lambda")
    chart.grid(False)
    finish(
        lines, f"label accuracy: {MODEL}", "optimizer step", "share of prompts with a right majority", True
    )
    legend(drawn, (chart, lines), 2)
    return drawn


STUDY = PaperStudy(
    "hybrid-phase",
    "A vote of weight lambda mixed with a verifier of Youden index J: the phase boundary J/(1 + J)",
    "On a misaligned prompt the right answer wins if and only if the vote's weight is below J/(1 + J).",
    "theory X2, after Rad et al. 2026",
    grid,
    SEEDS,
    "label_accuracy",
    figure,
    find,
)
