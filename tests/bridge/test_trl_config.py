"""A run by TRL's own names: the same file that `trl grpo --config` reads, and any field by `--set`."""

import json

import pytest
from cli_helpers import invoke

from llm_bridge import RunSettings, TaskReward, forecast_model, get_task, measure
from llm_bridge.training.trl_fields import ADAPTER, OURS, REFUSED, SHORT, known_fields, short_settings, typed
from sharpening import InputError

YAML = """
model_name_or_path: addition-weak
learning_rate: 1e-4
lr_scheduler_type: cosine
warmup_steps: 2
weight_decay: 0.1
max_steps: 6
num_generations: 4
max_completion_length: 4
per_device_train_batch_size: 8
gradient_accumulation_steps: 2
num_iterations: 2
loss_type: dr_grpo
scale_rewards: batch
beta: 0.01
use_peft: true
lora_r: 4
lora_target_modules: [q_proj, v_proj]
reward_funcs: [majority, trajectory-entropy]
reward_weights: [1.0, 0.5]
logging_steps: 1
output_dir: somewhere
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "grpo.yaml"
    path.write_text(YAML)
    return path


def test_a_trl_file_is_forecast_and_measured_by_its_own_names(file, tmp_path):
    shared = ["--config", file, "--set", "lora_alpha=16", "--eval-prompts", 16, "--eval-every", 3]
    done = invoke("compare", *shared, "--output", tmp_path / "run", "--json", tmp_path / "told.json")
    assert done.exit_code == 0, done.output
    assert "not used here" in done.stderr and "output_dir" in done.stderr
    document = json.loads((tmp_path / "told.json").read_text())
    told = document["measurement"]["settings"]
    assert told["learning_rate"] == 1e-4 and told["rollouts"] == 4 and told["prompts_per_step"] == 4
    for part in ("forecast", "measurement"):
        trl = document[part]["settings"]["trl"]
        assert trl["lr_scheduler_type"] == "cosine" and trl["loss_type"] == "dr_grpo"
        assert trl["per_device_train_batch_size"] == 8 and trl["epsilon"] == 0.2
        assert trl["reward_weights"] == [1.0, 0.5]
    peft = document["forecast"]["settings"]["trl"]["peft"]
    assert (peft["r"], peft["lora_alpha"]) == (4, 16)
    reasons = " ".join(document["forecast"]["reasons"])
    for kind in (
        "an adapter",
        "a schedule",
        "updates on one batch",
        "weight_decay",
        "dr_grpo",
        "beta = 0.01",
    ):
        assert kind in reasons
    assert (tmp_path / "run" / "trajectory.json").is_file()
    assert document["measurement"]["curve"]["step"] == [0, 3, 6]


def test_what_the_command_line_gives_wins_over_set_and_set_over_the_file(file):
    given = typed({"num_generations": 4, "learning_rate": "1e-4"}, "config")
    assert given == {"num_generations": 4, "learning_rate": 1e-4}
    short, rest, unused = short_settings(typed({"beta": 0.1, "top_p": 0.9, "logging_steps": 3}, "c"), "c")
    assert (short, rest, unused) == ({"beta": 0.1}, {"top_p": 0.9}, ["logging_steps"])
    done = invoke(
        "forecast",
        *("--config", file, "--set", "beta=0.02", "--learning-rate", 3e-4, "--set", "use_peft=false"),
        *("--eval-prompts", 16, "--json", "-"),
    )
    told = json.loads(done.stdout)["settings"]
    assert told["learning_rate"] == 3e-4 and told["beta"] == 0.02 and "peft" not in told["trl"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--set", "lerning_rate=3"], "Did you mean learning_rate"),
        (["--set", "learning_rate=fast"], "invalid float value"),
        (["--set", "loss_type=best"], "dr_grpo"),
        (["--set", "beta"], "KEY=VALUE"),
        (["--set", "load_in_4bit=true"], "4 bits"),
        (["--set", "per_device_train_batch_size=3"], "divisible"),
        (["--set", "num_generations=1"], "num_generations"),
        (["--set", "epsilon=[1"], "not YAML"),
        (["--config", "nowhere.yaml"], "cannot be read"),
        (["--reward", "my.own"], "reward of this package"),
        (["--reward", "my.own", "--reward", "majority"], "first reward"),
        (["--reward", "majority", "--reward", "no_module.f"], "cannot be imported"),
        (["--config", "BROKEN"], "not YAML"),
        (["--config", "LIST"], "no mapping"),
        (["--config", "ENV"], "environment"),
    ],
)
def test_what_trl_would_not_take_is_refused_in_one_paragraph(words, said, tmp_path):
    for name, text in {"BROKEN": "a: [", "LIST": "- a", "ENV": "env: {A: 1}"}.items():
        (tmp_path / name).write_text(text)
    words = [str(tmp_path / word) if word in ("BROKEN", "LIST", "ENV") else word for word in words]
    done = invoke("forecast", "addition-weak", "--max-steps", 2, *words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_learning_rate_is_asked_for_where_the_model_is_not_built_in(tmp_path):
    from llm_bridge import built_in_folder

    done = invoke("forecast", built_in_folder("addition-weak"), "--task", "addition")
    assert done.exit_code == 2 and "learning_rate" in done.stderr and "--learning-rate" in done.stderr


def test_a_field_with_a_short_name_is_set_by_it_in_python():
    with pytest.raises(InputError, match="learning_rate"):
        RunSettings(config={"learning_rate": 1e-3})
    with pytest.raises(InputError, match="no such field"):
        RunSettings(config={"lerning_rate": 1e-3})
    assert "config" not in RunSettings().as_dict()
    assert RunSettings(config={"top_p": 0.9}).as_dict()["config"] == {"top_p": 0.9}


def test_micro_batches_learn_from_the_same_completions(tmp_path):
    task, plain = get_task("addition"), dict(max_steps=2, eval_every=1, eval_prompts=32, prompts_per_step=8)
    parts = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 4}
    one, other = (
        measure("addition-weak", task, RunSettings(**plain, config=config), output_dir=tmp_path / name)
        for name, config in (("whole", {}), ("parts", parts))
    )
    assert other.cost["generated_tokens"] == pytest.approx(one.cost["generated_tokens"], rel=0.02)
    assert other.trajectory["accuracy"][:2] == pytest.approx(one.trajectory["accuracy"][:2], abs=0.03)


def test_another_law_of_sampling_is_drawn_by_trl():
    settings = RunSettings(max_steps=4, eval_prompts=16, prompts_per_step=4, config={"top_p": 0.5})
    found = forecast_model("addition-weak", get_task("addition"), settings)
    plain = forecast_model(
        "addition-weak",
        get_task("addition"),
        RunSettings(max_steps=4, eval_prompts=16, prompts_per_step=4, config={"epsilon_high": 0.28}),
    )
    assert found.prior["entropy"] < plain.prior["entropy"]
    assert any("top_p = 0.5" in reason for reason in found.reasons)


def test_all_vote_and_some_are_learnt_from(tmp_path):
    task = get_task("addition")
    reward = TaskReward("majority", task, 8, lambda row: task.problems[row], train_rollouts=3)
    texts = ["7", "8", "8", "9", "9", "9", "9", "1"]
    assert reward(None, texts, row=[0] * 8) == [0.0, 0.0, 0.0, *[None] * 5]
    settings = RunSettings(
        max_steps=2, eval_every=1, eval_prompts=16, prompts_per_step=4, rollouts=8, train_rollouts=4
    )
    assert settings.as_dict()["train_rollouts"] == 4 and "train_rollouts" not in RunSettings().as_dict()
    found = measure("addition-weak", task, settings, output_dir=tmp_path / "run")
    assert found.trajectory.step[-1] == 2
    for wrong in (1, 9, 2.5):
        with pytest.raises(InputError, match="train_rollouts"):
            RunSettings(rollouts=8, train_rollouts=wrong)
    told = forecast_model("addition-weak", task, settings)
    assert any("votes of 8 completions of which 4 are learnt from" in reason for reason in told.reasons)


def test_no_field_of_trl_is_dropped_without_a_word():
    """A field is a setting here, makes an adapter, is refused, is told to be unused, or reaches GRPOConfig."""
    import dataclasses

    from trl import GRPOConfig

    reach = {field.name for field in dataclasses.fields(GRPOConfig)} | {
        "model_name_or_path",
        "dataset_name",
        "reward_funcs",
    }
    assert [name for name in known_fields() if name not in {*reach, *SHORT, *OURS, *ADAPTER, *REFUSED}] == []


def test_another_revision_of_a_model_is_refused_and_the_main_one_is_not():
    with pytest.raises(InputError, match="model_revision"):
        typed({"model_revision": "v2"}, "c")
    assert typed({"model_revision": "main"}, "c") == {"model_revision": "main"}
    assert short_settings({"dtype": "bfloat16", "attn_implementation": "sdpa"}, "c") == (
        {},
        {},
        ["dtype", "attn_implementation"],
    )
