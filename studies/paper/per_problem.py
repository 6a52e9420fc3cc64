"""Study 5: training on one problem amplifies what the model already prefers; how often it flips it."""

from collections import Counter

import numpy as np

from studies.paper.draw import LOOK, MARKS, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, groups

MODELS = ("addition-misconception",)
PROBLEMS, STEPS, RATE = 8, 100, 1e-4
CONFIDENCE = (0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
HE_FLIPPED, HE_PROBLEMS = 3, 25
PATTERNS = {
    (True, True): "amplify success",
    (False, False): "amplify failure",
    (False, True): "wrong to correct",
    (True, False): "correct to wrong",
}


def grid(quick: bool) -> list[Cell]:
    """PROBLEMS a seed, 24 in all, each alone for 100 steps of 8 rollouts; beside them policies over answers."""
    cells = [
        Cell(
            "single problems",
            model,
            {
                "model": model,
                "task": "addition",
                "problems": 4 if quick else PROBLEMS,
                "run": {
                    "prompts_per_step": 1,
                    "learning_rate": RATE,
                    "max_steps": 30 if quick else STEPS,
                    "seed": seed,
                },
            },
            10.0 if quick else 30.0,
        )
        for model in MODELS
        for seed in SEEDS[: 1 if quick else None]
    ]
    theory = {
        "confidence": list(CONFIDENCE[::3] if quick else CONFIDENCE),
        "prompts": 512,
        "answers": 8,
        "steps": 200,
        "learning_rate": 0.5,
        "rollouts": 8,
        "seeds": list(SEEDS),
    }
    return [*cells, Cell("urn", "alone", theory, 30.0)]


def patterns(records: list[dict]) -> Counter:
    """How many problems went which way, by the correctness of the greedy answer before and after."""
    return Counter(
        PATTERNS[one["before"]["greedy"], one["after"]["greedy"]]
        for record in records
        for one in record["problems"]
    )


def find(result: dict) -> Finding:
    """Reproduced where at most a quarter of all problems flip and confidence grows on nine in ten."""
    counts, grown, total = {}, 0, 0
    for model, records in groups(result, "single problems").items():
        counts[model] = dict(patterns(records))
        for record in records:
            for one in record["problems"]:
                grown += one["after"]["confidence"] >= one["before"]["confidence"]
                total += 1
    flips = {
        model: sum(found.get(name, 0) for name in ("wrong to correct", "correct to wrong"))
        for model, found in counts.items()
    }
    flipped, (urns,) = sum(flips.values()), groups(result, "urn").values()
    (alone,) = urns
    theory = {
        str(mass): float(np.mean(share))
        for mass, share in zip(alone["confidence"], alone["flipped"], strict=True)
    }
    turned = [
        one["before"]["confidence"]
        for records in groups(result, "single problems").values()
        for record in records
        for one in record["problems"]
        if one["before"]["greedy"] != one["after"]["greedy"]
    ]
    before = float(np.mean(turned)) if turned else float("nan")
    few, sure = flipped <= total / 4, grown >= 0.9 * total
    verdict = "reproduced" if few and sure else "partly" if few or sure else "contradicted"
    told = "; ".join(
        f"{model}: {', '.join(f'{number} {name}' for name, number in sorted(found.items(), key=lambda x: -x[1]))}"
        for model, found in counts.items()
    )
    return Finding(
        verdict,
        f"The greedy answer's correctness flipped in {flipped} of {total} runs on one problem (He: {HE_FLIPPED} of"
        f" {HE_PROBLEMS}), and agreement grew in {grown}. {told}. Simulated alone, 8 votes a step, a mode of mass .3 turns in"
        f" {theory.get('0.3', theory[min(theory)]):.0%} and one of .6 in {theory.get('0.6', theory[max(theory)]):.0%} of"
        f" cases; on the transformer the answers that turned began with an agreement of {before:.2f} on average.",
        {
            "patterns": counts,
            "flips": flips,
            "problems": total,
            "agreement_grew": grown,
            "simulated_flips": theory,
        },
    )


def figure(result: dict):
    """Counts by pattern; accuracy before and after of every problem; flips of the simulation by initial confidence."""
    drawn, ((bars, points, theory),) = sheet(
        1, 3, "One problem at a time: what training amplifies", height=3.6
    )
    names = list(PATTERNS.values())
    found = groups(result, "single problems")
    for place, (model, records) in enumerate(found.items()):
        counts = patterns(records)
        where = np.arange(len(names)) + (place - (len(found) - 1) / 2) * 0.38
        total = sum(counts.values())
        bars.barh(where, [counts.get(name, 0) for name in names], 0.36, color=colour(place), label=model)
        for y, name in zip(where, names, strict=True):
            bars.text(
                counts.get(name, 0) + 0.01 * total,
                y,
                counts.get(name, 0),
                va="center",
                fontsize=8.5,
                color=LOOK.ink,
            )
        before = [one["before"]["accuracy"] for record in records for one in record["problems"]]
        after = [one["after"]["accuracy"] for record in records for one in record["problems"]]
        points.scatter(before, after, s=22, marker=MARKS[place], color=colour(place), alpha=0.7, lw=0)
    bars.set_yticks(np.arange(len(names)), names)
    bars.invert_yaxis()
    finish(bars, "greedy answer, before to after", "problems (all seeds)")
    points.plot([0, 1], [0, 1], color=LOOK.grey, lw=1.0)
    finish(
        points, "accuracy on the problem", "before (share of 64 answers)", "after (share of 64 answers)", True
    )
    (alone,) = (groups(result, "urn")["alone"],)
    (alone,) = alone
    shares = np.array(alone["flipped"])
    theory.plot(
        alone["confidence"],
        shares.mean(axis=1),
        color=colour(2),
        lw=2,
        ls=(0, (4, 2)),
        marker="o",
        ms=4,
        label="simulated alone, 8 votes a step",
    )
    theory.fill_between(
        alone["confidence"], shares.min(axis=1), shares.max(axis=1), color=colour(2), alpha=0.2, lw=0
    )
    theory.axhline(HE_FLIPPED / HE_PROBLEMS, color=LOOK.grey, lw=1.2, label="He et al.: 3 of 25")
    finish(theory, "modes that turned", "initial mass of the mode", "share of prompts")
    theory.set_ylim(bottom=0)
    legend(drawn, (bars, theory))
    return drawn


STUDY = PaperStudy(
    "per-problem",
    "One problem at a time: amplify success, amplify failure, wrong to correct, correct to wrong",
    "Trained on one problem each, the greedy answer's correctness flips in only 3 of 25 problems; the others amplify the"
    " initial preference.",
    "He et al. 2026, section 3",
    grid,
    SEEDS,
    "correctness of the greedy answer",
    figure,
    find,
)
