"""What a group of hostile answers may cost in all, and what is remembered of it."""

import json
from dataclasses import dataclass

import pytest

from llm_bridge import Problem, Task, get_task
from llm_bridge.answers.equivalence import at_most
from llm_bridge.answers.guard import guard
from llm_bridge.tasks import equivalent
from llm_bridge.tasks.votes import forget, pool_labels

pytest.importorskip("math_verify", reason="math-verify is not installed")


def heavy(first, count):
    """Labels of which each comparison uses much or all of the work that is allowed."""
    return [rf"(\sin {first + place}x+\cos {first + place}x)^{{14}}" for place in range(count)]


def test_comparing_ends_when_its_time_is_spent():
    guard("math").ask("x", "y")
    before = guard("math").seconds
    with at_most(0.6):
        assert not any(equivalent(text, r"\{1,2\}") for text in heavy(20, 8))
        assert not equivalent(r"\{11, 12\}", r"\{12, 11\}")
    assert 0.6 <= guard("math").seconds - before < 0.6 + 2.0
    assert equivalent(r"\{11, 12\}", r"\{12, 11\}")


def test_inner_limits_do_not_outlast_outer_ones():
    guard("math").ask("x", "y")
    with at_most(0.0):
        with at_most(1_000.0):
            assert not equivalent(r"\{13, 14\}", r"\{14, 13\}")
        assert equivalent("0.5", "1/2") and equivalent("(1, 2)", "(1,2)")
    assert equivalent(r"\{13, 14\}", r"\{14, 13\}")


def test_a_group_of_hostile_labels_costs_four_seconds_a_label_at_most(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"prompt": "p", "answer": "7"}) + "\n")
    task = get_task(path, answer_pattern="boxed")
    labels = heavy(40, 4)
    before = guard("math").seconds
    assert pool_labels(task.problems, [labels], task).ids[0].tolist() == [0, 1, 2, 3]
    # Two for the vote in all, and one comparison with the truth, of two at most.
    assert guard("math").seconds - before < 2.0 * len(labels) + 2.0 * len(labels)


class Pairs(Task):
    """Even numbers and their successors are the same; counts how often it is asked."""

    name, exact_labels, asked = "pairs", False, 0

    def _build(self):
        return (Problem("p", None),)

    def extract(self, completion):
        return completion

    def equivalent(self, first, second):
        type(self).asked += 1
        return int(first) // 2 == int(second) // 2


def test_a_label_set_is_compared_once_whatever_its_order():
    task = Pairs()
    found = pool_labels(task.problems, [["0", "1", "5", "4", None]], task)
    assert found.ids.tolist() == [[0, 0, 1, 1, -1]] and found.labels == ["0", "4"]
    asked = Pairs.asked
    assert asked > 0
    again = pool_labels(task.problems * 2, [["4", "5", "1", "0", "0"], [None, "5", "0", "1", "4"]], task)
    assert again.ids.tolist() == [[1, 1, 0, 0, 0], [-1, 1, 0, 0, 1]] and Pairs.asked == asked
    pool_labels(Pairs().problems, [["0", "1", "5", "4", None]], Pairs())
    assert Pairs.asked > asked
    asked = Pairs.asked
    forget()
    assert (
        pool_labels(task.problems, [["0", "1", "5", "4", None]], task).ids.tolist() == found.ids.tolist()
        and Pairs.asked > asked
    )


@dataclass
class Unhashable(Pairs):
    """A task that cannot be a key of a memory."""

    setting: int = 1


def test_a_task_that_cannot_be_remembered_still_votes():
    task = Unhashable()
    assert pool_labels(task.problems, [["0", "1", "4"]], task).ids.tolist() == [[0, 0, 1]]


def test_long_label_sets_are_not_kept():
    task = Pairs()
    labels = [[str(10**990 + 2 * place) for place in range(6)]]
    assert pool_labels(task.problems, labels, task).ids[0].tolist() == list(range(6))
    asked = Pairs.asked
    pool_labels(task.problems, labels, task)
    assert Pairs.asked > asked
