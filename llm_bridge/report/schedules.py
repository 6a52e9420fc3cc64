"""A search for a verification schedule as a table and as JSON."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_bridge.report.document import SCHEMA, plain
from llm_bridge.report.tables import number_text
from sharpening.verification.results import ScheduleSearch, VerificationSchedule

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
    for line in (*search.reasons, *notes):
        console.print(Text(f"• {line}"))
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for heading in COLUMNS:
        table.add_column(
            heading,
            justify="right" if heading in ("Calls", "Cost") else "left",
            no_wrap=heading not in ("What is done", "Collapse"),
        )
    table.add_row("none", *_cells(search.unverified))
    for one in search.best:
        chosen = one is search.plan
        table.add_row(one.family + (" *" if chosen else ""), *_cells(one), style="bold" if chosen else None)
    if search.theory is not None:
        table.add_row("theory X2", *_cells(search.theory))
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
    return plain(head | more | search.as_dict() | {"notes": notes})


def _cells(one: VerificationSchedule) -> list[str]:
    collapse = number_text(one.collapse.step) + (
        "" if one.works or one.collapse.step is not None else ", but too low"
    )
    return [
        one.rule,
        f"{one.calls:,.0f}",
        number_text(float(one.cost)),
        f"{one.initial_accuracy:.2f} → {one.accuracy:.2f}",
        collapse,
    ]
