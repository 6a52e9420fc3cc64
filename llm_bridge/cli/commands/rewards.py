"""`sharpening rewards`: the taxonomy of rewards, by branch: what each pays for, where it ends, how it fails,
what it needs.
"""

from typing import Annotated

import typer

from llm_bridge.cli.options import JsonOption
from llm_bridge.cli.outputs import Outputs

ORDER = 50
WIDTH = 100


def register(app: typer.Typer) -> None:
    app.command("rewards")(rewards)


def rewards(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REWARD]...",
            help="Names, titles or names in the literature, with settings if wanted. Default: all.",
            show_default=False,
        ),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="One or two lines a reward.")] = False,
    json_target: JsonOption = None,
):
    """List the rewards: formula, unified form, where training ends, failure mode, needs, settings, source."""
    from llm_bridge.report.document import plain
    from sharpening.rewards import REWARDS, get_reward, list_rewards

    names = specs or [card.name for card in list_rewards()]
    chosen = [REWARDS.get(name) or get_reward(name) for name in dict.fromkeys(names)]
    outputs = Outputs(json_target)
    outputs.check()
    with outputs.reserved():
        if not outputs.on_stdout:
            _show(outputs.console(), chosen, _brief_table if brief else _full_table)
        outputs.write_json(
            plain(
                [
                    reward.card.as_dict() | {"spec": reward.spec, "settings": reward.settings}
                    for reward in chosen
                ]
            )
        )


def _show(console, chosen: list, add_rows) -> None:
    """One table a branch, at most WIDTH columns wide."""
    from rich import box
    from rich.table import Table

    from sharpening.rewards import BRANCHES

    for branch in BRANCHES:
        members = [reward for reward in chosen if reward.card.branch == branch]
        if members:
            title = branch[0].upper() + branch[1:]
            table = Table(
                title=title,
                title_justify="left",
                title_style="bold",
                width=min(WIDTH, console.width),
                box=box.SIMPLE_HEAD,
                header_style="bold",
            )
            add_rows(table, members)
            console.print(table)


def _brief_table(table, members: list) -> None:
    table.add_column("Reward", width=23)
    table.add_column("Known as", ratio=3)
    table.add_column("Where it ends", ratio=5)
    for reward in members:
        table.add_row(reward.spec, ", ".join(reward.card.known_as), reward.card.limit)


def _full_table(table, members: list) -> None:
    table.add_column("Reward (known as)", width=23)
    table.add_column("What it pays for, and needs", ratio=4)
    table.add_column("Where it ends, how it fails", ratio=5)
    for reward in members:
        table.add_row(_name(reward), _formula(reward), _fate(reward))
        table.add_row()


def _name(reward):
    from rich.text import Text

    title = reward.card.title
    title = "" if title.lower().replace(" ", "-") == reward.name else f"\n{title}"
    return Text(reward.spec, style="bold").append(
        f"{title}\n({', '.join(reward.card.known_as)})", style="not bold"
    )


def _formula(reward):
    from rich.text import Text

    card = reward.card
    lines = [card.formula] + ([f"= {card.unified}"] if card.unified else [])
    lines += [f"[{card.unit}; {card.sign}]", f"Needs {', '.join(card.needs)}"]
    settings = ", ".join(f"{name}={value}" for name, value in reward.settings.items() if value)
    return Text("\n".join(lines + ([f"Settings {settings}"] if settings else [])))


def _fate(reward):
    from rich.text import Text

    card = reward.card
    return Text(f"Ends: {card.limit}\nFails: {card.failure_mode}\nSource: {card.source}")
