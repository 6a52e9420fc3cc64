"""One probe and some pilots for every group of runs that differ in learning rate and seed alone, with every
number that a forecast reads.
"""

import json
from dataclasses import replace
from pathlib import Path

SEED = 100
"""The probes' seed, which no measured run has: what they draw is independent of what the runs draw."""

PROMPTS, ROLLOUTS, PILOTS = 128, 16, 3
"""Evaluation prompts, answers of each, and pilots with seeds of their own: a fit on one would take its luck
for a law.
"""

FIRST_RATE = {"adam": 5e-5, "sgd": 0.03}


def probe_runs(runs) -> dict:
    """One Run for each model and settings of `runs`, without learning rates and seeds, and the learning rates
    it stands for.

    Only with settings as `runs` mostly have them are the theories asked: elsewhere the rates are left empty,
    since each costs a compilation.
    """
    found, rates = {}, {}
    for run in runs:
        settings = replace(run.settings, seed=SEED, learning_rate=1e-3)
        one = found.setdefault(
            (run.model, settings),
            replace(run, label=f"probe {run.model} {variation(run)}".strip(), settings=settings),
        )
        rates.setdefault(one, set()).update(() if variation(run) else (run.settings.learning_rate,))
    return {run: tuple(sorted(chosen)) for run, chosen in rates.items()}


def variation(run) -> str:
    """What a run's label says besides model and learning rate."""
    return run.label.removeprefix(run.model).strip().partition(" ")[2]


def pass_gap(population) -> float | None:
    """pass@k − pass@1, k the probe's rollouts, from the probe's estimate of each prompt's chance; None
    without labels.
    """
    if population.correct is None:
        return None
    chance = (population.probs * population.correct).sum(axis=1)
    return float(((1 - (1 - chance) ** ROLLOUTS) - chance).mean())


def theory(probe, settings, rate: float) -> dict:
    """What the uncoupled theory and the mean field with the probe's own kernel say at one learning rate:
    criterion to step or None.
    """
    from llm_bridge.forecast.theory import coupled_voice, uncoupled_voice
    from sharpening import collapse_steps

    settings = replace(settings, learning_rate=rate)
    voices = {"uncoupled": uncoupled_voice(probe, settings), "coupled": coupled_voice(probe, settings)}
    return {
        name: {criterion: step.step for criterion, step in collapse_steps(voice).items()}
        for name, voice in voices.items()
    }


def probe_record(run, rates, task, file: Path, pilots: int = PILOTS) -> dict:
    """The probe of one run's model and settings as plain data, with the theories' steps at these learning
    rates, kept in `file`.
    """
    from llm_bridge import load_model
    from llm_bridge.console.quiet import quiet_libraries
    from llm_bridge.forecast.pilot import run_pilots
    from llm_bridge.forecast.probe import Cost, probe_model
    from llm_bridge.models.loading import fitting_threads
    from llm_bridge.report.document import plain
    from sharpening.trajectory import write_json

    if not file.is_file():
        loaded, cost = load_model(run.model), Cost()
        with quiet_libraries(), fitting_threads(loaded):
            probe = probe_model(loaded, task, run.settings, prompts=PROMPTS, rollouts=ROLLOUTS)
            ran = run_pilots(
                loaded, task, run.settings, pilots, first_rate=FIRST_RATE[run.settings.optimizer], cost=cost
            )
        kept = {
            "noise": probe.radius.noise.tolist(),
            "kept": probe.radius.metrics["mode_retention"].tolist(),
            "radius": probe.radius.radius,
        }
        record = {
            "prior": probe.prior.as_dict(),
            "coupling": probe.kernel.as_dict(),
            "noise": kept,
            "num_parameters": loaded.num_parameters,
            "pilots": [pilot.as_dict() for pilot in ran],
            "pass_gap": pass_gap(probe.population),
            "theory": {f"{rate:g}": theory(probe, run.settings, rate) for rate in rates},
            "cost": {name: value + cost.as_dict()[name] for name, value in probe.cost.as_dict().items()},
        }
        write_json(file, plain(record))
    return json.loads(file.read_text())
