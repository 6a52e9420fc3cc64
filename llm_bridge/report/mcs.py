"""What `sharpening mcs` shows: the step, where it stands among the published ones, the cost, and its JSON."""

import shlex

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_bridge.report import html
from llm_bridge.report.command import setting_words
from llm_bridge.report.document import measurement_document, plain
from llm_bridge.report.headline import Headline
from llm_bridge.report.tables import panel, print_cost
from llm_bridge.training.mcs import (
    CRITERION,
    EVAL_EVERY,
    FREE,
    MAX_STEPS,
    PUBLISHED,
    ModelCollapseStep,
    updates_per_batch,
)
from llm_bridge.training.settings import RunSettings
from sharpening.collapse import CRITERIA, Outcome

SOURCE = "He et al. 2026 (arXiv 2603.08660), default settings, DAPO-17k"


def mcs_document(found: ModelCollapseStep) -> dict:
    """The JSON of `sharpening mcs`: that of `measure`, of kind `mcs`, and what the protocol found under `mcs`."""
    document = measurement_document(found.measurement)
    return document | {
        "kind": "mcs",
        "mcs": plain(
            {
                "step": found.step,
                "after": found.after,
                "outcome": found.outcome,
                "more_than": found.batches if found.outcome is Outcome.CENSORED else None,
                "lasting": found.lasting,
                "lowest_reward_accuracy": found.lowest,
                "aggressive": found.aggressive,
                "updates_per_step": updates_per_batch(found.aggressive),
                "published": PUBLISHED,
                "standing": found.standing(),
                "notes": mcs_notes(found),
            }
        ),
    }


def mcs_headline(found: ModelCollapseStep) -> Headline:
    """The step in one sentence."""
    kind = "aggressive" if found.aggressive else "default"
    caption = f"Model Collapse Step, {kind} settings (reward accuracy < 1 %)"
    if found.outcome is Outcome.COLLAPSED:
        return Headline(
            "bad",
            f"Reward accuracy fell below 1 % between steps {found.after} and {found.step}",
            found.text,
            caption,
        )
    if found.outcome is Outcome.CENSORED:
        short = found.measurement.interrupted
        dead = found.measurement.collapse["relative"].step is not None
        return Headline(
            "caution" if short or dead else "good",
            f"{'Interrupted: so far' if short else 'No step to tell:'} reward accuracy never fell below {found.lowest:.2g}",
            found.text,
            caption,
        )
    return Headline(
        "neutral", "There is nothing to lose: reward accuracy begins below 1 %", "no step", caption
    )


def standing_text(found: ModelCollapseStep) -> str:
    """Where the step stands among the published ones, and how little that says of another task."""
    standing = found.standing()
    if found.aggressive:
        return (
            f"The seven published steps ({SOURCE}) were measured with default settings; an aggressive step is not on"
            " their scale."
        )
    if standing is None:
        return "There is no step to place among the published ones."
    parts = [
        f"{word} {', '.join(f'{name} ({PUBLISHED[name]})' for name in standing[side])}"
        for side, word in (
            ("below", "later than"),
            ("above", "sooner than"),
            ("undecided", "undecided against"),
        )
        if standing[side]
    ]
    return (
        f"Against the seven published steps it comes {'; '.join(parts)}. Theirs: {SOURCE}; another task, another"
        " answer format or another learning rate moves a step, so the order holds for runs alike in these."
    )


def mcs_notes(found: ModelCollapseStep) -> list[str]:
    """Sentences to know the step by."""
    notes = []
    floor, amount = found.measurement.trajectory.floor, CRITERIA[CRITERION].amount
    if found.outcome is Outcome.CENSORED and floor is not None and floor >= amount:
        notes.append(
            f"One true answer is right for {floor:.1%} of the evaluation prompts: a model that gives it to every prompt"
            " is gone, yet never below 1 %. Read `relative` beside the MCS."
        )
    if found.lasting is False:
        notes.append("Reward accuracy rose above 1 % again at the next evaluation.")
    relative = found.measurement.collapse["relative"]
    if found.outcome is Outcome.CENSORED and relative.step is not None:
        step = relative.step // updates_per_batch(found.aggressive)
        notes.append(f"By the rule relative to the floor (`relative`) the run collapsed at step {step}.")
    return notes


def print_mcs(console: Console, found: ModelCollapseStep) -> None:
    """The step, the published ones around it, and what it cost."""
    measured, settings = found.measurement, found.measurement.settings
    data = "fresh prompts" if settings.dataset_size is None else f"{settings.dataset_size} prompts"
    subject = f"{measured.model} on {measured.task}: {settings.optimizer} {settings.learning_rate:g}, {data}"
    console.print(panel(mcs_headline(found), subject, mcs_notes(found)))
    if found.standing() is not None:
        table = Table(box=box.SIMPLE_HEAD, header_style="bold")
        table.add_column("Model")
        table.add_column("MCS", justify="right")
        for name, step in _ranked(found):
            table.add_row(name, step, style="bold" if name == measured.model else None)
        console.print(table)
    console.print(Text(standing_text(found)))
    print_cost(console, measured.cost)


def _ranked(found: ModelCollapseStep) -> list[tuple[str, str]]:
    place = found.batches if found.step is None else found.step
    rows = [(float(step), name, str(step)) for name, step in PUBLISHED.items()]
    rows.append((place + 0.5, found.measurement.model, found.text.removesuffix(" steps")))
    return [(name, text) for _, name, text in sorted(rows)]


def standing_section(found: ModelCollapseStep) -> str:
    """The section of the page: the ranking and its caveat."""
    notes = html.bullet_list(mcs_notes(found)) if mcs_notes(found) else ""
    table = ""
    if found.standing() is not None:
        rows = [
            ("chosen" if name == found.measurement.model else "", [html.text(name), html.text(step)])
            for name, step in _ranked(found)
        ]
        table = html.table(["Model", "MCS"], rows)
    return html.section("Where does it stand?", notes, table, html.paragraph(standing_text(found), "note"))


def mcs_command(found: ModelCollapseStep, task: str, pattern: str | None = None, *, given=()) -> str:
    """The command line that finds the same again; options at their defaults are left out unless they are among
    `given`.
    """
    settings, updates = found.measurement.settings, updates_per_batch(found.aggressive)
    words = ["sharpening", "mcs", found.measurement.model, "--task", task]
    words += ["--answer-pattern", pattern] if pattern else []
    words += ["--aggressive"] if found.aggressive else []
    usual = {"max_steps": MAX_STEPS, "eval_every": EVAL_EVERY[found.aggressive], "learning_rate": None}
    for name in FREE:
        value = getattr(settings, name)
        value = value // updates if name in ("max_steps", "eval_every") else value
        default = usual.get(name, getattr(RunSettings, name))
        words += setting_words(name, value, default=default, given=given)
    return shlex.join(words)
