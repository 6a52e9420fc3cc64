"""The figure of the study `exact`, from its committed result: `python -m studies.exact_figures
docs/figures`.
"""

import sys
from pathlib import Path

import numpy as np

from sharpening.plots import Figure, figure_bytes
from sharpening.plots.theme import get_theme
from studies.study import load_result


def exact_figure(result: dict) -> Figure:
    """Four panels: the network's clock, tails of the four flows, first-order error across prompts, modes
    kept.
    """
    look = get_theme("light")
    figure = Figure(figsize=(9.4, 7.0), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, draw in zip(panels.flat, (_clock, _tails, _errors, _kept), strict=True):
        draw(panel, result, (look.ink, *look.others, look.grey))
        panel.grid(color=look.grid, lw=0.7)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=7)
    return figure


def _clock(panel, result: dict, colours) -> None:
    for colour, curve in zip(colours, result["speeds"]["curves"], strict=False):
        panel.plot(curve["logit"], curve["kappa"], color=colour, lw=1.6, label=curve["prompt"])
    panel.set(yscale="log", xlabel="log-odds of the mode, nats")
    panel.set_title("the network's clock |grad logit|²/2 (table of logits: 1)", loc="left", fontsize=9.5)


def _tails(panel, result: dict, colours) -> None:
    curve = result["speeds"]["curves"][0]
    left = 1 / (1 + np.exp(curve["logit"]))
    for colour, (name, t) in zip(colours, curve["t"].items(), strict=False):
        panel.plot(np.asarray(t)[1:] / t[-1], left[1:], color=colour, lw=1.6, label=name.replace("_", " "))
    panel.set(xscale="log", yscale="log", xlabel="time, as a share of the time to 1 - p = 0.001")
    panel.set_title(f"1 - p on {curve['prompt']} under the four flows", loc="left", fontsize=9.5)


def _errors(panel, result: dict, colours) -> None:
    etas = np.asarray(result["across"]["etas"])
    for colour, row in zip(colours, result["across"]["rows"][:2], strict=False):
        panel.plot(etas, row["sizes"], color=colour, lw=1.2, ls="--", label=f"{row['step']}: change")
        panel.plot(etas, row["errors"], color=colour, lw=1.6, label=f"{row['step']}: error of the kernel")
    panel.set(xscale="log", yscale="log", xlabel="step size", ylabel="nats, root mean square")
    panel.set_title("log-masses of 16 other prompts after one step", loc="left", fontsize=9.5)


def _kept(panel, result: dict, colours) -> None:
    for colour, curve in zip(colours, result["retention"]["curves"], strict=False):
        panel.plot(curve["step"], curve["mode_retention"], color=colour, lw=1.6, label=curve["run"])
    panel.set(ylim=(-0.03, 1.03), xlabel="step")
    panel.set_title("share of 64 modes kept, no sampling", loc="left", fontsize=9.5)


if __name__ == "__main__":
    path = Path(sys.argv[1]) / "exact.png"
    path.write_bytes(figure_bytes(exact_figure(load_result("exact"))))
    print(path)
