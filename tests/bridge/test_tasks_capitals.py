"""Capitals: the first word, folded; the table is complete and says nothing twice."""

import pytest

from llm_bridge import get_task
from llm_bridge.tasks.capitals_data import CAPITALS, SPELLINGS

TASK = get_task("capitals")


def problem_of(country):
    return next(problem for problem in TASK.problems if problem.data["country"] == country)


@pytest.mark.parametrize(
    ("completion", "label"),
    [
        (" Paris", "paris"),
        (" PARIS.", "paris"),
        ("\n\nParis is", "paris"),
        (" **Paris**", "paris"),
        (" Bogotá", "bogota"),
        (" Bogota\u0301,", "bogota"),
        (" N\u2019Djamena,", "n'djamena"),
        (" NDjamena", "n'djamena"),
        (" Port-au-Prince", "port-au-prince"),
        (" Port Louis", "port"),
        (" St. John's", "saint"),
        (" Saint John's", "saint"),
        (" Washington, D.C.", "washington"),
        (" D.C.", "d.c"),
        (" Kiev", "kyiv"),
        (" Nuku\u02bbalofa", "nuku'alofa"),
        (" the city of Paris", "the"),
        ("42 Paris", "paris"),
        ("", None),
        (" 42.", None),
        ("\0\0", None),
        ("...", None),
        ("x" * 61, None),
        ("x" * 60, "x" * 60),
        (" " * 200 + "Paris", None),
        (" " * 199 + "Paris", "paris"),
    ],
)
def test_first_word(completion, label):
    assert TASK.extract(completion) == label


@pytest.mark.parametrize(
    ("country", "completion", "correct"),
    [
        ("France", " Paris", True),
        ("France", " France", False),
        ("the Gambia", " Banjul", True),
        ("South Africa", " Cape Town", True),
        ("South Africa", " Pretoria", True),
        ("South Africa", " Johannesburg", False),
        ("Ukraine", " Kiev", True),
        ("Benin", " Cotonou", True),
        ("Myanmar", " Nay Pyi Taw", True),
        ("Myanmar", " Yangon", False),
        ("the United States", " Washington DC", True),
        ("Brazil", " Brasilia", True),
        ("Turkey", " Istanbul", False),
        ("Mauritius", " Port Louis", True),
    ],
)
def test_correctness(country, completion, correct):
    assert TASK.is_correct(problem_of(country), TASK.extract(completion)) is correct


def test_prompts_read_as_english():
    prompts = {problem.prompt for problem in TASK.problems}
    assert {
        "The capital of the Gambia is",
        "The capital of the Netherlands is",
        "The capital of Chad is",
    } <= prompts
    assert len(TASK.problems) >= 150 and len({row[0] for row in CAPITALS}) == len(CAPITALS)
    for plural in (
        "Netherlands",
        "Philippines",
        "Bahamas",
        "Maldives",
        "Comoros",
        "Gambia",
        "United States",
        "United Kingdom",
    ):
        assert f"The capital of {plural} is" not in prompts


def test_repeating_the_country_is_never_right():
    for problem in TASK.problems:
        country = problem.data["country"].removeprefix("the ")
        assert not TASK.is_correct(problem, TASK.extract(country)), problem


def test_spellings_are_folded_once_and_lead_to_a_capital():
    known = {label for problem in TASK.problems for label in problem.data["accepted"]}
    for spelling, name in SPELLINGS.items():
        assert name in known and spelling not in known and TASK.extract(spelling) == name
