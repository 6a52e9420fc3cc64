"""Study 4: small data sets are safe, large ones are not; the size between, against theory C2."""

import math

from studies.paper.draw import LOOK, MARKS, band, colour, finish, legend, sheet
from studies.paper.frame import Cell, Finding, PaperStudy
from studies.paper.grids import SEEDS, curves, groups, sweeping, training

MODEL, RATE, STEPS = "addition-uncertain", 3e-4, 100
SIZES = (32, 128, 512, 2048)
SIMULATED = (32, 128, 512, 2048, 8192)
METRICS = ("reward_accuracy", "accuracy", "kl", "mode_retention")
ANSWERS, BATCH, COUPLING = 50, 64, (1.0, 4.5)
POPULATION = {"key": 0, "num_prompts": 9216, "num_answers": ANSWERS, "strength": 2.0}
KL_RATIO = 1.5
SAFE = 0.5
"""A set is safe where at least half of the initial reward accuracy above the floor is left at the end."""


def grid(quick: bool) -> list[Cell]:
    """The same settings on ever more prompts; held-out prompts are evaluated."""
    cells = []
    for size in SIZES[::3] if quick else SIZES:
        cells += training(
            f"{size}",
            MODEL,
            METRICS,
            seeds=SEEDS[: 1 if quick else None],
            weight=40.0 if not quick else 12.0,
            learning_rate=RATE * (2 if quick else 1),
            dataset_size=size,
            max_steps=40 if quick else STEPS,
            eval_every=20,
            eval_prompts=96,
        )
    points = {f"{size}": {"dataset_size": size} for size in (SIMULATED[::2] if quick else SIMULATED)}
    return [
        *cells,
        sweeping(
            "data-set sizes",
            points,
            METRICS,
            population=POPULATION,
            coupling=COUPLING,
            num_steps=600,
            eval_every=30,
            method="sampled",
            prompts_per_step=BATCH,
        ),
    ]


def left(records: list[dict]) -> list[float]:
    """Share of the initial reward accuracy above the floor that is left at the end, by seed."""
    return [
        (curve["reward_accuracy"][-1] - record["floor"]) / (curve["reward_accuracy"][0] - record["floor"])
        for record in records
        for curve in record["curves"]
    ]


def critical_size(private: float, shared: float, batch: int, answers: int) -> float:
    """C2 where modes are spread evenly over the answers: (kappa_p B / kappa_s)^2 K / (8 log K)."""
    return (private * batch / shared) ** 2 * answers / (8 * math.log(answers))


def middle(records: list[dict]) -> float:
    values = sorted(left(records))
    return values[len(values) // 2]


def find(result: dict) -> Finding:
    """Reproduced where the smallest sets are safe and the largest are not, on the transformer and simulated, and KL at
    512 prompts is at least KL_RATIO that at 32.
    """
    told, safe = {}, {}
    for kind in ("trained", "simulated"):
        found = groups(result, kind)
        told[kind] = {label: [round(value, 3) for value in left(records)] for label, records in found.items()}
        kept = [middle(records) >= SAFE for records in found.values()]
        safe[kind] = kept[0] and not kept[-1]
    ordered = {
        kind: all(a >= b - 0.05 for a, b in zip(values, values[1:], strict=False))
        for kind in told
        if (values := [middle(records) for records in groups(result, kind).values()])
    }
    kl = {
        label: round(sum(curve["kl"][-1] for curve in curves(records)) / len(curves(records)), 2)
        for label, records in groups(result, "trained").items()
    }
    critical = critical_size(*COUPLING, BATCH, ANSWERS)
    ratio = kl["512"] / kl["32"] if {"32", "512"} <= set(kl) else None
    whole = all(safe.values()) and ratio is not None and ratio >= KL_RATIO
    some = any(safe.values()) or ordered["trained"]
    verdict = "reproduced" if whole else "partly" if some else "contradicted"
    worst = {label: min(left(records)) for label, records in groups(result, "trained").items()}
    lost = [label for label, value in worst.items() if value < SAFE]

    def said(kind):
        return ", ".join(f"{label}: {middle(records):.2f}" for label, records in groups(result, kind).items())

    return Finding(
        verdict,
        f"What is left of reward accuracy at the end, by data-set size (middle seed): transformer {said('trained')};"
        f" simulated {said('simulated')}. For the simulated population C2 puts the critical size near {critical:.0f}"
        f" prompts. KL to the initial policy, transformer, in nats: "
        + ", ".join(f"{label}: {value:g}" for label, value in kl.items())
        + (f"; at 512 prompts {ratio:.1f} times that at 32 (He: 2)" if ratio else "")
        + f". Over {STEPS} steps (He: 600) some seed loses half of its reward accuracy at {', '.join(lost) or 'no'} prompts.",
        {"left": told, "kl": kl, "c2_critical_size": critical, "ordered": ordered, "kl_512_over_32": ratio},
    )


def figure(result: dict):
    """Reward accuracy by step and size, both sides; what is left against the size, with C2's; KL by step."""
    drawn, ((curve, simulated), (sizes, kl)) = sheet(
        2,
        2,
        f"How many prompts are safe? ({MODEL} at learning rate {RATE:g}, and a coupled population)",
        height=2.9,
    )
    every = list(dict.fromkeys([*groups(result, "trained"), *groups(result, "simulated")]))
    every.sort(key=int)
    for axes, kind in ((curve, "trained"), (simulated, "simulated")):
        for label, records in groups(result, kind).items():
            band(
                axes,
                curves(records),
                "reward_accuracy",
                colour(every.index(label)),
                f"{int(label):,} prompts",
                kind == "simulated",
            )
    finish(curve, "reward accuracy: transformer", "optimizer step", "share", True)
    finish(simulated, "reward accuracy: coupled population", "optimizer step", "share", True)
    for label, records in groups(result, "trained").items():
        band(kl, curves(records), "kl", colour(every.index(label)))
    finish(kl, "KL to the initial policy: transformer", "optimizer step", "nats")
    for place, (kind, name) in enumerate((("trained", "transformer"), ("simulated", "simulated"))):
        for label, records in groups(result, kind).items():
            values = left(records)
            sizes.plot(
                [int(label)] * len(values),
                values,
                MARKS[place],
                ms=5,
                color=LOOK.ink if not place else LOOK.grey,
                alpha=0.75,
                label=f"{name}, one point a seed",
            )
    sizes.axvline(
        critical_size(*COUPLING, BATCH, ANSWERS),
        color=LOOK.grey,
        lw=1.5,
        ls=(0, (4, 2)),
        label="critical size of C2, simulated population",
    )
    sizes.set_xscale("log", base=2)
    sizes.set_xticks([int(label) for label in every], [f"{int(label):,}" for label in every])
    finish(sizes, "left of reward accuracy at the end", "prompts in the data set", "share above the floor")
    legend(drawn, (curve, simulated, sizes), 4)
    return drawn


STUDY = PaperStudy(
    "dataset-size",
    "Data sets of 32 to thousands of prompts, KL to the initial policy, and the critical size of C2",
    "Over 600 steps data sets of 32 and 128 prompts never collapse, those of 512 and more do; KL to the initial policy is"
    " about twice as large at 512 as at 32.",
    "He et al. 2026, section 3",
    grid,
    SEEDS,
    "reward_accuracy",
    figure,
    find,
)
