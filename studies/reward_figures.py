"""Figures of `sharpening study rewards`: one small panel a reward, and the failure modes on answers of free
length.
"""

import numpy as np

from sharpening.plots import Figure
from sharpening.plots.theme import get_theme
from studies.figures import by_label

SHOWN = (
    ("accuracy", "accuracy"),
    ("reward_accuracy", "reward accuracy"),
    ("majority_ratio", "majority ratio"),
)
COLUMNS = 6
FREE = "free length: "
PANELS = (
    ("accuracy", "accuracy"),
    ("mean_length", "mean length (tokens)"),
    ("repetition", "repetition (share of tokens)"),
)


def _plain(axes, look):
    axes.grid(color=look.grid, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=7.5, length=2)


def every_reward_figure(study: dict) -> Figure:
    """One panel a run at the study's common learning rate, sorted by branch: accuracy, reward accuracy and
    majority ratio by step.
    """
    from sharpening import get_reward

    look = get_theme("light")
    records = [record for record in study["runs"] if not record["label"].startswith(FREE)]
    cards = {
        record["label"]: get_reward(record["settings"].get("reward", "majority")).card for record in records
    }
    records.sort(
        key=lambda record: (
            "(" in record["label"],
            _BRANCHES.index(cards[record["label"]].branch.split(":")[0]),
            record["label"],
        )
    )
    rows = -(-len(records) // COLUMNS)
    figure = Figure(figsize=(2.05 * COLUMNS, 1.62 * rows), layout="constrained")
    table = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).flat
    for axes, record in zip(table, records, strict=False):
        for metric, name in SHOWN:
            axes.plot(
                record["curve"]["step"],
                record["curve"][metric],
                color=look.colour(metric),
                lw=1.5,
                label=name,
            )
        title = record["label"].partition(" (")[0]
        model = "" if record["model"] == "addition-uncertain" else f"\n{record['model']}"
        axes.set_title(title + model, loc="left", fontsize=8, color=look.ink)
        axes.set_ylim(-0.03, 1.03)
        _plain(axes, look)
    handles, names = figure.axes[0].get_legend_handles_labels()
    for axes in list(figure.axes)[len(records) :]:
        axes.set_axis_off()
    figure.legend(handles, names, loc="outside lower center", ncols=len(SHOWN), frameon=False, fontsize=9)
    figure.suptitle(
        "Every reward on a tiny transformer (addition-uncertain unless named), learning rate 3e-4, by"
        " optimizer step; last: controls",
        x=0.01,
        ha="left",
        fontsize=11,
        color=look.ink,
    )
    return figure


_BRANCHES = ("intrinsic", "external", "hybrid")


def failure_modes_figure(study: dict) -> Figure:
    """Accuracy, length and repetition by step for six rewards on answers of free length; dashed at the higher
    learning rate.
    """
    look = get_theme("light")
    groups = by_label({"runs": [record for record in study["runs"] if record["label"].startswith(FREE)]})
    rewards = list(dict.fromkeys(label.removeprefix(FREE).split()[0] for label in groups))
    colours = dict(zip(rewards, (*look.others, look.ink), strict=False))
    figure = Figure(figsize=(10.4, 3.9), layout="constrained")
    for axes, (metric, name) in zip(figure.subplots(1, 3, sharex=True), PANELS, strict=True):
        for label, (record, *_) in groups.items():
            reward, rate = label.removeprefix(FREE).split()
            slow = float(rate) < 3e-4
            axes.plot(
                record["curve"]["step"],
                record["curve"][metric],
                color=colours[reward],
                lw=1.8,
                ls="-" if slow else (0, (4, 2)),
                label=reward if slow else f"{reward}, learning rate doubled",
            )
        axes.set_title(name, loc="left", fontsize=10, color=look.ink)
        # One run is three times as long as the others.
        axes.set_xscale("function", functions=(np.sqrt, np.square))
        axes.set_xticks((0, 10, 50, 100, 200, 300))
        axes.set_xlabel("optimizer step (square-root scale)", fontsize=9)
        _plain(axes, look)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    figure.suptitle(
        "Answers of free length (worked-addition, learning rate 2e-4): what six rewards do to accuracy,"
        " length and repetition",
        x=0.01,
        ha="left",
        fontsize=11,
        color=look.ink,
    )
    return figure
