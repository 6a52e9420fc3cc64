"""Verification schedules, searched or by theory alone, as tables and as JSON."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_bridge.report.document import SCHEMA, plain
from llm_bridge.report.schedule_words import (
    CERTIFIED_ROWS,
    NOT_SEARCHED,
    UNIFORM_ROWS,
    certified_against_uniform,
    schedule_reasons,
    schedule_rule,
    threshold_simulated,
)
from llm_bridge.report.tables import number_text, print_records
from sharpening.verification.closed_form import CertifiedPlan
from sharpening.verification.results import ScheduleSearch, VerificationSchedule
from sharpening.verification.thresholds import ThresholdCheck, VerificationPlan

HEADLINES = {
    "plan": ("Verification keeps this run out of collapse", "green"),
    "not_needed": ("No verification is needed", "green"),
    "no_plan": ("No schedule of this verifier is enough", "red"),
    "useless_verifier": ("This verifier cannot help", "red"),
    "no_signal": ("Nothing to protect here", "cyan"),
}
COLUMNS = ("Schedule", "What is done", "Calls", "Cost", "Accuracy", "Collapse")


def print_schedule(console: Console, subject: str, search: ScheduleSearch, notes: list[str]) -> None:
    """Headline, reasons and notes, then every family beside no verification and the share of theory."""
    title, colour = HEADLINES[search.verdict]
    console.print(Text(subject))
    console.print(Text(title, style=f"bold {colour}"))
    for line in (*schedule_reasons(search), *notes):
        console.print(Text(f"• {line}"))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for heading in COLUMNS:
        table.add_column(
            heading,
            justify="right" if heading in ("Calls", "Cost") else "left",
            no_wrap=heading not in ("What is done", "Collapse"),
        )
    table.add_row("none", *_cells(search.unverified, search))
    for one in search.best:
        chosen = one is search.plan
        table.add_row(
            one.family + (" *" if chosen else ""), *_cells(one, search), style="bold" if chosen else None
        )
    if search.theory is not None:
        table.add_row("theorem X2", *_cells(search.theory, search))
    table.caption = (
        "* the cheapest that works. Accuracy: at the start and at the end. Collapse: the step, or – for none."
    )
    table.caption_justify = "left"
    console.print(table)


def schedule_document(
    search: ScheduleSearch, *, settings: dict, verifier: dict, notes: list[str], **more
) -> dict:
    """The JSON of `sharpening schedule` where schedules were searched; `more`: model, task, alignment,
    coupling, prior, cost.
    """
    head = {
        "schema": SCHEMA,
        "kind": "schedule",
        "settings": settings,
        "verifier": verifier,
        "adaptive_plans_searched": True,
    }
    found = {
        "verdict": search.verdict,
        "plan": _schedule(search.plan, search),
        "best": [_schedule(one, search) for one in search.best],
        "unverified": _schedule(search.unverified, search),
        "theory_share": search.theory_share,
        "theory": _schedule(search.theory, search),
        "youden": search.youden,
        "cost_of_all": search.cost_of_all,
        "runs": search.runs,
        "reasons": schedule_reasons(search),
    }
    return plain(head | more | found | {"notes": notes})


def print_theory(
    console: Console, plan: VerificationPlan, certified: CertifiedPlan | None, check: ThresholdCheck | None
) -> None:
    """The uniform plan of theorem X2; beside it X3's certified labels, and a simulated check, where given."""
    _print_figures(console, "Cheapest uniform plan", UNIFORM_ROWS, plan.as_dict())
    if certified is None:
        console.print(NOT_SEARCHED, markup=False)
    else:
        _print_figures(console, "One certified label a prompt", CERTIFIED_ROWS, certified.as_dict())
        console.print(certified_against_uniform(certified, plan), markup=False)
    if check is not None:
        console.print(threshold_simulated(check), markup=False)


def theory_document(
    plan: VerificationPlan, certified: CertifiedPlan | None, check: ThresholdCheck | None, *, settings: dict
) -> dict:
    """The JSON of `sharpening schedule` by theory alone."""
    document = {
        "schema": SCHEMA,
        "kind": "schedule",
        "settings": settings,
        "plan": {"kind": "uniform"} | plan.as_dict(),
        "adaptive_plans_searched": certified is not None,
    }
    if certified is not None:
        saving = {"kind": "certified", "saving_over_uniform": plan.cost - certified.cost}
        document["certified"] = saving | certified.as_dict()
    if check is not None:
        document["simulation"] = check.as_dict()
    return plain(document)


def _print_figures(console: Console, title: str, rows: dict[str, str], figures: dict) -> None:
    records = [{"what": text, "value": figures[key]} for key, text in rows.items()]
    print_records(console, title, records, {"what": "", "value": "value"})


def _schedule(one: VerificationSchedule | None, search: ScheduleSearch) -> dict | None:
    if one is None:
        return None
    name = {"family": one.family, "parameter": one.parameter, "rule": schedule_rule(one, search)}
    return name | one.as_dict()


def _cells(one: VerificationSchedule, search: ScheduleSearch) -> list[str]:
    collapse = number_text(one.collapse.step) + (
        "" if one.works or one.collapse.step is not None else ", but too low"
    )
    return [
        schedule_rule(one, search),
        f"{one.calls:,.0f}",
        number_text(float(one.cost)),
        f"{one.initial_accuracy:.2f} → {one.accuracy:.2f}",
        collapse,
    ]
