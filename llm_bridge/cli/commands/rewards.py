"""`sharpening rewards`: every known reward, with where it sharpens to and how it fails."""

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.records import show_records

ORDER = 50


def register(app: typer.Typer) -> None:
    app.command("rewards")(rewards)


def rewards(json_target: JsonOption = None):
    """List the rewards: formula, limit, failure mode, source."""
    from sharpening.rewards import list_rewards

    records = [card.as_dict() for card in list_rewards()]
    for record in records:
        record["aliases"] = ", ".join(record["known_as"])
    columns = {"name": "Reward", "branch": "Branch", "aliases": "Known as", "limit": "Limit", "failure_mode": "Failure mode"}
    show_records(json_target, records, columns, hidden=("aliases",))
