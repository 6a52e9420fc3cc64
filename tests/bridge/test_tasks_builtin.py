"""The built-in tasks: every problem is right, every text has a defined label, and `settled` never lies."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_bridge import TASKS, Task, get_task
from sharpening import InputError

SIZES = {
    "addition": 10_000,
    "modmul": 9_216,
    "countdown": 5_822,
    "capitals": 181,
    "worked-addition": 10_000,
    "antiderivatives": 648,
    "polynomials": 729,
    "sorting": 6_561,
    "dots": 2_048,
    "digit-sum": 2_048,
    "brighter": 2_048,
    "missing-shape": 2_048,
}
LOADED = {name: get_task(name) for name in TASKS}


@pytest.mark.parametrize("name", TASKS)
def test_a_solution_is_correct_and_no_answer_is_not(name):
    task = LOADED[name]
    assert len(task.problems) == SIZES[name]
    assert len({problem.prompt for problem in task.problems}) == SIZES[name]
    for problem in task.problems:
        solution = task.solution(problem)
        assert task.is_correct(problem, task.extract(solution)), (problem, solution)
        assert not task.is_correct(problem, None)


@pytest.mark.parametrize("name", TASKS)
def test_problems_are_the_same_every_time(name):
    assert get_task(name).problems == LOADED[name].problems
    assert get_task(name).problems is not LOADED[name].problems


@pytest.mark.parametrize("name", ["addition", "modmul"])
def test_arithmetic_answers_against_python(name):
    for problem in LOADED[name].problems:
        assert eval(problem.prompt.rstrip("=")) == int(problem.answer)


def test_sorted_digits_against_python():
    for problem in LOADED["sorting"].problems:
        assert problem.answer == "".join(sorted(problem.prompt.rstrip(">")))


def test_base_rates_of_the_arithmetic_tasks():
    assert Counter(problem.answer for problem in LOADED["sorting"].problems).most_common(1)[0][1] == 24
    assert Counter(problem.answer for problem in LOADED["addition"].problems).most_common(1) == [("99", 100)]
    assert set(Counter(problem.answer for problem in LOADED["modmul"].problems).values()) == {96}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("68", "68"),
        (" 68\n", "68"),
        ("042", "42"),
        ("000", "0"),
        ("", None),
        ("  ", None),
        ("6 8", None),
        ("-5", None),
        ("+5", None),
        ("6.0", None),
        ("68 apples", None),
        ("=68", None),
        ("\u0664\u0662", None),
        ("\u00b2", None),
        ("6\x008", None),
        ("1,000", None),
        ("9" * 1_001, None),
    ],
)
def test_plain_digits(text, label):
    assert LOADED["addition"].extract(text) == label
    assert LOADED["modmul"].extract(text) == label


FRAGMENTS = st.lists(
    st.sampled_from(list("0123456789+-*() \n.,'xéSt\u0301\u02bb\ufffd\0") + ["Paris", "St", "**", "Port-au"]),
    max_size=12,
).map("".join)


@given(
    name=st.sampled_from(list(TASKS)),
    text=FRAGMENTS | st.text(max_size=20),
    more=FRAGMENTS | st.text(max_size=20),
)
@settings(max_examples=1_500, deadline=None)
def test_settled_means_that_no_continuation_changes_the_label(name, text, more):
    task = LOADED[name]
    if task.settled(text):
        assert task.extract(text) == task.extract(text + more)


@pytest.mark.parametrize(
    ("name", "text", "settled"),
    [
        ("addition", "68", False),
        ("addition", "68 ", False),
        ("addition", "68 a", True),
        ("addition", "", False),
        ("modmul", "6\n7", True),
        ("countdown", "3*5+7", False),
        ("countdown", "3*5+7=", True),
        ("countdown", "1" * 65, True),
        ("capitals", " Paris", False),
        ("capitals", " Paris,", True),
        ("capitals", " St.", False),
        ("capitals", " Paris. ", True),
        ("capitals", "", False),
        ("capitals", " S\ufffd", False),
        ("capitals", "1" * 201, True),
    ],
)
def test_settled_where_it_can_be_known(name, text, settled):
    assert LOADED[name].settled(text) is settled


@given(name=st.sampled_from(list(TASKS)), text=st.text(max_size=60))
@settings(max_examples=500, deadline=None)
def test_every_text_has_a_label_or_none(name, text):
    label = LOADED[name].extract(text)
    assert label is None or (isinstance(label, str) and 0 < len(label) <= 1_000)


@pytest.mark.parametrize("name", TASKS)
def test_split_is_fixed_disjoint_and_nested(name):
    task = LOADED[name]
    train, evaluated = task.split(64)
    assert len(evaluated) == 64 and len(train) == SIZES[name] - 64
    assert not {problem.prompt for problem in train} & {problem.prompt for problem in evaluated}
    small, same = get_task(name).split(64, 32)
    assert same == evaluated and small == train[:32]
    assert task.split(32)[1] == evaluated[:32]


def test_split_is_pinned_across_versions_and_platforms():
    train, evaluated = LOADED["addition"].split(3, 3)
    assert [problem.prompt for problem in evaluated] == PINNED_EVAL
    assert [problem.prompt for problem in train] == PINNED_TRAIN


PINNED_EVAL = ["71+63=", "46+48=", "12+62="]
PINNED_TRAIN = ["35+91=", "46+62=", "70+73="]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((181, None), "--eval-prompts 90"),
        ((500, None), "--eval-prompts 90"),
        ((100, 82), "--dataset-size 81"),
        ((0, None), "eval_prompts"),
        ((10, 0), "dataset_size"),
    ],
)
def test_split_refuses_too_few_problems(arguments, named):
    with pytest.raises(InputError, match=named):
        LOADED["capitals"].split(*arguments)


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(InputError, match="addition, antiderivatives, capitals, countdown"):
        get_task("adition")
    with pytest.raises(InputError, match="answer_pattern"):
        get_task("addition", answer_pattern="boxed")
    with pytest.raises(InputError):
        get_task("a\0b")
    with pytest.raises(InputError):
        get_task("x" * 5_000)


def test_each_task_says_what_it_is():
    for name, kind in TASKS.items():
        assert (
            issubclass(kind, Task)
            and kind.name == name
            and kind.description
            and kind.__doc__
            and kind.max_new_tokens > 0
        )
        assert kind.default_eval_prompts < SIZES[name]
