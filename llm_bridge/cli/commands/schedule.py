"""`sharpening schedule`: how many rollouts a verifier must check so that a wrong majority cannot win, and what that costs."""

from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs
from llm_bridge.settings import RunSettings

ORDER = 36
VERIFIER, RUN = "Verifier", "Run"
NOT_SEARCHED = (
    "Uniform plans only: the same share of every prompt's rollouts at every step. Adaptive plans (which prompts, which rollouts, "
    "which steps) are not searched yet, and may be cheaper."
)
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
    confirm: Annotated[
        bool, _option("--confirm", "Also simulate misaligned prompts just above and just below the threshold.", RUN)
    ] = False,
    json_target: JsonOption = None,
):
    """Find the cheapest uniform verification plan that keeps a wrong majority from winning, and its cost."""
    from llm_bridge.report.document import plain
    from llm_bridge.report.tables import print_records
    from sharpening.verification import check_threshold, uniform_plan

    outputs = Outputs(json_target)
    outputs.check()
    plan = uniform_plan(tpr, fpr, cost, prompts_per_step=prompts_per_step, rollouts=rollouts, num_steps=max_steps)
    settings = dict(tpr=tpr, fpr=fpr, cost=cost, prompts_per_step=prompts_per_step, rollouts=rollouts, max_steps=max_steps)
    document = {"schema": 1, "kind": "schedule", "settings": settings, "plan": {"kind": "uniform"} | plan.as_dict()}
    document |= {"adaptive_plans_searched": False}
    with outputs.reserved():
        console = outputs.console()
        records = [{"what": text, "value": document["plan"][key]} for key, text in ROWS.items()]
        print_records(console, "Cheapest uniform plan", records, {"what": "", "value": "value"})
        console.print(NOT_SEARCHED, markup=False)
        if confirm:
            found = check_threshold(tpr, fpr)
            document["simulation"] = found.as_dict()
            console.print(
                f"Simulated: share {found.share_above:.4g} ends at accuracy {found.accuracy_above:.4g}, "
                f"share {found.share_below:.4g} at {found.accuracy_below:.4g}.",
                markup=False,
            )
        outputs.write_json(plain(document))
