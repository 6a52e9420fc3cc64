"""The laws of coupled prompts against simulations: collapse step (C1, C7), data-set size (C2), strategies
(C6), verification (X3).

    python studies/benchmarks/coupling_laws.py [--only c1 c2 …] [--json studies/benchmarks/coupling_laws.json]
        [--figure docs/figures/coupling_laws.png]

Writes one small JSON file, from which the figure is drawn, and prints the tables. About four minutes on one
core.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from sharpening import (
    GRPO,
    CompoundSymmetric,
    KLProx,
    LowRankPlusDiagonal,
    MajorityReward,
    NaturalGradient,
    Population,
    SoftmaxGradient,
    collapse_step,
    compare_schedules,
    critical_ratio,
    earliest_turn,
    simulate,
    vote_path,
)

HERE = Path(__file__).parent
DECADES = np.array([1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
# half-lives below this many steps are left out of the fits: no law in continuous time is meant for them
COARSE = 10
SEEDS = (0, 1, 2)


def biased(population: Population, nats: float) -> Population:
    """The same prior with answer 0 favoured by `nats` on every prompt, as a word that fits everywhere is."""
    logits = population.log_probs.copy()
    logits[:, 0] += nats
    return Population.from_logits(logits, population.correct)


def half_life(run) -> float | None:
    """Half-life of reward accuracy, in steps, interpolated between evaluations; None for a run that ended
    before.
    """
    found = collapse_step(run, "half_life")
    if found.step is None:
        return None
    values, at = run["reward_accuracy"], int(np.flatnonzero(run.step == found.step)[0])
    before, after = values[at - 1], values[at]
    return float(
        run.step[at] - (run.step[at] - run.step[at - 1]) * (found.threshold - after) / (before - after)
    )


def slope(strengths, times) -> tuple[float, float]:
    """Least-squares slope of log time on log strength, and the root mean square residual as a factor."""
    x, y = np.log(strengths), np.log(times)
    fit = np.polyfit(x, y, 1)
    return float(fit[0]), float(np.exp(np.sqrt(np.mean((y - np.polyval(fit, x)) ** 2))))


def collapse_steps_over_decades() -> dict:
    """C1: fresh prompts, kappa_s eta over three decades; the half-life in steps, and the bounds that the
    prior alone gives.
    """
    even = Population.synthetic(0, 2048, 50, strength=1.6)
    cases = {
        "KL-prox, one favoured answer, expected drift": (
            biased(even, 2.0),
            KLProx(1.0),
            "mean_field",
            20.0,
            0.001,
        ),
        "GRPO, one favoured answer, 64 x 8": (biased(even, 2.0), GRPO(1.0), "sampled", 80.0, 0.003),
        "GRPO, evenly spread answers, 64 x 8": (even, GRPO(1.0), "sampled", 900.0, 0.03),
    }
    told = {}
    for name, (prior, update, method, horizon, least) in cases.items():
        rows = []
        for strength in (least * DECADES).tolist():
            steps = max(20, int(horizon / strength))
            for seed in SEEDS if method == "sampled" else (0,):
                population = prior.replace(coupling=CompoundSymmetric(1.0, strength))
                run = simulate(population, "majority", update, num_steps=steps, method=method, prompts_per_step=64, key=seed,
                               eval_every=max(1, steps // 400), precision="float32")  # fmt: skip
                rows.append(
                    {"strength": strength, "seed": seed, "half_life": half_life(run), "horizon": steps}
                )
        ended = [row for row in rows if row["half_life"]]
        fine = [row for row in ended if row["half_life"] >= COARSE]
        products = np.array([row["strength"] * row["half_life"] for row in fine])
        fitted, factor = slope([row["strength"] for row in fine], [row["half_life"] for row in fine])
        gaps = earliest_turn(prior, 0)
        floor_gap = float(np.quantile(np.maximum(gaps, 0), 0.5))
        told[name] = {
            "rows": rows, "slope": fitted, "scatter_factor": factor, "product_median": float(np.median(products)),
            "product_range": [float(products.min()), float(products.max())], "ended": len(ended), "runs": len(rows),
            "fitted_on": len(fine), "speed_limit": floor_gap if "favoured" in name else None,
        }  # fmt: skip
        if "favoured" in name:
            told[name]["gap_over_first_drift"] = floor_gap / _first_drift(prior, update)
        if update.name == "kl_prox":
            told[name]["path_half_time"] = vote_path(prior, private=0.0, shared=1.0).time_of_share(0.5)
            told[name]["simulated_half_turned"] = _half_turned(prior)
    return told


def _first_drift(prior: Population, update) -> float:
    """At the start, how fast answer 0 drifts away from the mean of the others, with infinitely many
    rollouts.
    """
    rewards = MajorityReward().exact(prior.log_probs)
    drift = np.asarray(update.direction(prior.log_probs, rewards)).mean(axis=0)
    return float(drift[0] - drift[1:].mean())


def _half_turned(prior: Population, strength: float = 0.01) -> float:
    """Simulated time (kappa_s eta steps) at which half of the prompts have answer 0 as their mode, expected
    drift of KL-prox.
    """
    marked = np.zeros(prior.log_probs.shape, bool)
    marked[:, 0] = True
    population = prior.replace(correct=marked, coupling=CompoundSymmetric(1.0, strength))
    steps = int(40 / strength)
    run = simulate(
        population,
        "majority",
        KLProx(1.0),
        num_steps=steps,
        method="mean_field",
        eval_every=max(1, steps // 2000),
    )
    return float(run.step[np.flatnonzero(run["label_accuracy"] >= 0.5)[0]] * strength)


def coexistence() -> dict:
    """C7: two groups, shares and margins on a grid; does answer 1 take all? Predicted by odds against
    cosh^power.
    """
    rows = []
    for name, update, power in (
        ("GRPO", GRPO(1.0), 1),
        ("softmax gradient", SoftmaxGradient(1.0), 2),
        ("natural gradient", NaturalGradient(1.0), 0),
    ):
        for margin in (0.5, 1.0, 2.0, 3.0):
            for share in (0.52, 0.6, 0.7, 0.8, 0.9, 0.95):
                first = np.arange(200) < 200 * share
                odds = np.where(first, margin, -margin)
                logits, truth = np.stack([odds / 2, -odds / 2], axis=1), np.stack([~first, first], axis=1)
                population = Population.from_logits(logits, truth, coupling=CompoundSymmetric(1.0, 0.02))
                limit = float(np.cosh(margin) ** power)
                rows.append(
                    {
                        "update": name,
                        "margin": margin,
                        "share": share,
                        "odds": share / (1 - share),
                        "limit": limit,
                        "predicted": bool(share / (1 - share) > limit),
                        "collapsed": _one_answer(population, update, "mean_field"),  # fmt: skip
                        "collapsed_with_8_rollouts": _one_answer(population, update, "sampled"),
                    }
                )
    agree = lambda key: sum(row["predicted"] == row[key] for row in rows)  # noqa: E731
    return {
        "rows": rows,
        "cases": len(rows),
        "right": agree("collapsed"),
        "right_with_8_rollouts": agree("collapsed_with_8_rollouts"),
    }


def _one_answer(population: Population, update, method: str) -> bool:
    run = simulate(
        population,
        "majority",
        update,
        num_steps=20_000,
        method=method,
        prompts_per_step=64,
        eval_every=20_000,
        key=0,
    )
    return bool(run["distinct_answers"][-1] == 1)


def data_set_sizes() -> dict:
    """C2: D, kappa_s, kappa_p and priors on a grid; R = kappa_s D/(kappa_p B) against 1/(m_max - m_min),
    nothing fitted.
    """
    priors = {
        "even, middle": Population.synthetic(0, 3072, 50, strength=2.0),
        "even, strong": Population.synthetic(1, 3072, 50, strength=2.8),
        "favoured answer": biased(Population.synthetic(2, 3072, 50, strength=2.0), 3.0),
        "favoured a little": biased(Population.synthetic(3, 3072, 50, strength=1.6), 1.5),
    }
    rows = []
    for name, prior in priors.items():
        for shared, private in ((4.5, 1.0), (1.0, 1.0), (1.0, 0.1), (2.0, 0.05)):
            for size in (16, 32, 64, 128, 256, 512, 1024, 2048):
                population = prior.replace(coupling=CompoundSymmetric(private, shared))
                run = simulate(
                    population,
                    "majority",
                    GRPO(1.0),
                    num_steps=int(600 / shared),
                    method="sampled",
                    prompts_per_step=64,  # fmt: skip
                    dataset_size=size,
                    eval_every=int(600 / shared),
                    key=0,
                    precision="float32",
                )
                trained = prior.select(slice(0, size))
                ratio, critical = shared * size / (private * 64), critical_ratio(trained)
                end, alpha, floor = (
                    float(run["train_reward_accuracy"][-1]),
                    trained.alignment,
                    trained.base_rate_floor,
                )
                rows.append({"prior": name, "shared": shared, "private": private, "size": size, "ratio": ratio, "critical": critical,
                             "alpha": alpha, "floor": floor, "end": end, "predicted_safe": bool(ratio <= critical),
                             "safe": bool(end > (alpha + floor) / 2)})  # fmt: skip
    right = sum(row["predicted_safe"] == row["safe"] for row in rows)
    clear = [row for row in rows if not 1 / 3 < row["ratio"] / row["critical"] < 3]
    return {
        "rows": rows, "cases": len(rows), "right": right, "safe": sum(row["safe"] for row in rows),
        "called_safe": sum(row["predicted_safe"] for row in rows),
        "called_safe_but_died": sum(row["predicted_safe"] and not row["safe"] for row in rows), "clear_cases": len(clear),
        "clear_right": sum(row["predicted_safe"] == row["safe"] for row in clear),
        "size_alone_right": max(sum((row["size"] <= size) == row["safe"] for row in rows) for size in (16, 32, 64, 128, 256, 512, 1024, 2048)),
        "best_multiple": max((sum((row["ratio"] <= m * row["critical"]) == row["safe"] for row in rows), m) for m in (0.5, 1, 1.5, 2, 3, 4)),
    }  # fmt: skip


def strategy_population(
    city: float, subject: float, word: float, prompts: int = 256, seed: int = 0
) -> Population:
    """Prompts with six strategies: the right city, the prompt's own subject, one word for all, three stray
    words; log-probability offsets in nats, spread 1; policies over the labels that they give.
    """
    rng = np.random.default_rng(seed)
    strays = np.array([rng.choice(40, 3, replace=False) for _ in range(prompts)]) + 2 * prompts + 1
    rows = np.arange(prompts)
    answers = np.column_stack([rows, prompts + rows, np.full(prompts, 2 * prompts), strays])
    logits = np.full((prompts, 2 * prompts + 41), -np.inf)
    logits[rows[:, None], answers] = np.array([city, subject, word, 0, 0, 0]) + rng.standard_normal(
        (prompts, 6)
    )
    correct = np.zeros(logits.shape, bool)
    correct[rows, rows] = True
    kernel = LowRankPlusDiagonal.strategies(answers, private=0.05, shared=2.0, num_answers=logits.shape[1])
    return Population.from_logits(logits, correct, coupling=kernel)


def strategies() -> dict:
    """C6: the same kernel, three priors: the right rule spreads, a wrong rule kills with all answers
    distinct, a word kills with one.
    """
    told = {}
    for name, offsets in (
        ("city leads", (1.5, 0.0, 0.0)),
        ("subject leads", (0.3, 1.5, 0.0)),
        ("word leads", (0.3, 0.0, 1.5)),
    ):
        prior = strategy_population(*offsets)
        run = simulate(
            prior,
            "majority",
            GRPO(0.2),
            num_steps=100,
            method="sampled",
            prompts_per_step=32,
            eval_every=2,
            key=0,
            precision="float32",
        )
        told[name] = {
            "alpha": prior.alignment, "step": run.step.tolist(),
            **{key: np.round(run[key], 4).tolist() for key in ("accuracy", "reward_accuracy", "distinct_answers", "mode_retention", "excess_kl")},
        }  # fmt: skip
    return told


def verification() -> dict:
    """X3: five schedules on a pool and on fresh prompts, calls and share of prompts that end right."""
    told = {}
    for name, prompts, steps in (
        ("pool of 512, 300 steps of 32", 512, 300),
        ("9,600 fresh prompts, 300 steps of 32", 9600, 300),
    ):
        prior = Population.synthetic(0, prompts, 20, strength=2.0)
        for tpr, fpr in ((0.9, 0.1), (0.7, 0.4)):
            schedules = compare_schedules(prior, tpr, fpr, num_steps=steps, beta=2.0, error=0.01)
            told[f"{name}; TPR {tpr}, FPR {fpr}"] = [schedule.as_dict() for schedule in schedules]
    return told


PARTS = {
    "c1": collapse_steps_over_decades,
    "c2": data_set_sizes,
    "c6": strategies,
    "c7": coexistence,
    "x3": verification,
}


def show(results: dict) -> None:
    for name, case in results.get("c1", {}).items():
        print(f"C1 {name}: slope {case['slope']:.3f}, product {case['product_median']:.1f} ({case['product_range'][0]:.1f} to "
              f"{case['product_range'][1]:.1f}), scatter x{case['scatter_factor']:.2f}, {case['ended']} of {case['runs']} ended, "
              f"fitted on {case['fitted_on']}")  # fmt: skip
        for key in ("speed_limit", "path_half_time", "simulated_half_turned", "gap_over_first_drift"):
            if case.get(key) is not None:
                print(f"   {key}: {case[key]:.3f}")
    if "c2" in results:
        c2 = results["c2"]
        print(f"C2: {c2['right']} of {c2['cases']} right ({c2['safe']} safe), {c2['clear_right']} of {c2['clear_cases']} beyond a factor of 3; "
              f"{c2['called_safe_but_died']} of {c2['called_safe']} called safe died; "
              f"best size alone {c2['size_alone_right']}; best multiple {c2['best_multiple']}")  # fmt: skip
    for name, case in results.get("c6", {}).items():
        print(f"C6 {name}: alpha {case['alpha']:.2f}; accuracy {case['accuracy'][0]:.2f} -> {case['accuracy'][-1]:.2f}, distinct answers "
              f"{case['distinct_answers'][0]:.0f} -> {case['distinct_answers'][-1]:.0f}, retention {case['mode_retention'][-1]:.2f}, "
              f"excess KL {case['excess_kl'][-1]:.2f}")  # fmt: skip
    if "c7" in results:
        c7 = results["c7"]
        print(
            f"C7: {c7['right']} of {c7['cases']} right with infinitely many rollouts,"
            f" {c7['right_with_8_rollouts']} with 64 x 8"
        )
    for name, rows in results.get("x3", {}).items():
        print(f"X3 {name}")
        for row in rows:
            print(f"   {row['name']:10s} {row['calls']:10.0f} calls, right {row['right']:.3f}")


def draw(results: dict, path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    for name, case in results["c1"].items():
        ended = [row for row in case["rows"] if row["half_life"]]
        axes[0].loglog(
            [row["strength"] for row in ended],
            [row["half_life"] for row in ended],
            "o",
            ms=4,
            label=f"{name}: slope {case['slope']:.2f}",
        )
        strengths = np.unique([row["strength"] for row in case["rows"]])
        axes[0].loglog(
            strengths, case["product_median"] / strengths, color=axes[0].lines[-1].get_color(), lw=0.8
        )
    axes[0].set(
        xlabel="shared strength × learning rate",
        ylabel="half-life, steps",
        title="C1: slope −1 over three decades",
    )
    axes[0].legend(fontsize=7)
    for safe, marker in ((True, "o"), (False, "x")):
        rows = [row for row in results["c2"]["rows"] if row["safe"] == safe]
        label = "ends at α" if safe else "ends at the floor"
        axes[1].loglog(
            [row["critical"] for row in rows],
            [row["ratio"] for row in rows],
            marker,
            ms=5,
            ls="",
            label=label,
        )
    limits = np.array([1.0, 100.0])
    axes[1].loglog(limits, limits, color="black", lw=0.8, label="R (m_max − m_min) = 1")
    axes[1].set(
        xlabel="1 / (m_max − m_min)",
        ylabel="R = κ_s D / (κ_p B)",
        title="C2: critical data-set size, nothing fitted",
    )
    axes[1].legend(fontsize=7)
    for name, case in results["c6"].items():
        (line,) = axes[2].plot(case["step"], case["accuracy"], label=f"{name}: accuracy")
        axes[2].plot(case["step"], np.array(case["distinct_answers"]) / 256, color=line.get_color(), ls=":")
    axes[2].set(
        xlabel="step", ylabel="accuracy; dotted: distinct answers / prompts", title="C6: which strategy wins"
    )
    axes[2].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path, default=HERE / "coupling_laws.json")
    parser.add_argument(
        "--figure", type=Path, default=HERE.parents[1] / "docs" / "figures" / "coupling_laws.png"
    )
    options = parser.parse_args()
    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    for part in options.only:
        results[part] = PARTS[part]()
        show({part: results[part]})
        options.json.write_text(
            json.dumps(results, indent=None, separators=(",", ":")).replace('},{"', '},\n{"') + "\n"
        )
    if {"c1", "c2", "c6"} <= set(results):
        draw(results, options.figure)


if __name__ == "__main__":
    main()
