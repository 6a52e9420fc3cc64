"""A prompt that stands several times in a file is one problem: the sets stay as large as asked, the repeats
are told, and two different true answers are refused.
"""

import json

import pytest
from cli_helpers import assert_refused, invoke

from llm_bridge import get_task
from sharpening import InputError


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(repeats, count=40):
    return [{"prompt": f"{n}+1=", "answer": str(n + 1)} for n in range(count)] * repeats


@pytest.mark.parametrize("arrange", [list, lambda rows: sorted(rows, key=lambda row: row["prompt"])])
def test_repeats_change_neither_set(tmp_path, arrange):
    once = get_task(write(tmp_path / "once.jsonl", sums(1)))
    often = get_task(write(tmp_path / "often.jsonl", arrange(sums(100))))
    for size in (None, 8):
        prompts = [[[p.prompt for p in part] for part in task.split(16, size)] for task in (once, often)]
        assert prompts[0] == prompts[1]
        assert len(set(prompts[1][1])) == 16 and len(set(prompts[1][0])) == (size or 24)
    assert once.notes == [] and "3960 of 4000" in often.notes[0] and "40 distinct" in often.notes[0]
    assert often.description.startswith("40 problems")


def test_a_prompt_that_occurs_twice_is_on_one_side_only(tmp_path):
    task = get_task(write(tmp_path / "t.jsonl", [{"prompt": f"p{i % 10}", "answer": "1"} for i in range(30)]))
    for size in range(1, 10):
        train, evaluated = ({problem.prompt for problem in part} for part in task.split(size))
        assert not train & evaluated and len(evaluated) == size and len(train) == 10 - size


@pytest.mark.parametrize(
    "answers", [("3", "3.0"), ("1/2", "0.5"), (r"\frac{1}{2}", r"\dfrac12"), ("Rome", "Rome")]
)
def test_two_spellings_of_one_answer_are_one_answer(tmp_path, answers):
    rows = [{"prompt": "q", "answer": answer} for answer in answers] + [{"prompt": "r", "answer": answers[0]}]
    assert len(get_task(write(tmp_path / "t.jsonl", rows)).problems) == 2


@pytest.mark.parametrize("answers", [("3", "4"), (r"\frac{1}{2}", r"\frac{1}{3}"), ("Rome", "Paris")])
def test_two_true_answers_of_one_prompt_are_refused_by_line(tmp_path, answers):
    rows = [
        {"prompt": "x", "answer": answers[0]},
        {"prompt": "q", "answer": answers[0]},
        {"prompt": "y", "answer": answers[1]},
        {"prompt": "q", "answer": answers[1]},
    ]
    with pytest.raises(InputError, match="lines 2 and 4"):
        get_task(write(tmp_path / "t.jsonl", rows))


def test_rephrasings_of_repeats_are_kept(tmp_path):
    rows = [
        {"prompt": "q", "rephrasings": ["a"]},
        {"prompt": "q", "rephrasings": ["b", "a"]},
        {"prompt": "r"},
    ]
    task = get_task(write(tmp_path / "t.jsonl", rows))
    assert task.rephrase(task.problems[0]) == ("a", "b") and task.rephrase(task.problems[1]) == ()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_advice_can_be_followed(tmp_path, count):
    task = get_task(write(tmp_path / "t.jsonl", sums(5, count)))
    with pytest.raises(InputError) as error:
        task.split(256)
    if count == 1:
        assert "at least two" in error.value.fix and "--eval-prompts" not in str(error.value)
    else:
        fewer = int(error.value.fix.split("--eval-prompts ")[1].split()[0])
        assert all(task.split(fewer))


def test_the_command_says_it_and_the_json_has_it(tmp_path):
    path = write(tmp_path / "t.jsonl", sums(3))
    options = ["addition-weak", "--task", path, "--eval-prompts", 8, "--prompts-per-step", 4, "--rollouts", 4]
    options += [
        "--max-steps",
        1,
        "--max-new-tokens",
        8,
        "--output",
        tmp_path / "run",
        "--json",
        tmp_path / "out.json",
    ]
    for _ in range(2):  # also where a finished run is read back
        result = invoke("measure", *options)
        assert result.exit_code == 0 and "80 of 120 lines repeat" in result.stderr
        assert "80 of 120" in json.loads((tmp_path / "out.json").read_text())["notes"][0]
    assert_refused(
        invoke("measure", "addition-weak", "--task", write(path, sums(3, 1))), "one distinct prompt"
    )
