"""`sharpening schedule`: the cheapest verification that keeps a wrong majority from winning: by theory, or
searched for a model or a prior.
"""

import inspect
from dataclasses import fields
from typing import Annotated

import typer

from llm_bridge.cli.options import Request, run_command, with_options
from llm_bridge.cli.outputs import Outputs
from llm_bridge.cli.trl_run import one_reward
from llm_bridge.training.settings import RunSettings
from sharpening.errors import InputError

ORDER = 36
VERIFIER, PLAN, SYNTHETIC, THEORY = (
    "Verifier",
    "What a plan must reach",
    "Without a model: a synthetic population",
    "Without a model: theory alone",
)
MODEL_HELP = (
    "What is to be trained: Hugging Face folder or hub id, GGUF file, or built-in name (see `sharpening zoo"
    " list`). Default: none."
)
COMMON = {
    "tpr",
    "fpr",
    "cost",
    "error",
    "prompts_per_step",
    "rollouts",
    "max_steps",
    "dataset_size",
    "json_target",
}
UNREAD = {  # what each form of the command does not read, beside what the others alone do
    "a model": {"step_size", "wrong_before", "confirm"},
    "a synthetic population": {
        "task",
        "answer_pattern",
        "chat",
        "image_folder",
        "system",
        "few_shot",
        "stop",
        "chat_template_kwargs",
        "temperature",
        "learning_rate",
        "beta",
        "max_new_tokens",
        "eval_prompts",
        "wrong_modes",
        "wrong_before",
        "confirm",
    },
}
SYNTHETIC_SIZE = 256, 20


def register(app: typer.Typer) -> None:
    app.command("schedule")(schedule_command())


def _option(name: str, text: str, panel: str):
    return typer.Option(name, help=text, rich_help_panel=panel)


def of_model(
    request: Request,
    tpr: Annotated[
        float, _option("--tpr", "How often the verifier accepts a right answer, 0 to 1.", VERIFIER)
    ],
    fpr: Annotated[float, _option("--fpr", "How often it accepts a wrong answer, 0 to 1.", VERIFIER)],
    cost: Annotated[float, _option("--cost", "Cost of one call, in any unit.", VERIFIER)] = 1.0,
    wrong_modes: Annotated[
        float | None,
        _option(
            "--wrong-modes",
            "Share of prompts whose majority answer is assumed wrong: for tasks without true answers.",
            PLAN,
        ),
    ] = None,
    least_accuracy: Annotated[
        float | None,
        _option(
            "--least-accuracy",
            "Accuracy that a plan must end with. Default: 0.03 below where it starts.",
            PLAN,
        ),
    ] = None,
    safety: Annotated[
        float,
        _option(
            "--safety",
            "A plan must work at learning rates from 1/SAFETY to SAFETY times the one asked for; 1: at that"
            " one.",
            PLAN,
        ),
    ] = 1.5,
    error: Annotated[
        float,
        _option("--error", "Error level of the tests that certify a label, above 0 and at most 0.5.", PLAN),
    ] = 0.01,
):
    """Search the cheapest verification plan for a model."""
    from llm_bridge.cli.runs import run_schedule_search
    from llm_bridge.report.schedule_words import schedule_notes
    from llm_bridge.report.schedules import print_schedule, schedule_document

    with request.outputs.reserved():
        request.check()
        own = dict(
            tpr=tpr,
            fpr=fpr,
            cost=cost,
            wrong_modes=wrong_modes,
            least_accuracy=least_accuracy,
            error=error,
            safety=safety,
        )
        found = run_schedule_search(request, own)
        notes = [*found.notes, *schedule_notes(found.search, found.other_voice, found.wrong_modes)]
        document = schedule_document(
            found.search,
            settings=found.settings.as_dict(),
            verifier=found.verifier,
            notes=notes,
            model=found.model,
            task=found.task,
            wrong_modes=wrong_modes,
            alignment=found.alignment,
            coupling=found.coupling,
            prior=found.prior,
            cost=found.cost,
        )
        print_schedule(request.outputs.console(), f"{found.model} on {found.task}", found.search, notes)
        request.outputs.write_json(document)


def schedule_command():
    """The command: MODEL and the options of a run, those of the verifier, and those of its two forms without
    a model.
    """
    searching = run_command(of_model)
    parameters = [
        parameter
        for parameter in inspect.signature(searching).parameters.values()
        if parameter.name != "report"
    ]
    parameters[0] = parameters[0].replace(
        annotation=Annotated[str | None, typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False)]
    )
    own = list(inspect.signature(_extra, eval_str=True).parameters.values())

    defaults = {parameter.name: parameter.default for parameter in (*parameters, *own)}

    def schedule(**values):
        form = (
            "a model"
            if values["model"] is not None
            else "theory alone"
            if values["alignment"] is None
            else "a synthetic population"
        )
        unread = UNREAD.get(form, set(defaults) - COMMON - {"wrong_before", "confirm"})
        given = [name for name in defaults if name in unread and values[name] != defaults[name]]
        if values["model"] is not None and values["alignment"] is not None:
            given = ["alignment"]
        if given:
            fix = "Name a MODEL" if form == "theory alone" else "Leave it out"
            raise InputError(given[0], values[given[0]], f"{form} does not read it", fix)
        if form == "a model":
            for parameter in own:
                del values[parameter.name]
            searching(**values, report=None)
        elif form == "theory alone":
            of_theory(values)
        else:
            of_synthetic(values)

    schedule.__doc__ = (
        "Find the cheapest verification plan that keeps a run out of collapse. With MODEL: probe it and"
        " search uniform, gated, periodic and certified plans in the coupled mean field. Without: the uniform"
        " share of theory and its cost."
    )
    return with_options(schedule, [*parameters[:-1], *own, parameters[-1]])


def _extra(
    *,
    alignment: Annotated[
        float | None,
        _option(
            "--alignment",
            "Search for a synthetic population whose majority answers are right on this share.",
            SYNTHETIC,
        ),
    ] = None,
    step_size: Annotated[
        float,
        _option("--step-size", "Its step size on answer logits (instead of --learning-rate).", SYNTHETIC),
    ] = 1.0,
    wrong_before: Annotated[
        float,
        _option(
            "--wrong-before",
            "With --dataset-size: wrong answers with more votes than the truth (0: aligned).",
            THEORY,
        ),
    ] = 1.0,
    confirm: Annotated[
        bool,
        _option(
            "--confirm", "Also simulate misaligned prompts just above and just below the threshold.", THEORY
        ),
    ] = False,
):
    """Options of the forms without a model."""


def of_synthetic(values: dict) -> None:
    """Search the cheapest plan for a synthetic population of that alignment, prompts coupled as strongly as
    each to itself.
    """
    from llm_bridge.report.schedules import print_schedule, schedule_document
    from sharpening.verification.search import cheapest_schedule

    outputs = Outputs(values["json_target"])
    outputs.check()
    names = [field.name for field in fields(RunSettings) if values.get(field.name) is not None]
    told = {name: values[name] for name in names}
    told["reward"] = one_reward(told["reward"], "a synthetic population")
    settings = RunSettings(**told)
    verifier = {name: values[name] for name in ("tpr", "fpr", "cost")}
    with outputs.reserved():
        population = synthetic_population(settings.seed, values["alignment"])
        search = cheapest_schedule(
            population,
            **verifier,
            learning_rate=values["step_size"],
            num_steps=settings.max_steps,
            prompts_per_step=settings.prompts_per_step,
            rollouts=settings.rollouts,
            criterion=settings.criterion,
            reward=settings.parsed_reward,
            dataset_size=settings.dataset_size,
            eval_every=settings.eval_every,
            optimizer=settings.optimizer,
            error=values["error"],
            least_accuracy=values["least_accuracy"],
            safety=values["safety"],
        )
        told = settings.as_dict() | {name: values[name] for name in ("step_size", "alignment")}
        found = population.alignment
        print_schedule(
            outputs.console(), f"Synthetic population, {found:.0%} of the majority answers right", search, []
        )
        outputs.write_json(
            schedule_document(search, settings=told, verifier=verifier, notes=[], alignment=found)
        )


def synthetic_population(seed: int, alignment: float):
    """`Population.synthetic` of 256 prompts and 20 answers, its strength chosen so that the alignment is
    nearest; both strengths of coupling 1.
    """
    from sharpening.coupling import CompoundSymmetric
    from sharpening.population import Population

    if not 0 < alignment < 1:
        raise InputError("alignment", alignment, "a share of right majority answers lies between 0 and 1")

    def make(strength):
        return Population.synthetic(
            seed, *SYNTHETIC_SIZE, strength=strength, coupling=CompoundSymmetric(1.0, 1.0)
        )  # noqa: E731

    low, high = -8.0, 16.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if make(middle).alignment < alignment else (low, middle)
    return min((make(low), make(high)), key=lambda population: abs(population.alignment - alignment))


def of_theory(values: dict) -> None:
    """Theorem X2's uniform plan, and with a data set theorem X3's certified labels beside it."""
    from llm_bridge.report.schedules import print_theory, theory_document
    from sharpening.verification.closed_form import certified_plan
    from sharpening.verification.thresholds import check_threshold, uniform_plan

    outputs = Outputs(values["json_target"])
    outputs.check()
    names = ("tpr", "fpr", "cost", "prompts_per_step", "rollouts", "max_steps")
    tpr, fpr, cost, prompts_per_step, rollouts, max_steps = (values[name] for name in names)
    settings = {name: values[name] for name in names}
    sizes = dict(prompts_per_step=prompts_per_step, rollouts=rollouts, num_steps=max_steps)
    plan = uniform_plan(tpr, fpr, cost, **sizes)
    certified = check = None
    if values["dataset_size"] is not None:
        wrong, size, error = (values[name] for name in ("wrong_before", "dataset_size", "error"))
        certified = certified_plan(tpr, fpr, cost, [wrong], num_prompts=size, error=error)
        settings |= dict(dataset_size=size, wrong_before=wrong, error=error)
    with outputs.reserved():
        if values["confirm"]:
            check = check_threshold(tpr, fpr)
        print_theory(outputs.console(), plan, certified, check)
        outputs.write_json(theory_document(plan, certified, check, settings=settings))
