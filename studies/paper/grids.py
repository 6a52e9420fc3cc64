"""Cells that many studies share, and reading records back by group."""

from studies.paper.frame import Cell

SEEDS = (0, 1, 2)


def training(
    label: str,
    model: str,
    metrics: tuple[str, ...],
    *,
    seeds=SEEDS,
    stop_on_collapse: bool = False,
    weight: float = 30.0,
    **run,
) -> list[Cell]:
    """One cell a seed: the model's own task, `run` the settings that differ from the defaults."""
    from llm_bridge.models.built_in import default_task

    return [
        Cell(
            "trained",
            label,
            {
                "model": model,
                "task": default_task(model),
                "run": run | {"seed": seed},
                "metrics": list(metrics),
                "stop_on_collapse": stop_on_collapse,
            },
            weight,
        )
        for seed in seeds
    ]


def rewarded(
    reward: str,
    label: str,
    model: str,
    metrics: tuple[str, ...],
    quick: bool,
    *,
    weights: tuple[float, float],
    steps: tuple[int, int],
    eval_prompts: tuple[int, int],
    **run,
) -> list[Cell]:
    """One reward on one transformer: in the quick form one seed and the first of each pair, else every seed and the
    second.
    """
    place = 0 if quick else 1
    return training(
        label,
        model,
        metrics,
        seeds=SEEDS[: 1 if quick else None],
        weight=weights[place],
        reward=reward,
        max_steps=steps[place],
        eval_prompts=eval_prompts[place],
        **run,
    )


def simulation(
    label: str,
    metrics: tuple[str, ...],
    *,
    population: dict,
    coupling: tuple[float, float],
    reward: str = "majority",
    update: str = "grpo(learning_rate=1.0)",
    seeds=SEEDS,
    weight: float = 15.0,
    on_trained: bool = False,
    **simulate,
) -> Cell:
    """One cell for all seeds, which share what is compiled; on_trained: evaluated on the data set's own prompts."""
    settings = {
        "population": population,
        "coupling": list(coupling),
        "reward": reward,
        "update": update,
        "simulate": simulate,
        "seeds": list(seeds),
        "metrics": list(metrics),
    }
    settings |= {"on_trained": True} if on_trained else {}
    return Cell("simulated", label, settings, weight)


def sweeping(
    label: str,
    points: dict[str, dict],
    metrics: tuple[str, ...],
    *,
    population: dict,
    coupling: tuple[float, float],
    seeds=SEEDS,
    weight: float = 30.0,
    easiest: float | None = None,
    **simulate,
) -> Cell:
    """One cell for many settings of GRPO on votes: label to what changes; easiest: of that share of the prompts alone."""
    settings = {
        "population": population,
        "coupling": list(coupling),
        "reward": "majority",
        "update": "grpo(learning_rate=1.0)",
        "points": points,
        "simulate": simulate,
        "seeds": list(seeds),
        "metrics": list(metrics),
    } | ({} if easiest is None else {"easiest": easiest})
    return Cell("swept", label, settings, weight)


def groups(result: dict, kind: str) -> dict[str, list[dict]]:
    """The records of a kind, by label in the order of the grid; parts of a sweep count as simulated."""
    found: dict[str, list[dict]] = {}
    for record in result["cells"]:
        if record["kind"] == "swept" and kind == "simulated":
            for part in record["parts"]:
                found.setdefault(part["label"], []).append(part)
        if record["kind"] == kind:
            found.setdefault(record["label"], []).append(record)
    return found


def curves(records: list[dict]) -> list[dict]:
    """The curves of a group, one a seed."""
    return [curve for record in records for curve in record["curves"]]


def steps(records: list[dict], criterion: str) -> list[tuple[int, bool]]:
    """(step, whether it collapsed there) of every seed; a run that ended first has its last step and False."""
    found = [collapse[criterion] for record in records for collapse in record["collapse"]]
    return [
        (one["step"], True) if one["outcome"] == "collapsed" else (one["horizon"], False) for one in found
    ]


def median_step(records: list[dict], criterion: str) -> float | None:
    """The middle collapse step of the seeds, runs that ended first counted as later than all; None where the middle
    one ended first.
    """
    ordered = sorted(steps(records, criterion), key=lambda one: (not one[1], one[0]))
    step, collapsed = ordered[(len(ordered) - 1) // 2]
    return float(step) if collapsed else None
