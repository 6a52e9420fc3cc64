"""Chats where the run or the model is not ours: the monitor in a user's own trainer, and a server."""

import json
import logging

import pytest
from chats import chat_model
from cli_helpers import assert_refused, invoke
from datasets import Dataset
from serving import serving
from tiny import after_equals
from trl import GRPOConfig, GRPOTrainer

from llm_bridge import CollapseMonitor, majority_reward
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.tasks.prompts import PromptTask
from sharpening import InputError

ROWS = [
    {"prompt": [{"role": "user", "content": f"What is {i}+{i}?"}], "solution": str(2 * i)} for i in range(12)
]
MONITOR = dict(eval_every=1, rollouts=4, max_new_tokens=4, stop=False, strict=True)


def train(loaded, folder, callback, rows=ROWS, **options):
    """A user's script on chat data."""
    with quiet_libraries():
        trainer = GRPOTrainer(
            model=loaded.model,
            processing_class=loaded.tokenizer,
            reward_funcs=majority_reward(lambda text: text[:1] or None, 4),
            train_dataset=Dataset.from_list(rows),
            callbacks=[callback],
            args=GRPOConfig(
                output_dir=str(folder),
                max_steps=1,
                per_device_train_batch_size=8,
                num_generations=4,
                max_completion_length=4,
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                report_to=[],
                disable_tqdm=True,
                logging_strategy="no",
                save_strategy="no",
                **options,
            ),
        )
        trainer.train()
    return trainer


def asked(monkeypatch):
    """The token ids of every prompt that the monitor asks, as they come."""
    from llm_bridge.training import evaluation

    seen, plain = [], evaluation.sample

    def watched(*arguments, **options):
        drawn = plain(*arguments, **options)
        seen.append((drawn.prompt_ids, options.get("stop")))
        return drawn

    monkeypatch.setattr(evaluation, "sample", watched)
    return seen


@pytest.mark.parametrize("given", ["dataset", "rows", "column"])
@pytest.mark.parametrize("template", ["without a beginning", "with a beginning", "default system"])
def test_the_monitor_takes_what_the_trainer_holds(template, given, tmp_path, monkeypatch):
    loaded, seen, data = chat_model(template), asked(monkeypatch), Dataset.from_list(ROWS[:5])
    prompts = {"dataset": data, "rows": ROWS[:5], "column": data["prompt"]}[given]
    answers = data["solution"] if given == "column" else None
    monitor = CollapseMonitor(prompts, answers, lambda text: text or None, **MONITOR)
    trainer = train(loaded, tmp_path, monitor)
    expected = trainer.processing_class.apply_chat_template(
        [row["prompt"] for row in ROWS[:5]], add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    assert seen and all(ids == expected for ids, _ in seen)
    assert monitor.trajectory.has("reward_accuracy") and monitor.evaluator.problems[3].answer == "6"


def test_the_monitor_follows_the_options_of_the_trainer(tmp_path, monkeypatch):
    seen, options = asked(monkeypatch), {"enable_thinking": False}
    monitor = CollapseMonitor(ROWS[:5], **MONITOR)
    loaded = chat_model("thinking")
    train(loaded, tmp_path, monitor, chat_template_kwargs=options)
    prompts = [row["prompt"] for row in ROWS[:5]]
    with_options, without = (
        loaded.tokenizer.apply_chat_template(prompts, add_generation_prompt=True, **more)["input_ids"]
        for more in (options, {})
    )
    assert seen[0][0] == with_options != without


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("answer", "7"),
        ("solution", "7"),
        ("ground_truth", 7),
        ("label", "7"),
        ("reward_model", {"ground_truth": "7", "style": "rule"}),
        ("ground_truth", ["7"]),
    ],
)
def test_columns_of_true_answers(column, value):
    rows = [{"prompt": row["prompt"], column: value} for row in ROWS]
    for given in (rows, list(Dataset.from_list(rows))):
        assert {problem.answer for problem in PromptTask(given).problems} == {"7"}
    assert PromptTask([{"prompt": row["prompt"], column: None} for row in ROWS]).problems[0].answer is None
    assert PromptTask([row | {"other": "5"} for row in rows], "other").problems[0].answer == "5"


@pytest.mark.parametrize(
    ("prompts", "answers", "argument"),
    [
        ([{"text": "1+1?"}], None, "prompts"),
        ([ROWS[0], {"prompt": ROWS[1]["prompt"]}], None, "answers"),
        (ROWS, "truth", "answers"),
        ([ROWS[0]["prompt"], "1+1?"], None, "prompts"),
        ([[{"role": "assistant", "content": "2"}]], None, "prompts"),
    ],
)
def test_what_the_monitor_cannot_read_is_refused(prompts, answers, argument):
    with pytest.raises(InputError) as caught:
        CollapseMonitor(prompts, answers, **MONITOR)
    assert caught.value.argument == argument


def test_plain_prompts_beside_a_template_are_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train(chat_model(), tmp_path, CollapseMonitor(["What is 1+1?", "What is 2+2?"], **MONITOR))
    assert "RAW TEXT" in caplog.text


def test_a_template_that_refuses_leaves_the_training_alone(tmp_path, caplog):
    rows = [{"prompt": [{"role": "system", "content": "Be brief."}, *row["prompt"]]} for row in ROWS[:4]]
    monitor = CollapseMonitor(rows, **MONITOR | {"strict": False})
    trainer = train(chat_model("no system"), tmp_path, monitor)
    assert trainer.state.global_step == 1 and not monitor.rows and "it is off" in caplog.text


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, put in (("chat", lambda text: [{"role": "user", "content": text}]), ("text", str)):
        rows = [{"prompt": put(f"{a}+{b}="), "answer": a + b} for a in range(4) for b in (1, 2, 3)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def served(server, task, *more):
    words = ["--prompts", 6, "--draws", 8, "--rollouts", 4, "--max-new-tokens", 2, "--json", "out.json"]
    return invoke("forecast", "tiny", "--server", server.url, "--task", task, *words, *more)


class TestServer:
    """after_equals answers what ends in "=": the server hands it the first message, or the prompt."""

    @pytest.mark.parametrize(
        ("task", "more", "path"),
        [
            ("chat.jsonl", [], "/v1/chat/completions"),
            ("text.jsonl", ["--chat"], "/v1/chat/completions"),
            ("text.jsonl", [], "/v1/completions"),
            ("chat.jsonl", ["--no-chat"], "/v1/completions"),
        ],
    )
    def test_chats_are_sent_to_the_chat_endpoint(self, files, task, more, path):
        with serving(after_equals(d3=0.6, d5=0.4)) as server:
            result = served(server, task, *more)
            assert result.exit_code == 0, result.output
            assert {where for where, _ in server.requests} == {path}
            bodies = [body for _, body in server.requests]
        document = json.loads(open("out.json").read())
        chat = path.endswith("chat/completions")
        assert (
            document["settings"]["endpoint"] == path.removeprefix("/v1/")
            and document["prompts"]["chat"] is chat
        )
        assert all(("messages" in body) is chat and ("prompt" in body) is not chat for body in bodies)
        assert not any("template changes" in note for note in document["notes"])

    def test_messages_stop_strings_and_options_arrive(self, files):
        more = ["--system", "Be brief.", "--stop", "x", "--stop", "y"]
        more += ["--chat-template-kwargs", '{"enable_thinking": false}']
        with serving(after_equals(d3=1.0)) as server:
            served(server, "chat.jsonl", *more)
            body = server.requests[0][1]
        assert [turn["role"] for turn in body["messages"]] == ["system", "user"]
        assert body["stop"] == ["x", "y"] and body["chat_template_kwargs"] == {"enable_thinking": False}

    def test_answers_of_one_form_are_not_those_of_another(self, files):
        with serving(after_equals(d3=0.6, d5=0.4)) as server:
            assert served(server, "text.jsonl", "--output", "kept").exit_code == 0
            before = len(server.requests)
            assert_refused(served(server, "text.jsonl", "--chat", "--output", "kept"), "drawn with")
            assert_refused(served(server, "chat.jsonl", "--output", "kept"), "drawn with")
            assert len(server.requests) == before
            assert served(server, "text.jsonl", "--output", "kept").exit_code == 0
            assert len(server.requests) == before

    def test_a_server_without_chats_is_refused_in_a_sentence(self, files):
        with serving(after_equals(d3=1.0), endpoints=("completions",)) as server:
            assert_refused(served(server, "chat.jsonl"), "no /chat/completions", "--no-chat")
