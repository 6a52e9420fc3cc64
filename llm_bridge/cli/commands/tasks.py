"""`sharpening tasks`: the built-in tasks."""

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.records import show_records

ORDER = 51


def register(app: typer.Typer) -> None:
    app.command("tasks")(tasks)


def tasks(json_target: JsonOption = None):
    """List the built-in tasks."""
    from llm_bridge.tasks import TASKS, get_task

    records = []
    for name in TASKS:
        task = get_task(name)
        records.append(
            {
                "name": name,
                "description": task.description,
                "problems": len(task.problems),
                "max_new_tokens": task.max_new_tokens,
                "example_prompt": task.problems[0].prompt,
                "example_answer": task.problems[0].answer,
            }
        )
    columns = {
        "name": "Task",
        "description": "What it asks",
        "problems": "Problems",
        "example_prompt": "Example prompt",
        "example_answer": "Answer",
    }
    show_records(json_target, records, columns)
