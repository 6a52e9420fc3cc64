"""Published runs as files of TRL's fields: each loads with TRL's own parser, says what its page says, and can be
forecast.
"""

import json
import re
from pathlib import Path

import pytest
import yaml
from cli_helpers import invoke

from llm_bridge.training.trl_fields import short_settings, typed
from sharpening import get_reward

DOCS = Path(__file__).parents[2] / "docs"
RECIPES = sorted((DOCS / "recipes").glob("*.yaml"))


def page_rows() -> dict[str, str]:
    """File name to its row on the page."""
    rows = [
        line
        for line in (DOCS / "your_run.md").read_text().splitlines()
        if "`.yaml" in line or ".yaml`" in line
    ]
    return {name: row for row in rows for name in re.findall(r"`(\w+\.yaml)`", row) if row.startswith("|")}


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_loads_and_its_page_says_the_same(file):
    given = typed(yaml.safe_load(file.read_text()), "config")
    short, rest, unused = short_settings(given, "config")
    assert not unused and {"learning_rate", "beta", "rollouts", "prompts_per_step"} <= set(short)
    assert rest["loss_type"] == "dapo", "verl averages over the tokens of a batch"
    (reward,) = given["reward_funcs"]
    assert get_reward(reward).name == reward
    row = page_rows()[file.name]
    rate = f"{short['learning_rate']:.0e}".replace("e-0", "e-")
    for said in (
        f"`{reward}`",
        rate,
        f"{short['prompts_per_step']} × {short['rollouts']}",
        f"{short['beta']:g}"[1:],
    ):
        assert said in row, said
    updates = given.get("steps_per_generation", 1) // given.get("gradient_accumulation_steps", 1)
    assert (f"{updates} updates" in row) == (updates > 1)


def test_a_recipe_is_forecast_without_a_word_of_trl(tmp_path):
    small = ("--max-new-tokens", 4, "--max-steps", 20, "--eval-prompts", 32, "--set", "num_generations=8")
    done = invoke(
        *("forecast", "addition-weak", "--config", DOCS / "recipes" / "ttrl.yaml", "--train-rollouts", 4),
        *("--set", "per_device_train_batch_size=8", *small, "--json", tmp_path / "told.json"),
    )
    assert done.exit_code == 0 and "reward functions returned None" not in done.output + done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    reasons = " ".join(told["reasons"])
    assert (
        "votes of 8 completions of which 4 are learnt from" in reasons and "8 updates on one batch" in reasons
    )
    assert told["fates"] == {} and told["verdict"] != "improves" and "hardly moves" in reasons
