"""`sharpening theorems`: every theorem in the registry; `--check` runs them on random populations."""

from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs
from llm_bridge.cli.records import show_records

ORDER = 52
LISTED = {"name": "Theorem", "title": "Title", "statement": "Statement", "source": "Source"}
CHECKED = {
    "name": "Theorem",
    "title": "Title",
    "outcome": "Outcome",
    "held": "Held in",
    "violated": "Assumptions not met in",
    "failed": "Failed in",
    "prompts": "Prompts tried",
    "symbolic": "SymPy",
}


def register(app: typer.Typer) -> None:
    app.command("theorems")(theorems)


def theorems(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Theorems, such as S1 or U5. Default: all.", show_default=False
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run them on random populations; exit with status 1 if one fails.")
    ] = False,
    cases: Annotated[
        int, typer.Option("--cases", help="Random populations to try with --check, 16 prompts each.")
    ] = 50,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random populations.")] = 0,
    json_target: JsonOption = None,
):
    """List the theorems: statement, formula, assumptions, derivation, source. Or check them."""
    from sharpening.errors import InputError
    from sharpening.theorems import get_theorem, list_theorems

    for option, value, least in (("cases", cases, 1), ("seed", seed, 0)):
        if value < least:
            raise InputError(
                option, value, f"it is an integer >= {least}", f"Give --{option} {least} or more"
            )
    chosen = list(dict.fromkeys(get_theorem(name) for name in names)) if names else list_theorems()
    records = [theorem.as_dict() for theorem in chosen]
    if not check:
        show_records(json_target, records, LISTED)
        return
    Outputs(json_target).check()
    reports = _check([theorem.name for theorem in chosen], cases, seed)
    records = [record | _told(report) for record, report in zip(records, reports, strict=True)]
    show_records(json_target, records, CHECKED, hidden=("symbolic",))
    _summarize(Outputs(json_target).console(), reports, cases, seed)
    if not all(report.ok for report in reports):
        raise typer.Exit(1)


def _check(names: list[str], cases: int, seed: int) -> list:
    from llm_bridge.console.progress import terminal_progress
    from sharpening.theorems import check_theorems

    with terminal_progress() as progress:
        bar = progress.start("checking", len(names) * cases)
        reports = check_theorems(names, cases=cases, seed=seed, advance=bar.advance)
        bar.close()
    return reports


def _told(report) -> dict:
    record = report.as_dict()
    verified = sum(report.derivation.values())
    return record | {"symbolic": f"{verified} of {len(report.derivation)}"}


def _summarize(console, reports: list, cases: int, seed: int) -> None:
    failed = [report for report in reports if not report.ok]
    untested = [report.name for report in reports if report.outcome == "not tested"]
    tried = sum(report.prompts for report in reports)
    console.print(
        f"{len(reports)} theorems on {cases} random populations each (seed {seed}; {tried} prompts that meet"
        f" the assumptions, in all): {len(reports) - len(failed) - len(untested)} hold, {len(failed)} fail,"
        f" {len(untested)} not tested.",
        markup=False,
    )
    if untested:
        console.print(
            f"No population met the assumptions of {', '.join(untested)}: try more --cases.", markup=False
        )
    for report in failed:
        broken = [what for what, fine in report.derivation.items() if not fine]
        for what in broken:
            console.print(f"{report.name} fails in SymPy: {what}", markup=False)
        if report.not_finite:
            console.print(
                f"{report.name} met numbers that are not finite in {report.not_finite} populations.",
                markup=False,
            )
        if report.witness is not None:
            console.print(
                f"{report.name} fails in population {report.failed_case}. {report.witness.sentence}",
                markup=False,
            )
