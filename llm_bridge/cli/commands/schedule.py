"""`sharpening schedule`: how many rollouts a verifier must check so that a wrong majority cannot win, and what that costs."""

from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs
from llm_bridge.settings import RunSettings

ORDER = 36
VERIFIER, RUN, ADAPTIVE = "Verifier", "Run", "Adaptive plan"
NOT_SEARCHED = (
    "Uniform plans only: the same share of every prompt's rollouts at every step. Adaptive plans (which prompts, which rollouts, "
    "which steps) are not searched yet: give --dataset-size to compare with certifying one label a prompt."
)
CERTIFIED_ROWS = {
    "calls_per_prompt": "expected calls to certify one prompt",
    "calls": "expected verifier calls in the run",
    "cost": "expected cost of the run",
    "right": "share of prompts with the right label",
    "error_bound": "proved bound on the others' share",
}
ROWS = {
    "youden": "J = TPR - FPR",
    "threshold_share": "share of rollouts that must be exceeded, 1/(1+J)",
    "intrinsic_threshold": "largest weight of the majority vote, J/(1+J)",
    "verified_rollouts": "rollouts to verify per prompt",
    "share": "share of rollouts verified",
    "calls": "verifier calls in the run",
    "cost": "cost of the run",
    "cost_of_all": "cost of verifying every rollout",
    "saving": "saved",
}


def register(app: typer.Typer) -> None:
    app.command("schedule")(schedule)


def _option(name: str, text: str, panel: str):
    return typer.Option(name, help=text, rich_help_panel=panel)


def schedule(
    tpr: Annotated[float, _option("--tpr", "How often the verifier accepts a right answer, 0 to 1.", VERIFIER)],
    fpr: Annotated[float, _option("--fpr", "How often it accepts a wrong answer, 0 to 1.", VERIFIER)],
    cost: Annotated[float, _option("--cost", "Cost of one call, in any unit.", VERIFIER)] = 1.0,
    prompts_per_step: Annotated[
        int, _option("--prompts-per-step", "Prompts in one optimizer step.", RUN)
    ] = RunSettings.prompts_per_step,
    rollouts: Annotated[int, _option("--rollouts", "Completions sampled per prompt.", RUN)] = RunSettings.rollouts,
    max_steps: Annotated[int, _option("--max-steps", "Optimizer steps.", RUN)] = RunSettings.max_steps,
    dataset_size: Annotated[
        int | None,
        _option("--dataset-size", "Distinct prompts of the run: also plan to certify one label each by sequential tests.", ADAPTIVE),
    ] = None,
    wrong_before: Annotated[
        float, _option("--wrong-before", "Wrong answers with more votes than the truth, on a typical prompt (0: aligned).", ADAPTIVE)
    ] = 1.0,
    error: Annotated[float, _option("--error", "Error level of each test, above 0 and at most 0.5.", ADAPTIVE)] = 0.01,
    confirm: Annotated[
        bool, _option("--confirm", "Also simulate misaligned prompts just above and just below the threshold.", RUN)
    ] = False,
    json_target: JsonOption = None,
):
    """Find the cheapest uniform verification plan that keeps a wrong majority from winning, and its cost; compare an adaptive one."""
    from llm_bridge.report.document import plain
    from llm_bridge.report.tables import print_records
    from sharpening.schedules import certified_plan
    from sharpening.verification import check_threshold, uniform_plan

    outputs = Outputs(json_target)
    outputs.check()
    plan = uniform_plan(tpr, fpr, cost, prompts_per_step=prompts_per_step, rollouts=rollouts, num_steps=max_steps)
    settings = dict(tpr=tpr, fpr=fpr, cost=cost, prompts_per_step=prompts_per_step, rollouts=rollouts, max_steps=max_steps)
    document = {"schema": 1, "kind": "schedule", "settings": settings, "plan": {"kind": "uniform"} | plan.as_dict()}
    document |= {"adaptive_plans_searched": dataset_size is not None}
    if dataset_size is not None:
        certified = certified_plan(tpr, fpr, cost, [wrong_before], num_prompts=dataset_size, error=error)
        document["settings"] |= dict(dataset_size=dataset_size, wrong_before=wrong_before, error=error)
        document["certified"] = {"kind": "certified", "saving_over_uniform": plan.cost - certified.cost} | certified.as_dict()
    with outputs.reserved():
        console = outputs.console()
        records = [{"what": text, "value": document["plan"][key]} for key, text in ROWS.items()]
        print_records(console, "Cheapest uniform plan", records, {"what": "", "value": "value"})
        if dataset_size is None:
            console.print(NOT_SEARCHED, markup=False)
        else:
            records = [{"what": text, "value": document["certified"][key]} for key, text in CERTIFIED_ROWS.items()]
            print_records(console, "One certified label a prompt", records, {"what": "", "value": "value"})
            cheaper = "cheaper" if certified.cost < plan.cost else "dearer"
            console.print(f"Certifying is {cheaper} than the uniform plan; it needs calls that err independently.", markup=False)
        if confirm:
            found = check_threshold(tpr, fpr)
            document["simulation"] = found.as_dict()
            console.print(
                f"Simulated: share {found.share_above:.4g} ends at accuracy {found.accuracy_above:.4g}, "
                f"share {found.share_below:.4g} at {found.accuracy_below:.4g}.",
                markup=False,
            )
        outputs.write_json(plain(document))
