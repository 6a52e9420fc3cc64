"""Tasks from files: formats, default patterns, and every kind of broken input."""

import json
import traceback

import pytest

from llm_bridge import get_task
from sharpening import InputError


def write(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def test_prompt_and_answer(tmp_path):
    task = get_task(
        write(
            tmp_path / "sums.jsonl",
            {"prompt": "1+1=", "answer": "2"},
            {"prompt": "1/4?", "answer": 0.250, "id": 7},
            "",
            {"prompt": "k", "answer": "1,000"},
        )
    )
    assert (task.name, task.answer_pattern, len(task.problems)) == ("sums", "last-number", 3)
    assert [problem.answer for problem in task.problems] == ["2", "0.25", "1000"]
    assert [problem.data["line"] for problem in task.problems] == [1, 2, 4]
    assert task.is_correct(task.problems[1], task.extract("I think 1/4"))
    assert task.is_correct(task.problems[2], task.extract("it is 1000.00."))
    assert task.is_correct(task.problems[0], task.extract("002"))
    assert not task.is_correct(task.problems[0], task.extract("two"))


def test_gsm8k(tmp_path):
    task = get_task(
        write(tmp_path / "g.jsonl", {"question": "q", "answer": "3 #### is <<1+1=2>> 2\n#### 1,234"})
    )
    assert (
        task.problems[0].prompt == "q"
        and task.problems[0].answer == "1234"
        and task.answer_pattern == "last-number"
    )


def test_a_json_number_is_not_rounded(tmp_path):
    task = get_task(
        write(
            tmp_path / "n.jsonl",
            '{"prompt": "p", "answer": 0.10000000000000000001}',
            '{"prompt": "q", "answer": 123456789012345678901234567890}',
        )
    )
    assert task.problems[1].answer == "123456789012345678901234567890"
    assert task.problems[0].answer != "0.1"


@pytest.mark.parametrize(
    ("answers", "pattern"),
    [
        (["1", "2,000", "-3.5", "1/2", r"\frac12", "$18.90"], "last-number"),
        (["1", r"\sqrt{2}"], "boxed"),
        (["x^2"], "boxed"),
        (["Paris", "3"], "text"),
        (["1", "Rome"], "text"),
    ],
)
def test_the_default_pattern_follows_the_true_answers(tmp_path, answers, pattern):
    task = get_task(
        write(
            tmp_path / "d.jsonl", *({"prompt": f"p{i}", "answer": answer} for i, answer in enumerate(answers))
        )
    )
    assert task.answer_pattern == pattern
    for problem in task.problems:
        assert task.is_correct(problem, task.extract(task.solution(problem)))
    assert task.exact_labels is (pattern != "boxed") and task.max_new_tokens > 0


def test_a_chosen_pattern(tmp_path):
    path = write(tmp_path / "c.jsonl", {"prompt": "a", "answer": "1/2"}, {"prompt": "b", "answer": "7"})
    boxed, text, regex = (
        get_task(path, answer_pattern=pattern) for pattern in ("boxed", "text", r"regex:Answer: (\S+)")
    )
    assert boxed.is_correct(boxed.problems[0], boxed.extract(r"1/4, no: \boxed{\dfrac{2}{4}}"))
    assert boxed.extract("1/2") is None
    assert text.is_correct(text.problems[0], text.extract(" 1/2\n")) and not text.is_correct(
        text.problems[0], text.extract("0.5")
    )
    assert (
        regex.is_correct(regex.problems[0], regex.extract("Answer: 0.50 ok")) and regex.extract("0.5") is None
    )


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ([{"prompt": "p", "answer": "1"}, '{"prompt": "p", "ans'], "line 2 of .*bad.jsonl is not valid JSON"),
        ([{"prompt": "p", "answer": "1"}, "", "hello"], "line 3 of .*bad.jsonl is not valid JSON"),
        ([[1, 2]], "line 1 of .*bad.jsonl is not a JSON object"),
        (["3"], "line 1 of .*not a JSON object"),
        (["[" * 100_000], "line 1 of .*not valid JSON"),
        (
            [{"prompt": "p", "answer": "1"}, {"prompt": "q"}, {"prompt": "r"}],
            "line 2 of .*bad.jsonl has no field answer",
        ),
        ([{"prompt": "p"}, "", {"prompt": "q", "answer": "1"}], "line 1 of .*bad.jsonl has no field answer"),
        ([{"text": "p"}], "no field prompt .it has text"),
        ([{"answer": "p"}], "no field prompt"),
        ([{}], "it has none"),
        ([{"prompt": 3, "answer": "1"}], "prompt must be text"),
        ([{"prompt": " ", "answer": "1"}], "prompt must be text and not empty"),
        ([{"prompt": "p", "answer": ""}], "answer must be text or a number and not empty"),
        ([{"prompt": "p", "answer": None}], "answer must be"),
        ([{"prompt": "p", "answer": ["1"]}], "answer must be"),
        ([{"prompt": "p", "answer": True}], "answer must be"),
        ([{"question": "p", "answer": "so ####"}], "answer must be"),
        ([], "the data set is empty"),
        (["", "  "], "the data set is empty"),
        ([{"prompt": "p", "answer": "x" * 1_001}], "true answer of line 1"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, lines, named):
    path = write(tmp_path / "bad.jsonl", *lines)
    with pytest.raises(InputError, match=named) as caught:
        get_task(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1_000
    assert traceback.format_exception(caught.value)


def test_bytes_that_are_not_text_are_named_with_their_line(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"prompt": "p", "answer": "1"}\n{"prompt": "\xe9", "answer": "1"}\n')
    with pytest.raises(InputError, match="line 2 of"):
        get_task(path)


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path):
    path = tmp_path / "w.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"prompt": "p", "answer": "1"}\r\n{"prompt": "q", "answer": "2"}\r\n')
    assert len(get_task(path).problems) == 2


def test_unicode_line_separators_do_not_break_lines(tmp_path):
    path = tmp_path / "u.jsonl"
    path.write_text('{"prompt": "p\u2028q\x85", "answer": "1"}\n', encoding="utf-8")
    assert get_task(path).problems[0].prompt == "p\u2028q\x85"


@pytest.mark.parametrize("pattern", ["last-number", "boxes", "regex:(", "regex:x"])
def test_a_pattern_that_cannot_read_the_truth_is_refused(tmp_path, pattern):
    path = write(tmp_path / "t.jsonl", {"prompt": "p", "answer": "1"}, {"prompt": "q", "answer": "Rome"})
    with pytest.raises(InputError, match="line 2|answer_pattern"):
        get_task(path, answer_pattern=pattern)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        get_task(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="irectory"):
        get_task(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        get_task("folder/a\0b.jsonl")


@pytest.mark.parametrize(
    ("lines", "evaluated"), [(1, 1), (2, 1), (64, 32), (256, 128), (257, 256), (600, 256)]
)
def test_a_small_file_leaves_prompts_to_train_on(tmp_path, lines, evaluated):
    task = get_task(write(tmp_path / "t.jsonl", *({"prompt": f"{i}?", "answer": i} for i in range(lines))))
    assert task.default_eval_prompts == evaluated
    if lines > 1:
        assert [len(part) for part in task.split(evaluated)] == [lines - evaluated, evaluated]
