"""Votes and grades read one label once, pool it by one equivalence, and know nothing of order."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import Problem, Task, get_task
from llm_bridge.tasks import answer_ids, read_answers
from sharpening import NO_ANSWER


class Plain(Task):
    """Labels are the texts; "" is no answer."""

    name = "plain"

    def _build(self):
        return (Problem("p", "right"),)

    def extract(self, completion):
        return completion or None


class Near(Plain):
    """Whole numbers at most one apart are equivalent: symmetric, reflexive, not transitive."""

    exact_labels = False

    def equivalent(self, first, second):
        return "right" not in (first, second) and abs(int(first) - int(second)) <= 1


def mathematics(tmp_path, *answers, pattern="boxed"):
    path = tmp_path / "m.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"p{i}", "answer": answer}) + "\n" for i, answer in enumerate(answers))
    )
    return get_task(path, answer_pattern=pattern)


@pytest.mark.parametrize(
    "answer",
    [r"\frac{1}{2}", "(1,3)", r"\left( 3, \frac{\pi}{2} \right)", r"\{1,2\}", "1,000", r"\text{even}"],
)
def test_trap_a_a_unanimous_correct_answer_is_correct(tmp_path, answer):
    task = mathematics(tmp_path, answer)
    answers = read_answers(task.problems, [[rf"So \boxed{{{answer}}}"] * 4], task)
    assert answers.correct.all() and len(answers.labels) == 1 and (answers.ids == 0).all()


def test_a_label_is_extracted_once(tmp_path, monkeypatch):
    task, read = mathematics(tmp_path, r"\frac{1}{2}"), []
    extract = task.extract
    monkeypatch.setattr(task, "extract", lambda text: (read.append(text), extract(text))[1])
    read_answers(task.problems, [[r"\boxed{1/2}", r"\boxed{7}", ""]], task)
    assert read == [r"\boxed{1/2}", r"\boxed{7}", ""]


def test_trap_b_no_answer_is_its_own_id_and_never_correct(tmp_path):
    for pattern in ("boxed", "last-number", "text"):
        task = mathematics(tmp_path, "7", pattern=pattern)
        answers = read_answers(task.problems, [["", " ", "\n"]], task)
        assert (answers.ids == NO_ANSWER).all() and not answers.correct.any() and answers.labels == []
    answers = read_answers([Problem("p", "None")], [["", "None", "right"]], Plain())
    assert answers.ids.tolist() == [[-1, 0, 1]] and answers.correct.tolist() == [[False, True, False]]


def test_trap_c_votes_and_grades_share_one_equivalence(tmp_path):
    for pattern, wrap in (("boxed", r"\boxed{%s}"), ("last-number", "it is %s"), (r"regex:= (.*)", "= %s")):
        task = mathematics(tmp_path, "0.25", pattern=pattern)
        ids, labels = answer_ids(
            task.problems, [[wrap % text for text in ("1/4", "0.250", ".25", "7", "7")]], task
        )
        assert ids[0, 0] == ids[0, 1] == ids[0, 2] != ids[0, 3] == ids[0, 4] and len(labels) == 2
        assert np.bincount(ids[0])[ids[0, 0]] == 3
        assert read_answers(task.problems, [[wrap % "1/4", wrap % "7"]], task).correct.tolist() == [
            [True, False]
        ]


def test_trap_d_order_of_rollouts_and_prompts_changes_nothing(tmp_path):
    task = mathematics(tmp_path, "1/2", r"\sqrt{4}")
    groups = [
        [r"\boxed{1/2}", r"\boxed{0.5}", "", r"\boxed{\frac{x}{x^2}}", r"\boxed{1/x}"],
        [r"\boxed{2}", r"\boxed{\sqrt{4}}", r"\boxed{3}", "", r"\boxed{1/x}"],
    ]
    base = read_answers(task.problems, groups, task)
    for seed in range(5):
        order = random.Random(seed).sample(range(5), 5)
        again = read_answers(task.problems, [[group[i] for i in order] for group in groups], task)
        assert again.labels == base.labels
        assert (again.ids == base.ids[:, order]).all() and (again.correct == base.correct[:, order]).all()
    swapped = read_answers(task.problems[::-1], groups[::-1], task)
    assert (
        swapped.labels == base.labels
        and (swapped.ids == base.ids[::-1]).all()
        and (swapped.correct == base.correct[::-1]).all()
    )


def test_trap_j_two_unreadable_answers_are_not_an_agreement(tmp_path):
    task = mathematics(tmp_path, r"\sqrt{2}")
    answers = read_answers(
        task.problems, [[r"\boxed{", "?", r"\boxed{@#}", r"\boxed{\frac{}}", r"\boxed{&&&}"]], task
    )
    assert answers.ids[0, 0] == answers.ids[0, 1] == NO_ANSWER
    assert len(set(answers.ids[0, 2:].tolist())) == 3 and not answers.correct.any()


@given(st.lists(st.integers(0, 12).map(str) | st.just(""), min_size=1, max_size=10), st.randoms())
def test_classes_are_the_chains_of_equivalent_labels(texts, order):
    task = Near()
    ids, labels = answer_ids(task.problems, [texts], task)
    present = sorted({int(text) for text in texts if text})
    component, where = 0, {}
    for before, value in zip([None, *present], present, strict=False):
        component += before is not None and value - before > 1
        where[value] = component
    for text, one in zip(texts, ids[0], strict=True):
        if not text:
            assert one == NO_ANSWER
            continue
        chain = [str(value) for value in present if where[value] == where[int(text)]]
        assert labels[one] == min(chain)
    shuffled = order.sample(list(range(len(texts))), len(texts))
    again, same = answer_ids(task.problems, [[texts[i] for i in shuffled]], task)
    assert same == labels and (again[0] == ids[0][shuffled]).all()


def test_an_answer_is_right_if_one_of_its_labels_is():
    answers = read_answers([Problem("p", "5"), Problem("q", "9")], [["3", "4", "7"], ["3", "4", "7"]], Near())
    assert answers.ids.tolist() == [[0, 0, 1], [0, 0, 1]]
    assert answers.correct.tolist() == [[True, True, False], [False, False, False]]


def test_the_truth_never_pools_labels():
    """4 and 6 are each one from the truth 5, and two from each other."""
    answers = read_answers([Problem("p", "5")], [["4", "6"]], Near())
    assert answers.ids.tolist() == [[0, 1]] and answers.correct.all()


def test_ids_mean_the_same_for_every_prompt():
    ids, labels = answer_ids([Problem("p", "a"), Problem("q", "b")], [["b", "a"], ["c", "b"]], Plain())
    assert [[labels[one] for one in row] for row in ids] == [["b", "a"], ["c", "b"]]
    assert ids.dtype == np.int64 and labels == ["a", "b", "c"]


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 problems"):
        answer_ids([Problem("p", "a")] * 2, [["a"]], Plain())
    with pytest.raises(ValueError, match="sizes"):
        answer_ids([Problem("p", "a")] * 2, [["a"], ["a", "b"]], Plain())


def test_no_prompts():
    ids, labels = answer_ids([], [], Plain())
    assert ids.shape == (0, 0) and labels == []
