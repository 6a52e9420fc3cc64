"""A cell of verification schedules: what each costs and where training under it ends."""

from pathlib import Path


def schedules(settings: dict, folder: Path) -> dict:
    """Votes on a coupled population of `prompts`, a data set, with a verifier of `tpr` and `fpr` called by each of the
    `families` (family to parameters): verifier calls as a share of all rollouts, and accuracy before and after, one
    population a seed.
    """
    from sharpening import CompoundSymmetric, Population
    from sharpening.verification.run import run_schedule

    private, shared = settings["coupling"]
    run = settings["run"]
    everything = run["num_steps"] * run["prompts_per_step"] * run["rollouts"]
    rows = []
    for seed in settings["seeds"]:
        prior = Population.synthetic(
            seed,
            settings["prompts"],
            settings["answers"],
            strength=settings["strength"],
            coupling=CompoundSymmetric(private, shared),
        )
        for family, parameters in settings["families"].items():
            for parameter in parameters:
                found = run_schedule(
                    prior,
                    family,
                    parameter,
                    tpr=settings["tpr"],
                    fpr=settings["fpr"],
                    dataset_size=settings["prompts"],
                    **run,
                )
                curve = found.trajectory["accuracy"]
                rows.append(
                    {
                        "seed": seed,
                        "family": family,
                        "parameter": parameter,
                        "cost": round(found.calls / everything, 4),
                        "before": round(float(curve[0]), 4),
                        "after": round(float(curve[-1]), 4),
                    }
                )
    return {"rows": rows}
