"""`sharpening rewards`: the table as a stranger reads it, single cards, and JSON that holds everything."""

import importlib.util
import json
from pathlib import Path

import pytest
from cli_helpers import assert_refused, invoke

from sharpening import REWARDS, RewardCard, get_reward, list_rewards, register_reward
from sharpening import Reward as RewardBase
from sharpening.rewards import BRANCHES, registry

KEYS = {
    "name", "title", "branch", "known_as", "unified", "unified_form", "formula", "unit", "sign", "limit", "failure_mode", "needs",
    "verifier", "source", "spec", "settings",
}  # fmt: skip


def read_down(shown, *heads):
    """The text of each column below these heads, wrapped lines run together."""
    lines = shown.splitlines()
    top = next(number for number, line in enumerate(lines) if heads[0] in line)
    starts = [lines[top].index(head) for head in heads] + [None]
    return [
        " ".join(" ".join(line[start:end] for line in lines[top + 2 :]).split())
        for start, end in zip(starts, starts[1:], strict=False)
    ]


class TestTable:
    def test_it_fits_a_hundred_columns_and_is_grouped_by_branch(self):
        shown = invoke("rewards").stdout
        assert max(map(len, shown.splitlines())) <= 100
        heads = [shown.index(branch[0].upper() + branch[1:]) for branch in BRANCHES]
        assert heads == sorted(heads)
        for card in list_rewards():
            assert card.name in shown

    @pytest.mark.parametrize("options", [[], ["--brief"]], ids=" ".join)
    @pytest.mark.parametrize("width", [80, 100, 160])
    def test_any_terminal(self, options, width, monkeypatch):
        monkeypatch.setenv("COLUMNS", str(width))
        result = invoke("rewards", *options)
        assert result.exit_code == 0 and all(name in result.stdout for name in REWARDS)

    def test_brief_is_brief(self):
        brief, full = (invoke("rewards", *options).stdout.count("\n") for options in (["--brief"], []))
        assert brief < 100 < full

    @pytest.mark.parametrize("name", ["kl-reference", "trajectory-consistency", "hybrid-gated", "majority"])
    def test_one_card_tells_everything(self, name):
        card = get_reward(name).card
        shown = invoke("rewards", name).stdout
        title, formula, fate = read_down(shown, "Reward (known as)", "What it pays for", "Where it ends")
        assert name in title and f"({', '.join(card.known_as)})" in title
        for value in (
            card.formula,
            card.unit,
            card.sign,
            ", ".join(card.needs),
            str(card.unified or ""),
            *get_reward(name).settings,
        ):
            assert value in formula
        assert f"Ends: {card.limit} Fails: {card.failure_mode} Source: {card.source}" in fate
        assert not any(other in title.split() for other in REWARDS if other != name)


class TestJson:
    def test_every_record_holds_everything(self):
        records = json.loads(invoke("rewards", "--json", "-").stdout)
        assert [record["name"] for record in records] == sorted(REWARDS)
        for record in records:
            assert set(record) == KEYS and all(
                record[key] for key in KEYS - {"unified", "unified_form", "verifier", "settings"}
            )
            assert (record["unified"] is None) == (record["unified_form"] is None)
            told = get_reward(record["name"]).card.as_dict()
            assert {key: record[key] for key in told} == json.loads(json.dumps(told))

    def test_settings_are_told(self):
        (record,) = json.loads(
            invoke("rewards", "noisy-verifier(tpr=0.8, verifier=judge)", "--json", "-").stdout
        )
        assert record["spec"] == "noisy-verifier(tpr=0.8, verifier=judge)" and record["verifier"] == "judge"
        assert (
            record["settings"] == {"tpr": "0.8", "fpr": "0.1", "verifier": "judge"}
            and "verdicts" in record["needs"]
        )

    def test_to_a_file_and_to_the_screen(self, tmp_path):
        result = invoke("rewards", "TTRL", "exact verifier", "TTRL", "--json", tmp_path / "rewards.json")
        assert [record["name"] for record in json.loads((tmp_path / "rewards.json").read_text())] == [
            "majority",
            "true",
        ]
        assert "majority" in result.stdout and "true" in result.stdout


class TestRefusals:
    @pytest.mark.parametrize(
        "spec, fragment",
        [
            ("majorty", "majority"),
            ("EM-RL", "token-entropy"),
            ("judge(tpr=2)", "tpr"),
            ("majority(", "brackets"),
        ],
    )
    def test_unknown_rewards(self, spec, fragment):
        assert_refused(invoke("rewards", spec), fragment)


def test_a_reward_of_another_package_appears(monkeypatch):
    card = RewardCard(
        "from-elsewhere", "hybrid", ("outsider",), None, "nowhere", "unknown", ("answers",), "a plugin"
    )
    cls = type("Elsewhere", (RewardBase,), {"card": card, "__doc__": "A plugin's reward."})
    kept = dict(REWARDS)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [type("Entry", (), {"load": lambda self: cls})()]
    )
    try:
        records = json.loads(invoke("rewards", "--json", "-").stdout)
        assert (
            "from-elsewhere" in [record["name"] for record in records]
            and "from-elsewhere" in invoke("rewards").stdout
        )
        assert register_reward(cls) is cls
    finally:
        REWARDS.clear()
        REWARDS.update(kept)


def test_the_docs_page_has_a_section_for_every_reward():
    spec = importlib.util.spec_from_file_location(
        "docs_hooks", Path(__file__).parents[2] / "docs" / "hooks.py"
    )
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    page = hooks.reward_sections()
    for card in list_rewards():
        section = page.split(f"{{: #{card.name} }}")[1].split("####")[0]
        assert (
            card.formula in section
            and card.limit in section
            and card.failure_mode in section
            and card.source in section
        )
        assert f"(rewards.md#{card.name})" in hooks.rewards_table()
    assert hooks.prose("a *b* `c_d` e_f | g") == r"a \*b\* `c_d` e\_f \| g"
