"""Reading and comparing answers as people and models write them: tables of inputs, each row one spelling, and the
cases that users reported.
"""

import json
import os
import signal
from pathlib import Path

import pytest

from llm_bridge import CollapseMonitor, Problem, Task, get_task
from llm_bridge.answers.equivalence import equivalent, forget, unit_of
from llm_bridge.answers.extraction import extractor, last_box, last_choice
from llm_bridge.answers.guard import Guard
from llm_bridge.answers.normal_form import normal_form
from llm_bridge.answers.numbers import last_number, number
from llm_bridge.cli.options import tell_readings
from llm_bridge.forecast.prior import silence_told
from llm_bridge.logs.completions import read_verl
from llm_bridge.logs.groups import groups_log
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.readings import reading_examples, reading_told
from llm_bridge.tasks.votes import pool_labels

pytest.importorskip("math_verify", reason="math-verify is not installed")
CASES = Path(__file__).parents[2].parent / "shared" / "cases"


def offences(rows, found):
    """The rows (input, expected) for which found(input) is not what is expected."""
    return [(text, got, wanted) for text, wanted in rows if (got := found(text)) != wanted]


def task_of(tmp_path, *rows, pattern=None, name="t.jsonl"):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return get_task(path, answer_pattern=pattern)


NUMBERS = [
    (r"9{,}500", "9500"), (r"$9{,}500$", "9500"), (r"\boxed{9{,}500}", "9500"), (r"1{,}234{,}567", "1234567"), (r"1{,}5", "1.5"),
    (r"9\text{,}500 x", "9500"), (r"10,\!080", "10080"), (r"10, \! 080", "10080"), (r"10\,080", "10080"), (r"10\ 080", "10080"),
    (r"10~080", "10080"), (r"10\;080", "10080"), (r"11,\! 111,\! 111", "11111111"), ("1 250 000", "1250000"), ("12 500", "12500"),
    ("1\u202f250\u202f000", "1250000"), ("1\u00a0250", "1250"), ("1\u2009250", "1250"), ("1\u2007250", "1250"), ("1\u3000250", "1250"),
    ("1\u200b250", "1250"), ("1 250 000,50", "1250000.5"), ("1'250'000", "1250000"), ("1’250", "1250"),
    ("-$1,200", "-1200"), (r"$-\$45$", "-45"), (r"-\$45", "-45"), ("-$ 45", "-45"), ("\u2212$45", "-45"), ("\u20133", "-3"),
    ("\u22123", "-3"), ("\u20103", "-3"), ("\u20113", "-3"), ("\ufe633", "-3"), ("－３", "-3"), ("- 3", "-3"), ("= - 3", "-3"),
    ("x = \u2212 3", "-3"), ("the answer is - 3.", "-3"), ("is negative 5", "-5"), ("it is minus 7", "-7"), ("-\u20ac5", "-5"),
    ("１２３", "123"), ("１，２００", "1200"), ("３．５", "3.5"), ("＄５", "5"), ("答案是４２。", "42"), ("42。", "42"), ("𝟒𝟐", "42"),
    ("1.2e5", "120000"), ("1.2E+5", "120000"), ("1.2e-3", "0.0012"), ("3.0e5.", "300000"), (r"1.2 \times 10^{5}", "120000"),
    (r"1.2 \cdot 10^5", "120000"), ("1.2 x 10^5", "120000"), ("1.2 × 10⁵", "120000"), ("1.2·10⁵", "120000"), ("1.2 * 10^5", "120000"),
    ("1.2*10**5", "120000"), (r"-1.2\times10^{-3}", "-0.0012"), (r"$6.02\,\times\,10^{3}$", "6020"), ("10^{6}", "1000000"), ("10⁶", "1000000"),
    ("10^-2", "0.01"), ("2^{10}", "1024"), ("1,00,000", "100000"), ("12,34,567", "1234567"), ("1,00,00,000", "10000000"),
    ("1.234.567", "1234567"), ("1.234,56", "1234.56"), ("1.234", "1.234"),
    ("3 1/2", "3.5"), (r"3\frac{1}{2}", "3.5"), (r"3 \frac12", "3.5"), (r"3\,\dfrac{1}{2}", "3.5"), ("3½", "3.5"), ("-3 1/2", "-3.5"),
    ("½", "0.5"), ("1,000 1/2", "1000.5"), (r"-2\tfrac{3}{4}", "-2.75"), ("3 / 4", "0.75"), ("1⁄2", "0.5"),
]  # fmt: skip

AMBIGUOUS = [
    ("1,5", "5"), ("0,500", "500"), ("1,2,345", "345"), ("100 200 30", "30"), ("2020 100", "100"), ("in 1999, 120 people", "120"),
    ("rooms 12 and 3 1/2", "3.5"), ("12 7/5", "1.4"), ("2 - 3", "3"), ("2 \u2212 3", "3"), ("5 minus 3", "3"), ("x - 3", "3"), ("5-3", "3"),
    ("3\u20135", "5"), ("3 \u2013 5", "5"), ("3--5", "5"), ("$3$\u2013$5$", "5"), ("$3$-$5$", "5"), ("5 -3", "-3"), ("Total:\n- 3 apples", "3"),
    ("Covid-19", "19"), ("x^2 = 49", "49"), ("x10^5 s", "100000"),
    ("12:30", "30"), ("1.2.3", "3"), ("50%", "50"), ("1e999", None), ("1/0", None), ("2x", "2"),
    ("1e5x", "5"), ("(3)-4", "4"), ("5 apples - 3", "3"), ("3 \u2014 4", "4"),
]  # fmt: skip


def test_the_last_number_is_the_number_that_is_written():
    assert len(NUMBERS) >= 80 and offences(NUMBERS, last_number) == []


def test_what_is_ambiguous_follows_the_stated_rules():
    assert offences(AMBIGUOUS, last_number) == []


def test_labels_and_answers_have_one_reader(tmp_path):
    """What a completion's last number is, the same text is as a true answer, and in a box."""
    wrong = []
    for text, value in NUMBERS:
        if (
            "\u20ac" in text
            or any(word in text for word in ("is", "=", "box", " x", "答", "E+"))
            and "10" not in text
        ):
            continue
        task = task_of(tmp_path, {"prompt": "p", "answer": text.strip(".。")})
        if task.answer_pattern != "last-number" or task.problems[0].answer != value:
            wrong.append((text, task.answer_pattern, task.problems[0].answer))
        if (found := normal_form(text)) != value:
            wrong.append((text, found))
    assert wrong == []


def test_no_text_that_holds_no_number_is_one():
    texts = [
        "1,5",
        "1,2",
        "1,00",
        "0,500",
        "--1",
        "- - 1",
        "3\u20135",
        "3-5",
        "1 2",
        "5 m",
        "10^{x}",
        "1e",
        "e5",
        "1.2.3",
        "1/0",
        "",
        "-",
        "\u0664",
    ]
    assert [text for text in texts if number(text) is not None] == []


SAME = [
    (r"5\text{ cm}", "5"), (r"5\,\text{cm}", "5"), (r"5\ \mathrm{cm}", "5"), (r"5 \mbox{ cm}", "5"), ("5 m", "5"), ("5 m", "5 meters"),
    ("5 m", "5 metres"), ("5 m", r"5\text{ meters}"), ("5m", "5 m"), ("5cm", "5"), ("5 cm", "5cm"), ("5 km/h", "5 kilometers per hour"),
    ("5 mph", "5 miles per hour"), ("5 square meters", r"5\text{ m}^2"), (r"5\text{ sq. cm}", "5 cm^2"), ("5 cm²", r"5\text{ cm}^2"),
    (r"15\sqrt{3}\text{ cm}^2", r"15\sqrt{3}"), (r"\frac{1}{2}\text{ hour}", "0.5"), ("5 apples", "5"), ("5 apples", r"5\text{ apples}"),
    ("1 hour", "1 hr"), ("30°", "30"), ("30°", r"30^\circ"), (r"30^{\circ}", "30 degrees"), ("1,000 dollars", "1000"), ("€5", "5"), ("€5", "5 euros"),
    ("yes", "Yes"), ("YES", "yes."), ("No", "no"), (r"\text{Yes}", "yes"), ("odd", "Odd"), ("True", "true"), ("Tom", "tom"),
    ("∅", r"\emptyset"), (r"\emptyset", r"\varnothing"), ("{}", r"\emptyset"), (r"\{\}", "∅"), (r"\{ \}", r"\varnothing"),
    ("42。", "42"), ("４２", "42"), ("42．", "42"), ("Paris。", "paris"), (r"\textbf{(C)}\ 12", "12"), (r"\text{(C) }12", "12"), ("(C) 12", "12"),
    (r"\textbf{(C)}", "C"), ("B.", "B"), ("(B)", "B"), ("B)", "(B)"), (r"\mathrm{(B)}", "B"), ("3 1/2", "7/2"), (r"3\frac{1}{2}", "3.5"),
    (r"9{,}500", "9500"), (r"1.2\times 10^5", "120000"), ("10^{6}", "1,000,000"), ("－３", "-3"), ("x²", "x^2"), ("2½", "2.5"),
    (r"2\pi\text{ cm}", r"2\pi"), ("(1,2) cm", "(1,2)"), ("x = 5 cm", "5"), ("1 250 000", "1250000"),
]  # fmt: skip

DIFFERENT = [
    ("5 m", "5 km"), ("5 m", "5 cm"), (r"5\text{ m}", r"5\text{ km}"), ("5 m", r"5\text{ km}"), ("5 m", "500 cm"),
    ("5 cm", "5 cm^2"), ("5 m/s", "5 m"),
    ("5 km/h", "5 mph"), ("5 apples", "5 oranges"), ("5 m", "6 m"), ("5 m", "6"), ("5 dollars", "5 cents"), ("€5", "£5"), ("5 hours", "5 minutes"),
    (r"5\text{ or six}", "5"), ("5 or seven", "5"), ("5 not", "5"), ("5m", "5"), ("2ab", "2"), ("2x", "2"), ("yes", "no"), ("ab", "Ab"),
    (r"\emptyset", "0"), ("{}", "0"), ("1,5", "1.5"), ("1,5", "15"), ("3\u20135", "-2"), ("3\u20135", "5"),
    (r"\textbf{(C)}\ 12", r"\textbf{(C)}\ 13"),
    (r"\textbf{(C)}\ 12", "C"), ("B", "C"), ("(B)", "(C)"), ("9{,}500", "500"), ("-3", "3"), ("1.2e5", "5"), ("3 1/2", "1/2"), ("30°", "30 cm"),
    ("1 2", "12"), ("100 200 30", "10020030"), ("5 am", "5 pm"), (r"5\text{ kg}", r"5\text{ g}"),
]  # fmt: skip


def test_one_answer_in_two_spellings():
    assert [pair for pair in SAME if not (equivalent(*pair) is equivalent(*pair[::-1]) is True)] == []


def test_two_answers():
    assert [pair for pair in DIFFERENT if not (equivalent(*pair) is equivalent(*pair[::-1]) is False)] == []


def test_a_vote_joins_no_two_units_through_a_bare_number(tmp_path):
    task = task_of(tmp_path, {"prompt": "p", "answer": "x^2"}, pattern="boxed")
    voted = {}
    for labels in (["5", "5 m", "5 km"], ["5", "5 m", "5 meters"], ["5", "5 m", "x=5", "5 cm", "5 metres"]):
        ids = pool_labels(task.problems, [labels], task).ids[0].tolist()
        voted[tuple(labels)] = [ids.index(one) for one in ids]
    assert voted == {
        ("5", "5 m", "5 km"): [0, 1, 2],
        ("5", "5 m", "5 meters"): [0, 0, 0],
        ("5", "5 m", "x=5", "5 cm", "5 metres"): [0, 1, 0, 3, 1],
    }
    assert unit_of("5 metres") == "m" and unit_of("5") is None


BOXES = [
    (r"\boxed 5", "5"), (r"\boxed5", "5"), (r"so $\boxed 12$.", "12"), (r"\boxed\frac{1}{2}", r"\frac{1}{2}"), (r"\boxed B.", "B"),
    (r"\boxed -3", "-3"), (r"\boxed 9,500 now", "9,500"), (r"\boxed{4}, no: \boxed 5", "5"), (r"\boxed 4, no: \boxed{5}", "5"), (r"\fbox{7}", "7"),
    (r"\fbox 7", "7"), (r"\framebox{7}", "7"), (r"\boxedfoo", None), (r"\boxed", None), (r"\boxed\text{Yes}", r"\text{Yes}"),
]  # fmt: skip

CHOICES = [
    ("B", "B"), ("b", "B"), ("B.", "B"), ("(B)", "B"), ("B)", "B"), ("（Ｂ）", "B"), ("The answer is (B).", "B"),
    ("Answer: C because A is wrong", "C"),
    ("B) 12", "B"), ("B. Paris", "B"), (r"\boxed{\textbf{(C)}\ 12}", "C"), (r"\boxed{B}", "B"), ("so it is D", "D"), ("**Answer: B**", "B"),
    ("(A) is wrong, so (B) fits", "B"), ("Option (C) is right.", "C"), ("the correct answer is **E**.", "E"), ("Choice: (a)", "A"),
    ("the answer is a.", "A"), ("answer:\nC", "C"), (r"The answer is \text{(D)}.", "D"), (r"The answer is $\boxed{\text{D}}$.", "D"),
    ("The answer is A. No, the answer is B.", "B"), ("The answer is a bird", None), ("I think A bird", None), ("nothing", None), ("", None),
    ("The answer is not clear", None), ("Z", None),
]  # fmt: skip

TAGS = [
    ("<answer>5</answer>", "5"), ("<answer>\n5\n</answer>", "5"), ("<answer>1</answer> no <answer>2</answer>", "2"), ("<ANSWER>3</ANSWER>", "3"),
    ("<answer> a\nb </answer>", "a b"), ("<answer>5", None), ("5", None), ("<answer></answer>", None), (r"<answer>\boxed{7}</answer>", "7"),
    ("<answer>1 <answer>2</answer>", "2"),
]  # fmt: skip


def test_boxes_choices_and_tags():
    assert offences(BOXES, last_box) == [] and offences(CHOICES, extractor("choice")) == []
    assert offences(TAGS, extractor("answer-tag")) == []


SLOW = [
    " " * 20_000, "answer" + " " * 20_000, "answer" * 3_000, "(" * 20_000, "\n" * 20_000, "answer:" + "(" * 20_000, "<answer>" * 2_500,
    "\\boxed " * 2_800, "1 250 " * 3_000, "11," * 6_000, "1.250" * 4_000, "12 " * 6_000,
]  # fmt: skip


@pytest.mark.parametrize("text", SLOW, ids=range(len(SLOW)))
def test_no_text_makes_the_new_patterns_slow(text):
    for pattern in ("choice", "answer-tag", "boxed", "last-number"):
        before = os.times().user
        extractor(pattern)(text)
        assert os.times().user - before < 1.0


def test_a_regular_expression_takes_the_first_match_and_flags_the_last():
    text = "Answer: 1\nAnswer: 2\n"
    assert extractor(r"regex:Answer: (\S+)")(text) == "1"
    assert extractor(r"regex:(?s).*Answer: (\S+)")(text) == "2"
    assert extractor("regex:<a>(.*)</a>")("<a>1\n2</a>") is None
    assert extractor("regex:(?s)<a>(.*)</a>")("<a>1\n2</a>") == "1 2"


def test_new_patterns_in_a_task(tmp_path):
    rows = [{"prompt": "p", "answer": "(B)"}, {"prompt": "q", "answer": "C"}]
    letters = task_of(tmp_path, *rows)
    assert letters.answer_pattern == "choice" and [one.answer for one in letters.problems] == ["B", "C"]
    assert letters.is_correct(letters.problems[0], letters.extract("The answer is (B)."))
    tagged = task_of(tmp_path, {"prompt": "p", "answer": "0.5"}, pattern="answer-tag")
    assert tagged.is_correct(tagged.problems[0], tagged.extract("<answer>\n1/2\n</answer>"))
    assert tagged.is_correct(tagged.problems[0], tagged.extract(tagged.solution(tagged.problems[0])))
    words = task_of(tmp_path, {"prompt": "p", "answer": "Yes"}, {"prompt": "q", "answer": "No"})
    assert words.answer_pattern == "text" and words.is_correct(words.problems[0], words.extract(" yes.\n"))
    assert not words.is_correct(words.problems[0], words.extract("no"))


def verl_log(folder, pattern):
    return groups_log(read_verl(sorted(folder.glob("*.jsonl"))), "verl", pattern)


LOGS = {
    "01b-thousands-brace-comma": ("boxed", r"So the total is $\boxed{%s{,}%s}$.", ""),
    "02a-negative-money": ("last-number", "He lost money, so the profit is -$%s,%s.", "-"),
    "03-scientific-notation": ("last-number", "The answer is %s.%se3.", ""),
    "05-verl-regex-comma": (r"regex:#### (\-?[0-9\.\,]+)", "...\n#### %s,%s", ""),
}


@pytest.mark.parametrize("case", LOGS)
def test_logged_answers_are_read_right(tmp_path, case):
    pattern, wording, sign = LOGS[case]
    rows = []
    for prompt in range(12):
        for right in [True] * 6 + [False] * 2:
            output = wording % (1 + (not right), f"{prompt * 37:03d}")
            rows.append(
                {
                    "input": f"Problem {prompt}?",
                    "output": output,
                    "gts": f"{sign}{1000 + prompt * 37}",
                    "score": 0.0,
                    "step": 1,
                }
            )
    (tmp_path / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folders = [tmp_path, *([CASES / case / "roll"] if (CASES / case).exists() else [])]
    for folder in folders:
        log = verl_log(folder, pattern)
        for name, value in (
            ("label_accuracy", 1.0),
            ("accuracy", 0.75),
            ("majority_ratio", 0.75),
            ("reward_accuracy", 1.0),
        ):
            assert set(log.series[name].values.values()) == {value}, (folder, name)


def case_file(case):
    path = CASES / case / "t.jsonl"
    if not path.exists():
        pytest.skip("the shared cases are not beside this checkout (../shared/cases)")
    return get_task(path)


def test_gsm8k_answers_under_prompt(tmp_path):
    task = task_of(
        tmp_path,
        {"prompt": "p", "answer": "1+4=<<1+4=5>>5.\n#### 5"},
        {"prompt": "q", "answer": "x\n#### 1,234"},
    )
    assert task.answer_pattern == "last-number" and [one.answer for one in task.problems] == ["5", "1234"]


def test_shared_gsm8k_answers_under_prompt():
    task = case_file("04a-gsm8k-prompt-field")
    assert [one.answer for one in task.problems[:3]] == [
        "5",
        "7",
        "9",
    ] and task.answer_pattern == "last-number"


def test_numbers_of_every_json_kind_stay_numbers(tmp_path):
    path = tmp_path / "n.jsonl"
    path.write_text(
        '{"prompt":"a","answer":5}\n{"prompt":"b","answer":7.50}\n{"prompt":"c","answer":1e3}\n{"prompt":"d","answer":"1{,}000"}\n{"prompt":"e","answer":2.5E-1}\n'
    )
    task = get_task(path)
    assert task.answer_pattern == "last-number" and [one.answer for one in task.problems] == [
        "5",
        "7.5",
        "1000",
        "1000",
        "0.25",
    ]


def test_shared_numbers_of_every_json_kind():
    task = case_file("24c-int-float-answers")
    assert task.answer_pattern == "last-number" and [one.answer for one in task.problems] == [
        "5",
        "7.5",
        "1000",
    ]


def test_a_chat_as_prompt_is_read(tmp_path):
    turns = {"role": "user", "content": "1+1?"}
    tasks = [task_of(tmp_path, {"prompt": [turns], "answer": "2"})]
    tasks += [case_file("24f-chat-prompt")] if CASES.exists() else []
    for task in tasks:
        assert all(problem.prompt.messages[-1]["role"] == "user" for problem in task.problems)
    assert tasks[0].problems[0].prompt.messages == (turns,)


def test_latex_thousands_as_true_answers(tmp_path):
    for task in [
        task_of(tmp_path, {"prompt": "p", "answer": "10,\\!080"}, {"prompt": "q", "answer": "7"})
    ] + ([case_file("24j-latex-thousands-answers")] if CASES.exists() else []):
        problem = task.problems[0]
        assert problem.answer == "10080"
        for text in ("10080", "so 10,080.", r"\boxed{10{,}080}", r"$10,\!080$", r"10\,080", "10 080"):
            assert task.is_correct(problem, task.extract(text)), text


def test_how_answers_are_read_is_shown(tmp_path):
    task = task_of(
        tmp_path,
        *({"prompt": f"How many is {i}?" + "x" * 100, "answer": f"{i}{{,}}000"} for i in range(1, 6)),
    )
    found = reading_examples(task)
    assert [(one.answer, one.label) for one in found] == [
        ("1{,}000", "1000"),
        ("2{,}000", "2000"),
        ("3{,}000", "3000"),
    ]
    assert all(len(one.prompt) <= 61 for one in found)
    told = reading_told(task)
    assert "last-number" in told[0] and "'1{,}000' is read as '1000'" in told[1] and len(told) == 4
    bare = task_of(tmp_path, {"prompt": "p"}, name="bare.jsonl")
    assert reading_examples(bare)[0].label is None and "no true answer" in reading_told(bare)[1]


class Doubtful(Task):
    """Labels that begin with ? are undecided against all others."""

    name, exact_labels = "doubtful", False

    def _build(self):
        return (Problem("p", "1"),)

    def extract(self, completion):
        return completion or None

    def equivalent(self, first, second):
        return first == second or (None if "?" in first + second else first.strip("'") == second.strip("'"))


def test_undecided_is_neither_right_nor_one_with_another():
    task = Doubtful()
    found = read_answers(task.problems, [["1", "1'", "?a", "2", "", "?a", "?b"]], task)
    ids = found.ids[0].tolist()
    assert ids[0] == ids[1] and len({ids[0], ids[2], ids[3], ids[6]}) == 4 and ids[2] == ids[5]
    assert found.correct[0].tolist() == [True, True, False, False, False, False, False]
    assert found.undecided[0].tolist() == [False, False, True, True, False, True, True]
    assert task.graded(task.problems[0], "?a") is None and task.is_correct(task.problems[0], "?a") is False


HARD = [
    (r"(\sin x+\cos x)^{12}", r"(1+\sin 2x)^6"), (r"(\sin x+\cos x)^{14}", r"(1+\sin 2x)^7"), (r"(\sin x+\cos x)^{6}", r"(1+\sin 2x)^3"),
    (r"\cos 4x", r"8\cos^4 x-8\cos^2 x+1"), (r"\tan 4x", r"\frac{4\tan x-4\tan^3 x}{1-6\tan^2 x+\tan^4 x}"),
]  # fmt: skip


def verdicts(pairs):
    forget()
    return [equivalent(*pair) for pair in pairs]


def test_a_verdict_depends_on_neither_history_nor_order():
    first = verdicts(HARD)
    assert verdicts(HARD[::-1])[::-1] == first and False not in first[:4]


def test_a_killed_child_is_asked_again():
    worker = Guard("math")
    worker.ask("x", "y")
    children = Path(f"/proc/{worker._process.pid}/task/{worker._process.pid}/children")
    if not children.exists():
        pytest.skip("children are read from /proc")
    for _ in range(3):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
        found = worker.outcome(r"\{1,2\}", r"\{2,1\}")
        assert (found.result, found.ended) == (True, None)
    worker.close()


def test_an_answer_lost_twice_is_undecided_and_not_remembered(monkeypatch):
    from llm_bridge.answers import equivalence
    from llm_bridge.answers.guard import Outcome

    forget()
    real = equivalence.guard("math")

    class Lost:
        seconds = 0.0

        def outcome(self, *request):
            return Outcome(None, [], "lost")

    monkeypatch.setattr(equivalence, "guard", lambda kind: Lost())
    assert equivalent(r"\{21,2\}", r"\{2,21\}") is None
    monkeypatch.setattr(equivalence, "guard", lambda kind: real)
    assert equivalent(r"\{21,2\}", r"\{2,21\}") is True


def test_choices_read_a_letter_only():
    assert {last_choice(text) for text, _ in CHOICES} <= {*"ABCDEFGHIJ", None}


def test_the_command_line_says_how_a_file_is_read(tmp_path, capsys):
    tell_readings(task_of(tmp_path, {"prompt": "1+1=", "answer": "2{,}000"}))
    said = capsys.readouterr()
    assert said.out == "" and "read by last-number" in said.err and "'2{,}000' is read as '2000'" in said.err
    tell_readings(get_task("addition"))
    assert capsys.readouterr() == ("", "")


def test_only_mostly_silent_replies_are_warned_of():
    assert silence_told(0.5) == [] and "--answer-pattern" in silence_told(0.51)[0]


def test_an_evaluation_that_says_undecided_keeps_its_curve():
    """An evaluation without undecided answers says nothing of them; the curve has a zero there."""
    monitor = CollapseMonitor.__new__(CollapseMonitor)
    monitor.rows = [{"step": 0, "entropy": 1.0}, {"step": 5, "entropy": 0.5, "undecided_rate": 0.25}]
    monitor.evaluator, monitor.settings = type("E", (), {"floor": None})(), {}
    assert monitor.trajectory.metrics["undecided_rate"].tolist() == [0.0, 0.25]
