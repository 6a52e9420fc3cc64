"""Chats as prompts: the tokenizer's template is applied once, no beginning stands twice, and what cannot be rendered
is refused; the same for forecast, measure, monitor and server.
"""

import json
import re

import pytest
from chats import SPECIAL, TEMPLATES, bytes_model, chat_model
from cli_helpers import assert_refused, invoke
from tiny import save

from llm_bridge import RunSettings, get_task, get_verifier, measure
from llm_bridge.models.chat import chat_prompt, looks_rendered, rendered
from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.sampling.rollouts import sample
from llm_bridge.sampling.seeding import seeded
from llm_bridge.tasks.form import PromptForm, for_tokenizer
from llm_bridge.training.run_folder import problems_digest
from sharpening import InputError

USER = [{"role": "user", "content": "What is 1+1?"}]
CHATS = {
    "one turn": USER,
    "system": [{"role": "system", "content": "Be brief."}, *USER],
    "three turns": [*USER, {"role": "assistant", "content": "2"}, {"role": "user", "content": "And 2+2?"}],
}
RUN = ["--max-steps", 2, "--prompts-per-step", 4, "--rollouts", 4, "--eval-prompts", 4, "--eval-every", 2]
RUN += ["--learning-rate", 5e-4]
RUN += ["--max-new-tokens", 4]


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sums(path, prompt, **more):
    return write(path, *({"prompt": prompt(f"What is {i}+{i}?"), "answer": 2 * i} | more for i in range(12)))


def asks(text):
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize(
    "template", ["without a beginning", "with a beginning", "default system", "thinking", "words alone"]
)
def test_the_tokens_are_those_of_the_template(template, chat, begins):
    tokenizer = chat_model(template, begins=begins).tokenizer
    expected = tokenizer.apply_chat_template(CHATS[chat], add_generation_prompt=True, tokenize=True)[
        "input_ids"
    ]
    for prompt in (CHATS[chat], chat_prompt(CHATS[chat]), rendered(tokenizer, chat_prompt(CHATS[chat]))):
        assert prompt_token_ids(tokenizer, [prompt]) == [expected]
    assert expected.count(tokenizer.bos_token_id) == (template == "with a beginning")


def test_texts_chats_and_tokens_side_by_side():
    tokenizer = chat_model().tokenizer
    mixed = prompt_token_ids(tokenizer, ["1+1=", USER, [7, 8], "<bos>1+1="])
    assert mixed == [
        one for prompt in ["1+1=", USER, [7, 8], "<bos>1+1="] for one in prompt_token_ids(tokenizer, [prompt])
    ]


def test_options_reach_the_template():
    tokenizer = chat_model("thinking").tokenizer
    texts = [
        str(rendered(tokenizer, _form(USER, chat_template_kwargs=options).problems[0].prompt))
        for options in ({}, {"enable_thinking": True}, {"enable_thinking": False})
    ]
    assert texts[0] == texts[1] and texts[2] == texts[0] + "<think></think>"


def _form(prompt, **form):
    from llm_bridge.tasks.form import asked
    from llm_bridge.tasks.prompts import PromptTask

    return asked(
        PromptTask([prompt, asks("another")] if isinstance(prompt, list) else [prompt, "another"]),
        PromptForm(**form),
    )


@pytest.mark.parametrize(
    ("template", "chat", "named"),
    [
        (None, "one turn", "no chat template.*--no-chat"),
        ("no system", "system", "system.*refuses.*System role not supported.*Leave the system message"),
        ("system left out", "system", "leaves the system message out"),
    ],
)
def test_what_the_template_cannot_say_is_refused(template, chat, named):
    with pytest.raises(InputError, match=named) as caught:
        prompt_token_ids(chat_model(template).tokenizer, [CHATS[chat]])
    assert "\n" not in str(caught.value)


def test_a_template_is_never_applied_twice():
    for name in TEMPLATES:
        tokenizer = chat_model(name).tokenizer
        once = str(rendered(tokenizer, chat_prompt(USER)))
        assert looks_rendered(tokenizer, once) and not looks_rendered(tokenizer, USER[0]["content"])
        with pytest.raises(InputError, match="second time"):
            prompt_token_ids(tokenizer, [asks(once)])
        found = rendered(tokenizer, chat_prompt(USER))
        assert rendered(tokenizer, found) is found


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ([], "line 1.*prompt is a list"),
        (["hi"], "line 1.*prompt is a list"),
        ([{"content": "hi"}], "message 1 has no role"),
        ([{"role": "user", "content": None}], "message 1 has no text"),
        ([{"role": "user", "content": [{"type": "image", "image": "x"}]}], "the image .*x cannot be read"),
        ([{"role": "user", "content": [{"type": "audio", "audio": "x"}]}], "neither text nor image"),
        ([{"role": "user", "content": "  "}], "message 1 is empty"),
        ([{"role": "system", "content": "Be brief."}], "no message of a user"),
        ([*USER, {"role": "assistant", "content": "2"}], "ends with a message of the assistant"),
    ],
)
def test_a_list_that_is_no_chat_is_refused_with_its_line(tmp_path, messages, named):
    with pytest.raises(InputError, match=named):
        get_task(write(tmp_path / "bad.jsonl", {"prompt": messages, "answer": "1"}))


def test_of_messages_the_last_reply_is_no_part_of_the_prompt(tmp_path):
    rows = [
        {"messages": [*asks(f"{i}?"), {"role": "assistant", "content": "42"}], "answer": i} for i in range(3)
    ]
    task = get_task(write(tmp_path / "m.jsonl", *rows, {"messages": asks("9?"), "answer": 9}))
    assert [problem.prompt.messages for problem in task.problems] == [
        tuple(asks(f"{i}?")) for i in (0, 1, 2, 9)
    ]
    assert "3 of 4 chats" in task.notes[0]


def test_text_parts_are_one_text(tmp_path):
    parts = [{"type": "text", "text": "What is "}, {"type": "text", "text": "1+1?"}]
    task = get_task(
        write(tmp_path / "m.jsonl", {"prompt": [{"role": "user", "content": parts}], "answer": 2})
    )
    assert task.problems[0].prompt.messages == tuple(USER)


@pytest.mark.parametrize(
    "fields",
    [
        {"solution": "7"},
        {"ground_truth": 7},
        {"label": "7"},
        {"reward_model": {"style": "rule", "ground_truth": "7"}},
        {"ground_truth": ["7"]},
        {"answer": "so\n#### 7", "solution": "8"},
    ],
)
def test_true_answers_under_the_names_that_people_use(tmp_path, fields):
    task = get_task(write(tmp_path / "a.jsonl", {"prompt": USER} | fields))
    assert task.problems[0].answer == "7"
    assert bool(task.notes) is ("answer" not in fields)


def test_chats_and_texts_in_one_file_need_a_word(tmp_path):
    path = write(tmp_path / "mixed.jsonl", {"prompt": USER, "answer": 2}, {"prompt": "2+2?", "answer": 4})
    with pytest.raises(InputError, match="some of its prompts are chats"):
        get_task(path)
    chats, texts = (get_task(path, form=PromptForm(chat=chat)) for chat in (True, False))
    assert [problem.prompt.messages for problem in chats.problems] == [tuple(USER), tuple(asks("2+2?"))]
    assert [str(problem.prompt) for problem in texts.problems] == ["What is 1+1?", "2+2?"]


def test_system_message_examples_and_question_stand_in_order(tmp_path):
    shots = write(
        tmp_path / "shots.jsonl",
        {"question": "0+0?", "answer": "It is\n#### 0"},
        {"prompt": asks("3+3?"), "answer": 6},
    )
    chat = _form(USER, system="Be brief.", few_shot=str(shots)).problems[0].prompt
    assert [(turn["role"], turn["content"]) for turn in chat.messages] == [
        ("system", "Be brief."),
        ("user", "0+0?"),
        ("assistant", "It is\n#### 0"),
        ("user", "3+3?"),
        ("assistant", "6"),
        ("user", "What is 1+1?"),
    ]
    text = _form("What is 1+1?", few_shot=str(shots)).problems[0].prompt
    assert text == "0+0? It is\n#### 0\n\n3+3? 6\n\nWhat is 1+1?" and text.question == "What is 1+1?"


def test_a_prefix_is_taken_as_it_is(tmp_path):
    prefix = tmp_path / "prefix.txt"
    prefix.write_text("Q: 0+0? A: 0\n")
    for given, text in ((str(prefix), "Q: 0+0? A: 0\n"), ("Think hard. ", "Think hard. ")):
        assert _form("1+1?", few_shot=given).problems[0].prompt == text + "1+1?"
        assert _form(asks("1+1?"), few_shot=given).problems[0].prompt.messages[-1]["content"] == text + "1+1?"
    with pytest.raises(InputError, match="few_shot.*cannot be read"):
        _form("1+1?", few_shot="no/such/file.txt")


def test_an_example_that_is_a_prompt_of_the_task_is_told(tmp_path):
    shots = write(tmp_path / "shots.jsonl", {"prompt": "What is 1+1?", "answer": 2})
    assert any("given away" in note for note in _form("What is 1+1?", few_shot=str(shots)).notes)


@pytest.mark.parametrize(
    ("prompt", "form", "named"),
    [
        ("1+1?", {"chat": False, "system": "Be brief."}, "system.*--no-chat"),
        (CHATS["system"], {"system": "Be long."}, "a system message of its own"),
        ("1+1?", {"chat_template_kwargs": {"enable_thinking": False}}, "Add --chat"),
        ("1+1?", {"stop": ("",)}, "stop.*not empty"),
        ("1+1?", {"system": " "}, "system.*not empty"),
    ],
)
def test_forms_that_contradict_themselves_are_refused(prompt, form, named):
    with pytest.raises(InputError, match=named):
        _form(prompt, **form)


def test_the_form_changes_the_digest_and_neither_split_nor_answers(tmp_path):
    tokenizer = chat_model().tokenizer
    texts, chats = sums(tmp_path / "t.jsonl", str), sums(tmp_path / "c.jsonl", asks)
    forms = [
        PromptForm(),
        PromptForm(chat=True),
        PromptForm(system="Be brief."),
        PromptForm(few_shot="Think. "),
    ]
    forms += [PromptForm(stop=("x",)), PromptForm(chat=True, stop=("x",))]
    tasks = [for_tokenizer(get_task(texts, form=form), tokenizer) for form in forms]
    assert len({problems_digest(task) for task in tasks}) == len(forms)
    same = for_tokenizer(get_task(chats), tokenizer)
    assert problems_digest(same) == problems_digest(tasks[1])
    other = for_tokenizer(get_task(chats), chat_model("without a beginning").tokenizer)
    assert problems_digest(other) != problems_digest(same), "the template is part of what is asked"
    splits = {
        tuple(problem.question for problem in part) for task in [*tasks, same] for part in task.split(4)[1:]
    }
    assert len(splits) == 1
    for task in tasks:
        assert [problem.answer for problem in task.problems] == [str(2 * i) for i in range(12)]


def test_raw_text_is_said_where_there_is_a_template(tmp_path):
    tokenizer, path = chat_model().tokenizer, sums(tmp_path / "t.jsonl", str)
    assert "RAW TEXT" in for_tokenizer(get_task(path), tokenizer).notes[0]
    assert (
        "as --no-chat asks" in for_tokenizer(get_task(path, form=PromptForm(chat=False)), tokenizer).notes[0]
    )
    assert for_tokenizer(get_task(path), chat_model(None).tokenizer).notes == []
    assert for_tokenizer(get_task(path, form=PromptForm(chat=True)), tokenizer).notes == []
    own = sums(tmp_path / "o.jsonl", lambda text: str(rendered(tokenizer, chat_prompt(asks(text)))))
    task = for_tokenizer(get_task(own), tokenizer)
    assert task.notes == [], "a text that was rendered before is a chat"
    ids = prompt_token_ids(tokenizer, [task.problems[0].prompt])
    assert ids == prompt_token_ids(tokenizer, [asks("What is 0+0?")])


class TestStop:
    """A completion ends with the token that completes a stop string; what stands before is read."""

    def test_tokens_and_text(self):
        loaded = chat_model()
        stops, options = ["a", "1"], dict(rollouts=512, max_new_tokens=12, temperature=3.0)
        free = sample(loaded.model, loaded.tokenizer, [USER], generator=seeded(1), **options)
        found = sample(loaded.model, loaded.tokenizer, [USER], generator=seeded(2), stop=stops, **options)
        hits = 0
        for ids, text in zip(found.token_ids[0], found.texts[0], strict=True):
            whole = loaded.tokenizer.decode(ids, skip_special_tokens=True)
            assert not any(stop in text for stop in stops)
            if any(stop in whole for stop in stops):
                hits += 1
                assert whole[-1] in stops and whole[:-1] == text
        assert hits > 10 and any(stop in text[:-1] for text in free.texts[0] for stop in stops)

    def test_only_the_end_differs(self):
        import torch

        loaded = chat_model()
        options = dict(rollouts=32, max_new_tokens=10, temperature=3.0)
        free, stopped = (
            sample(
                loaded.model,
                loaded.tokenizer,
                [USER],
                generator=torch.Generator().manual_seed(3),
                stop=stop,
                **options,
            )
            for stop in ((), ("a", "ab", "11"))
        )
        for ids, cut in zip(free.token_ids[0], stopped.token_ids[0], strict=True):
            assert ids[: len(cut)] == cut

    @pytest.mark.parametrize("seed", range(4))
    def test_as_transformers_ends_them(self, seed):
        import torch

        loaded = bytes_model(seed)
        prompt = prompt_token_ids(loaded.tokenizer, ["the cat sat"])[0]
        options = dict(rollouts=1, max_new_tokens=40, greedy=True)
        free = sample(loaded.model, loaded.tokenizer, [prompt], **options).texts[0][0]
        stop = re.findall(r"[a-z ]{2,3}", free)[1]  # what is no letter may be half of one
        ours = sample(loaded.model, loaded.tokenizer, [prompt], stop=[stop], **options)
        theirs = loaded.model.generate(
            torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=40,
            stop_strings=[stop],
            tokenizer=loaded.tokenizer,
        )
        assert len(ours.token_ids[0][0]) < 40
        assert ours.token_ids[0][0] == theirs[0, len(prompt) :].tolist()

    def test_a_stopped_completion_is_not_cut_off(self):
        from llm_bridge.models.stop_strings import stop_at

        loaded = chat_model()
        stop_at(loaded.model, ["1", "a"])
        ends = {loaded.tokenizer.eos_token_id, loaded.tokenizer.pad_token_id}
        drawn = sample(
            loaded.model, loaded.tokenizer, [USER], rollouts=64, max_new_tokens=12, temperature=3.0
        )
        for ids, cut in zip(
            drawn.token_ids[0], drawn.truncated(loaded.model, loaded.tokenizer)[0], strict=True
        ):
            text = loaded.tokenizer.decode(ids)
            assert cut is not (text.endswith(("1", "a")) or ids[-1] in ends)

    def test_what_stands_behind_is_not_read(self, tmp_path):
        task = get_task(sums(tmp_path / "t.jsonl", str), form=PromptForm(stop=("\n", "Q:")))
        assert task.extract("it is 4\nnot 5") == "4" and task.extract("Q: 4") is None

    def test_with_masks_it_is_refused(self, tmp_path):
        result = invoke(
            "forecast",
            "--task",
            sums(tmp_path / "t.jsonl", str),
            *RUN,
            "--stop",
            "x",
            "--mask-truncated-completions",
        )
        assert_refused(result, "stop", "left out of the loss")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(chat_model(), tmp_path_factory.mktemp("chat-model"))


class TestCommand:
    def test_a_forecast_shows_and_writes_what_the_model_sees(self, folder, tmp_path):
        task, out = sums(tmp_path / "c.jsonl", asks), tmp_path / "f.json"
        result = invoke(
            "forecast", folder, "--task", task, *RUN, "--system", "Be brief.", "--stop", "#", "--json", out
        )
        assert result.exit_code == 0, result.output
        seen = "<bos><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhat is 0+0?<|im_end|>\n<|im_start|>assistant\n"
        assert repr(seen) in result.stderr and "completes '#'" in result.stderr
        document = json.loads(out.read_text())
        assert document["prompts"] == {"system": "Be brief.", "stop": ["#"], "chat": True, "example": seen}

    @pytest.mark.parametrize("command", ["forecast", "measure"])
    def test_raw_text_is_said_loudly(self, folder, tmp_path, command):
        task, out = sums(tmp_path / "t.jsonl", str), tmp_path / "f.json"
        more = ["--output", tmp_path / "run"] if command == "measure" else []
        result = invoke(command, folder, "--task", task, *RUN, "--json", out, *more)
        assert result.exit_code == 0, result.output
        assert "Note: RAW TEXT" in result.stderr
        assert any(note.startswith("RAW TEXT") for note in json.loads(out.read_text())["notes"])

    @pytest.mark.parametrize(
        ("model", "task", "more", "fragments"),
        [
            (None, asks, [], ["no chat template", "--no-chat"]),
            (None, str, ["--chat"], ["no chat template", "--no-chat"]),
            ("no system", asks, ["--system", "Be brief."], ["System role not supported", "--system"]),
            (
                "with a beginning",
                lambda text: f"<|im_start|>user\n{text}<|im_end|>",
                ["--chat"],
                ["second time"],
            ),
            ("with a beginning", str, ["--chat", "--chat-template-kwargs", "{no"], ["JSON object"]),
        ],
    )
    def test_refusals_are_one_paragraph(self, tmp_path, model, task, more, fragments):
        name = save(chat_model(model), tmp_path / "model")
        result = invoke("forecast", name, "--task", sums(tmp_path / "c.jsonl", task), *RUN, *more)
        assert_refused(result, *fragments)

    def test_a_run_resumes_under_its_form_alone(self, folder, tmp_path):
        task, out = sums(tmp_path / "c.jsonl", asks), tmp_path / "run"
        command = ["measure", folder, "--task", task, *RUN, "--output", out]
        assert invoke(*command, "--system", "Be brief.").exit_code == 0
        assert invoke(*command, "--system", "Be brief.").exit_code == 0
        for other in ([], ["--system", "Be long."], ["--system", "Be brief.", "--stop", "#"]):
            assert_refused(invoke(*command, *other), "problems")


def test_the_run_trains_on_the_tokens_of_the_template(folder, tmp_path, monkeypatch):
    from llm_bridge.training import trainer

    tokens, plain = [], trainer.sample

    def watched(model, tokenizer, prompts, **options):
        drawn = plain(model, tokenizer, prompts, **options)
        tokens.extend(map(tuple, drawn.prompt_ids))
        return drawn

    monkeypatch.setattr(trainer, "sample", watched)
    for name in ("without a beginning", "with a beginning"):
        tokens.clear()
        loaded = chat_model(name)
        where, path = tmp_path / name, sums(tmp_path / "c.jsonl", asks)
        settings = RunSettings(
            max_steps=2, prompts_per_step=4, rollouts=4, eval_prompts=4, eval_every=2, max_new_tokens=4
        )
        measure(save(loaded, where / "model"), get_task(path), settings, output_dir=where / "run")
        train = get_task(path).split(4)[0]
        allowed = {
            tuple(
                loaded.tokenizer.apply_chat_template(
                    list(problem.prompt.messages), add_generation_prompt=True
                )["input_ids"]
            )
            for problem in train
        }
        assert tokens and set(tokens) <= allowed


def test_verifiers_and_attractors_read_the_question():
    task = get_task(
        "antiderivatives", form=PromptForm(chat=True, few_shot="an antiderivative of x is x^2/2\n")
    )
    task = for_tokenizer(task, chat_model().tokenizer)
    problem = next(one for one in task.problems if one.data["integrand"] == "3*x^2")
    assert problem.question == "an antiderivative of 3*x^2 is" and SPECIAL[1] in problem.prompt
    assert get_verifier("antiderivative").verdict(problem, "x^3") == 1.0
