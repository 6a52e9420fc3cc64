"""`sharpening simulate`: the coupled population of the theory on a synthetic prior; no model, no torch."""

from typing import Annotated

import typer

from llm_bridge.cli.options import TRAINING, JsonOption, ReportOption
from llm_bridge.cli.outputs import Outputs
from sharpening.errors import InputError

ORDER = 35
PRIOR, COUPLING = "Prior", "Coupling"
STEP_SIZE = 4.0


def register(app: typer.Typer) -> None:
    app.command("simulate")(simulate)


def _option(name: str, text: str, panel: str):
    return typer.Option(name, help=text, rich_help_panel=panel)


def simulate(
    prompts: Annotated[int, _option("--prompts", "Prompts in the population.", PRIOR)] = 2048,
    answers: Annotated[
        int, _option("--answers", "Possible answers, the same labels for every prompt.", PRIOR)
    ] = 50,
    strength: Annotated[
        float, _option("--strength", "How far the right answer leads on average (nats).", PRIOR)
    ] = 2.8,
    alignment: Annotated[
        float | None,
        _option(
            "--alignment",
            "Share of prompts whose likeliest answer is right. Default: as --strength has it.",
            PRIOR,
        ),
    ] = None,
    private: Annotated[float, _option("--private", "Pull of a prompt's own updates.", COUPLING)] = 1.0,
    shared: Annotated[
        float, _option("--shared", "Pull of everyone's updates; 0 uncouples the prompts.", COUPLING)
    ] = 2.0,
    reward: Annotated[str, _option("--reward", "Reward (see `sharpening rewards`).", TRAINING)] = "majority",
    update: Annotated[
        str,
        _option(
            "--update",
            'grpo, kl_prox, natural_gradient or softmax_gradient; settings in brackets: "grpo(beta=0.1)" has a KL term.',
            TRAINING,
        ),
    ] = "grpo",
    step_size: Annotated[
        float | None,
        _option(
            "--step-size",
            "What multiplies the update's direction (1/beta for kl_prox). Default: 4, unless --update says it.",
            TRAINING,
        ),
    ] = None,
    method: Annotated[str, _option("--method", "exact, sampled or mean_field.", TRAINING)] = "sampled",
    prompts_per_step: Annotated[int, _option("--prompts-per-step", "Prompts in one step.", TRAINING)] = 32,
    rollouts: Annotated[int, _option("--rollouts", "Voters per prompt.", TRAINING)] = 8,
    dataset_size: Annotated[
        int | None,
        _option(
            "--dataset-size",
            "Train on this many prompts and evaluate on the others; 0: fresh ones in every step. Default: three quarters.",
            TRAINING,
        ),
    ] = None,
    temperature: Annotated[
        float,
        _option(
            "--temperature",
            "What logits are divided by, in sampling and in gradients; metrics are those at this temperature.",
            TRAINING,
        ),
    ] = 1.0,
    optimizer: Annotated[str, _option("--optimizer", "sgd or adam.", TRAINING)] = "sgd",
    steps: Annotated[int, _option("--steps", "Optimizer steps.", TRAINING)] = 400,
    eval_every: Annotated[int, _option("--eval-every", "Evaluate every so many steps.", TRAINING)] = 10,
    seed: Annotated[int, _option("--seed", "Seed of the prior and of the sampling.", TRAINING)] = 0,
    json_target: JsonOption = None,
    report: ReportOption = None,
):
    """Simulate training of a synthetic population of prompts, and show when it collapses.

    With the defaults the accuracy of the trained prompts rises first and falls later.
    """
    settings = dict(locals())
    settings["dataset_size"] = (3 * prompts // 4 or None) if dataset_size is None else dataset_size or None
    outputs = Outputs(settings.pop("json_target"), settings.pop("report"))
    outputs.check()
    update_rule = _update(update, step_size)
    settings["step_size"] = float(update_rule.step_size) if step_size is None else step_size

    from llm_bridge.report.document import simulation_document
    from sharpening.collapse import collapse_steps

    with outputs.reserved():
        trajectory = _run(settings, update_rule)
        collapse = collapse_steps(trajectory)
        document = simulation_document(trajectory, settings, collapse)
        _show(outputs, trajectory, collapse)
        if report is not None:
            from llm_bridge.report.files import simulation_files

            outputs.write_report(simulation_files(document, trajectory, collapse))
        outputs.write_json(document)


def _update(text: str, step_size: float | None):
    """The update of that text; its step size from the text or from the option, never from both."""
    from sharpening.spec import split_spec
    from sharpening.updates import KLProx, get_update

    if step_size is not None and not 0 < step_size < float("inf"):
        rule, fix = "it must be greater than zero and finite", "Give --step-size a positive value"
        raise InputError("step_size", step_size, rule, fix)
    update, (_, told) = get_update(text), split_spec(text, "update")
    size = "beta" if isinstance(update, KLProx) else "learning_rate"
    if size in told:
        if step_size is not None:
            rule, fix = f"{text!r} says its {size} itself", f"Leave out --step-size, or {size}"
            raise InputError("step_size", step_size, rule, fix)
        return update
    step_size = STEP_SIZE if step_size is None else step_size
    return get_update(update, **{size: 1 / step_size if size == "beta" else step_size})


def _run(settings: dict, update):
    from sharpening.coupling import CompoundSymmetric
    from sharpening.population import Population
    from sharpening.rewards import get_reward
    from sharpening.simulation.run import simulate as run

    coupling = CompoundSymmetric(private=settings["private"], shared=settings["shared"])
    population = Population.synthetic(
        settings["seed"],
        settings["prompts"],
        settings["answers"],
        strength=settings["strength"],
        alignment=settings["alignment"],
        coupling=coupling,
    )
    names = (
        "method",
        "prompts_per_step",
        "rollouts",
        "dataset_size",
        "temperature",
        "optimizer",
        "eval_every",
    )
    return run(
        population,
        get_reward(settings["reward"]),
        update,
        num_steps=settings["steps"],
        key=settings["seed"],
        **{name: settings[name] for name in names},
    )


def _show(outputs: Outputs, trajectory, collapse: dict) -> None:
    from llm_bridge.report.tables import print_simulation

    print_simulation(outputs.console(), trajectory, collapse)
