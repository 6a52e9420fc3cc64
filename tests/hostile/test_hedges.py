"""No answer can be two answers at once: neither by itself nor through a chain of labels in a vote does one
number become another.
"""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge import get_task
from llm_bridge.answers.numbers import number
from llm_bridge.tasks import equivalent
from llm_bridge.tasks.votes import pool_labels

pytest.importorskip("math_verify", reason="math-verify is not installed")

NUMBERS = ["5", "7", "8", "9", "0.09"]
HEDGES = [
    "5=7", "x=5=7", "x+1=8", "x=7", "y=8", "7=8", "1=7", "2=8", r"(9\%)", "7 m", "8 m", "f(x)=7", "5=5", "x=5, x=7", "5,7", r"\{5,7\}", r"5\pm 2",
    "5 or 7", r"9\%", "2x=16", "|x|=7", "5:7", "5;7", "(5,7)", "[5,7]", r"5\text{ and }7", "x-7=0", "x-8=0", "x^2=49", "x>7",
    "7_8", "8_7", "0=0", "x=x", "y=x",
]  # fmt: skip


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("hedges") / "t.jsonl"
    path.write_text(json.dumps({"prompt": "p", "answer": r"x^2"}) + "\n")
    return get_task(path, answer_pattern="boxed")


@pytest.mark.parametrize("text", HEDGES)
def test_no_text_equals_two_numbers(text):
    assert sum(equivalent(text, number) for number in NUMBERS) <= 1


def test_no_chain_joins_two_numbers(task):
    labels = [*NUMBERS, *HEDGES[:14]]
    named = dict(zip(labels, pool_labels(task.problems, [labels], task).ids[0].tolist(), strict=True))
    assert len({named[text] for text in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize("loose", ["1,-2", "-2,1", r"\{1,-2\}", r"\{-2,1\}"])
def test_what_has_no_order_is_no_tuple(loose):
    """Else (1,-2) and (-2,1) would both be the set of the two, and one answer in a vote."""
    assert (
        not equivalent("(1,-2)", loose)
        and not equivalent("(-2,1)", loose)
        and not equivalent("(1,-2)", "(-2,1)")
    )


PARTS = [
    "5",
    "7",
    "8",
    "x",
    "y",
    "=",
    "+",
    "-",
    ",",
    "(",
    ")",
    "[",
    "]",
    r"\{",
    r"\}",
    r"\pm ",
    "%",
    r"\%",
    "|",
    "<",
    ">",
    r"\text{ or }",
    " m",
    "^2",
    "_8",  # fmt: skip
    r"\frac{7}{8}",
    r"\sqrt{49}",
    "1",
    "0",
    "!",
    ":",
    ";",
    ".",
    r"^\circ",
    "f(x)",
    r"\in ",
    "a",
    "/",
]


@given(
    st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join), min_size=1, max_size=6)
)
@settings(max_examples=15)
def test_no_made_up_labels_join_two_numbers(task, texts):
    labels = list(dict.fromkeys([*NUMBERS[:3], *texts]))
    ids = dict(zip(labels, pool_labels(task.problems, [labels], task).ids[0].tolist(), strict=True))
    plain = [label for label in labels if number(label) is not None]
    for first, second in itertools.combinations(plain, 2):
        assert ids[first] != ids[second] or number(first) == number(second), labels
