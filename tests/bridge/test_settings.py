"""Numbers from outside: refused where they are given, before any work, with advice that can be followed."""

import dataclasses
import math
import pickle
import re
import types

import numpy as np
import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import CollapseMonitor, RunSettings, get_task
from sharpening import InputError

COUNTS = ("prompts_per_step", "rollouts", "max_steps", "seed", "eval_every", "eval_prompts")
MAYBE = ("dataset_size", "max_new_tokens")
RATES = ("temperature", "learning_rate", "beta")
STRANGE = [math.nan, math.inf, -math.inf, -1, 10**30, 10**5000, True, "3", [3], 1j, 1e308, -1e-9]


@pytest.mark.parametrize(
    "value", [*STRANGE, 2.5, 4.0], ids=lambda value: str(value)[:8] if value != 10**5000 else "long"
)
@pytest.mark.parametrize("name", [*COUNTS, *MAYBE])
def test_counts(name, value):
    with pytest.raises(InputError) as error:
        RunSettings(**{name: value})
    assert error.value.argument == name and f"`{name}` is " in str(error.value)


@pytest.mark.parametrize("value", STRANGE, ids=lambda value: str(value)[:8] if value != 10**5000 else "long")
@pytest.mark.parametrize("name", RATES)
def test_rates(name, value):
    with pytest.raises(InputError) as error:
        RunSettings(**{name: value})
    assert error.value.argument == name


@pytest.mark.parametrize("name", [*COUNTS, *RATES])
def test_none_is_no_number(name):
    with pytest.raises(InputError, match=name):
        RunSettings(**{name: None})


@pytest.mark.parametrize(
    "changes",
    [
        {"rollouts": 10**6},
        {"rollouts": 10_000, "prompts_per_step": 1000},
        {"max_steps": 10**6},
        {"temperature": 0},
        {"temperature": 1e-300},
        {"learning_rate": 0},
        {"learning_rate": 5e-324},
        {"seed": 2**31},
        {"mask_truncated_completions": 1},
        {"mask_truncated_completions": "yes"},
        {"eval_early": 1},
        {"reward": None},
        {"reward": 3},
        {"criterion": None},
        {"criterion": ["relative"]},
        {"optimizer": None},
        {"optimizer": ["adam"]},
    ],
)
def test_what_no_run_can_hold(changes):
    with pytest.raises(InputError, match=f"`{next(iter(changes))}` is"):
        RunSettings(**changes)


def test_numbers_of_numpy_are_taken_as_plain_ones():
    found = RunSettings(learning_rate=np.float32(0.5), seed=np.int64(3), beta=0, dataset_size=np.int32(64))
    assert found == RunSettings(learning_rate=0.5, seed=3, beta=0.0, dataset_size=64)
    assert {type(value) for value in found.as_dict().values()} <= {int, float, str, bool, type(None)}


@pytest.mark.parametrize(
    "words",
    [
        ("--beta", "nan"),
        ("--beta", "inf"),
        ("--learning-rate", "1e308"),
        ("--learning-rate", "nan"),
        ("--temperature", "inf"),
        ("--temperature", "0"),
        ("--seed", "-1"),
        ("--seed", str(10**20)),
        ("--max-steps", str(10**30)),
        ("--rollouts", str(10**9)),
        ("--max-new-tokens", str(10**12)),
        ("--eval-every", str(10**30)),
    ],
)
@pytest.mark.parametrize("command", ["forecast", "measure", "compare"])
def test_on_the_command_line(command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = words[0][2:].replace("-", "_")
    assert_refused(invoke(command, *words), f"`{name}` is {words[1]}" if name != "learning_rate" else name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, -1, 10**9])
def test_pilots(count):
    assert_refused(invoke("forecast", "--pilots", count), "`pilots`")


@pytest.mark.parametrize("name", ["max_steps", "temperature", "beta", "eval_every", "seed"])
def test_the_advice_can_be_followed(name):
    with pytest.raises(InputError) as error:
        RunSettings(**{name: 1e40 if name in RATES else 10**30})
    for number in re.findall(r"from (\S+) to (\S+)\.", str(error.value))[-1:]:
        for value in number:
            RunSettings(
                **{name: float(value) if name in RATES else int(value)}
                | ({"prompts_per_step": 1} if name == "max_steps" else {})
            )


@pytest.mark.parametrize(
    "changes",
    [
        {"rollouts": math.nan},
        {"rollouts": True},
        {"rollouts": 2.5},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"max_new_tokens": 10**12},
        {"max_new_tokens": 1.5},
        {"seed": -1},
        {"seed": 2**64},
        {"eval_every": True},
        {"patience": 1.5},
        {"patience": True},
    ],
)
def test_the_monitor(changes):
    with pytest.raises(InputError, match=f"`{next(iter(changes))}` is"):
        CollapseMonitor(["p"], tokenizer=types.SimpleNamespace(), **changes)


@pytest.mark.parametrize(
    "options", [(True,), (1.5,), (math.nan,), ("3",), (4, True), (4, 2.5), (4, math.nan)]
)
def test_a_split(options):
    with pytest.raises(InputError):
        get_task("capitals").split(*options)


def test_the_reward_is_parsed_once_and_stays_out_of_what_is_compared_and_written():
    asked, used = (RunSettings(reward="noisy-verifier(tpr=0.9)") for _ in range(2))
    assert used.parsed_reward is used.parsed_reward and used.parsed_reward.spec == used.reward
    assert used == asked and hash(used) == hash(asked) and used.as_dict() == asked.as_dict()
    assert "parsed_reward" not in used.as_dict() and "parsed_reward" not in vars(used).keys() & used.names()
    assert pickle.dumps(used).count(b"NoisyVerifierReward") == 0
    back = pickle.loads(pickle.dumps(used))
    assert back == used and back.parsed_reward == used.parsed_reward
    other = dataclasses.replace(used, reward="TTRL")
    assert other.reward == "majority" and other.parsed_reward.spec == "majority"
