"""Attractors: rules planted in made-up replies are found, habits and chance are not, and no share is told
that a recount does not give.
"""

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from llm_bridge import Attractor, Pilot, RunSettings, describe, get_task, load_model, run_pilot
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.attractors import CHANCE, KINDS, fall, told, varying_words
from llm_bridge.sampling.greedy import Reply
from sharpening import InputError

SIZE = 40
SUMS = [(11 + 2 * i, 99 - 2 * i + i % 3) for i in range(SIZE)]
PROMPTS = [f"{a}+{b}=" for a, b in SUMS]
COUNTRIES = [
    "France",
    "United Arab Emirates",
    "Türkiye",
    "Guinea-Bissau",
    "Papua New Guinea",
    "Turkmenistan",
    "Cote d'Ivoire",
    "Kenya",
    "Chile",
    "Viet Nam",
    "Fiji",
    "the Gambia",
]


def said(answers) -> list[Reply]:
    return [Reply("" if answer is None else f" {answer}", answer) for answer in answers]


def own_answers(tag: str = "") -> list[str]:
    """A different answer for each prompt, of many lengths, none of them a number of the prompt."""
    return [
        f"{chr(97 + i % 23)}{tag}{'xyzuv'[i % 5] * (i % 7)}{i}{chr(97 + i * 5 % 19)}" for i in range(SIZE)
    ]


INITIAL = said(own_answers())
COPIES = {1: [str(a) for a, _ in SUMS], -1: [str(b) for _, b in SUMS]}

noise = st.sets(st.integers(0, SIZE - 1), max_size=15)
orders = st.permutations(range(SIZE))


def spoiled(answers, where) -> list[str]:
    return [
        other if i in where else answer
        for i, (answer, other) in enumerate(zip(answers, own_answers("q"), strict=True))
    ]


@given(noise)
def test_one_answer_is_found_under_noise_with_the_share_it_has(where):
    found = describe(PROMPTS, said(spoiled(["105"] * SIZE, where)), INITIAL)[0]
    assert (
        found.rule == ("answer", "105") and found.share == 1 - len(where) / SIZE and found.initial_share == 0
    )
    assert found.example[0] in PROMPTS and found.example[1] == " 105" and '"105"' in found.text


@given(st.sampled_from(sorted(COPIES)), noise)
def test_a_number_repeated_from_the_prompt_is_found_by_its_place(place, where):
    found = describe(PROMPTS, said(spoiled(COPIES[place], where)), INITIAL)[0]
    assert KINDS["copy"].phrase(place) == found.text and found.kind == "copy"
    assert found.share == 1 - len(where) / SIZE
    prompt, completion = found.example
    assert completion.strip() == prompt.strip("=").split("+")[0 if place == 1 else 1]


@given(orders)
def test_the_order_of_the_prompts_changes_nothing(order):
    answers = spoiled(COPIES[1], range(12))

    def told_of(rows):
        pick = [
            list(values)
            for values in (
                [PROMPTS[i] for i in rows],
                said([answers[i] for i in rows]),
                [INITIAL[i] for i in rows],
            )
        ]
        return describe(*pick)

    assert told_of(order) == told_of(range(SIZE))


@given(
    st.permutations(list("abcdefgh")),
    st.lists(st.sampled_from("abcdefgh"), min_size=SIZE, max_size=SIZE),
    noise,
)
def test_renamed_answers_give_the_renamed_description(names, before, where):
    now = ["c" if i not in where else answer for i, answer in enumerate(before)]
    rename = dict(zip("abcdefgh", names, strict=True))
    first = describe(PROMPTS, said(now), said(before))[0]
    second = describe(PROMPTS, said([rename[a] for a in now]), said([rename[a] for a in before]))[0]
    assert first.kind == second.kind and (first.share, first.initial_share) == (
        second.share,
        second.initial_share,
    )
    if first.kind == "answer":
        assert rename[first.value] == second.value


@given(noise)
def test_what_the_initial_model_did_already_is_no_attractor(where):
    """It repeated the first number of most prompts; now nothing joins the answers, or they are as they
    were.
    """
    habit = said(spoiled(COPIES[1], where))
    same = describe(PROMPTS, habit, habit)
    assert [one.kind for one in same] == ["scattered"] and same[0].share == 0
    assert [one.kind for one in describe(PROMPTS, INITIAL, habit)] == ["scattered"]


def test_replies_drawn_from_the_initial_law_are_seldom_named():
    """Two, ten or thirty answers, redrawn: the sign test's level, doubled by the choice of the answer; this
    test itself errs once in 1,000.
    """
    rng = np.random.default_rng(0)
    named = []
    for labels in (2, 10, 30):
        for _ in range(150):
            before, now = (said([f"{label}" for label in rng.integers(labels, size=SIZE)]) for _ in range(2))
            named.append(describe(PROMPTS, now, before)[0].named)
    assert binom.sf(sum(named) - 1, len(named), 2 * CHANCE) > 1e-3


replies = st.builds(
    Reply,
    st.sampled_from(["", " 1", "11", "ab", "abab ab", "aaaaaa", "21", "b c"]),
    st.sampled_from([None, None, "1", "11", "12", "21", "ab"]),
    st.booleans(),
)


def holds(kind, value, prompt: str, reply: Reply) -> bool:
    """One rule on one reply, without the rules' own code."""
    a, b = prompt.strip("=").split("+")
    text, answer, ended, _ = reply
    start = answer if answer is not None else (text.split() or [""])[0]
    match kind:
        case "copy":
            return start == {1: a, 2: b, -1: b, -2: a}[value]
        case "quote":
            return start in (a, b)
        case "few answers":
            return answer in value
        case "text":
            return answer is None and " ".join(text.split()) == value
        case "first word":
            return text.split()[:1] == [value]
        case "no answer":
            return (
                answer is None
                and {
                    "empty": not text.strip(),
                    "endless": not ended,
                    "any": True,
                    "repetition": text == "aaaaaa",
                }[value]
            )
    return (
        answer is not None
        and {"answer": answer, "beginning": answer[0], "ending": answer[-1], "length": len(answer)}[kind]
        == value
    )


def recount(one: Attractor, prompts, found) -> float:
    return sum(
        holds(one.kind, one.value, prompt, reply) for prompt, reply in zip(prompts, found, strict=True)
    ) / len(prompts)


@given(
    st.lists(st.tuples(replies, replies), min_size=SIZE, max_size=SIZE), st.one_of(st.none(), replies), noise
)
def test_no_share_is_told_that_a_recount_does_not_give(pairs, planted, where):
    prompts = [f"{a % 20 + 3}+{b % 17 + 30}=" for a, b in SUMS]
    now, before = ([pair[i] for pair in pairs] for i in (0, 1))
    if planted is not None:
        now = [planted if i not in where else reply for i, reply in enumerate(now)]
    found, shares = describe(prompts, now, before), []
    for one in found:
        if one.named:
            assert one.share == pytest.approx(recount(one, prompts, now)) == one.held(prompts, now)
            assert one.initial_share == pytest.approx(recount(one, prompts, before))
            assert one.share - one.initial_share > 0
            shares.append(one.share)
        else:
            assert len(found) == 1 and math.isnan(one.held(prompts, now))
    assert shares == sorted(set(shares)), "a more general rule is told only if it holds on more prompts"
    kinds = [one.kind for one in found if one.named]
    assert kinds == sorted(kinds, key=list(KINDS).index)


def test_a_rule_that_changed_fewer_than_half_of_the_lost_prompts_is_not_named():
    for share, named in ((0.6, True), (0.4, False)):
        answers = ["105" if i < share * SIZE else answer for i, answer in enumerate(own_answers("q"))]
        assert describe(PROMPTS, said(answers), INITIAL)[0].named is named


def test_five_changed_prompts_are_too_few_to_name_anything():
    answers = ["105" if i < 5 else reply.answer for i, reply in enumerate(INITIAL)]
    assert not describe(PROMPTS, said(answers), INITIAL)[0].named


def capitals(completions) -> tuple[list, list, list]:
    task = get_task("capitals")
    before = [f"{chr(97 + i)}city{'n' * i}" for i in range(len(COUNTRIES))]
    return (
        [f"The capital of {country} is" for country in COUNTRIES],
        [Reply(text, task.extract(text), False) for text in completions],
        [Reply(f" {city}", city) for city in before],
    )


def test_every_country_for_itself():
    """The rule of theory C6; spelling with diacritics, of several words and cut off at the length limit
    included.
    """
    cut = {"Turkmenistan": "Turkmen", "Guinea-Bissau": "Guinea-B", "the Gambia": "Gambia"}
    prompts, now, before = capitals([f" {cut.get(country, country)}" for country in COUNTRIES])
    found = describe(prompts, now, before)[0]
    assert found.rule == ("copy", 1) and found.share == 1
    whole = [reply._replace(ended=True) for reply in now]
    assert describe(prompts, whole, before)[0].share == pytest.approx(1 - 2 / len(COUNTRIES))


def test_words_that_every_prompt_has_do_not_vary():
    assert varying_words(["The capital of France is", "The capital of the Gambia is"]) == [
        ("france",),
        ("gambia",),
    ]
    assert varying_words(["007+5=", "7+12=", "3-5="]) == [("7", "5"), ("7", "12"), ("3", "5")]


@pytest.mark.parametrize(
    ("reply", "value"), [(Reply("  ", None), "empty"), (Reply("blah blah blah blah bl", None), "repetition")]
)
def test_replies_without_an_answer(reply, value):
    varied = [
        reply if value == "empty" else Reply(chr(97 + i % 26) * (4 + i // 26), None) for i in range(SIZE)
    ]
    assert describe(PROMPTS, varied, INITIAL)[0].rule == ("no answer", value)


def test_endless_and_unreadable_texts():
    for ended, value in ((False, "endless"), (True, "any")):
        texts = [Reply(f"{answer} so{i}", None, ended) for i, answer in enumerate(own_answers("w"))]
        assert describe(PROMPTS, texts, INITIAL)[0].rule == ("no answer", value)


def test_one_text_without_an_answer_and_one_first_word():
    assert describe(PROMPTS, [Reply(" I  see", None)] * SIZE, INITIAL)[0].rule == ("text", "I see")
    texts = [Reply(f"Well, {answer}", answer) for answer in own_answers("w")]
    assert describe(PROMPTS, texts, INITIAL)[0].rule == ("first word", "well")


def test_a_handful_of_answers_is_as_small_as_it_can_be():
    answers = [("105", "112", "98")[i % 3] for i in range(SIZE)]
    found = describe(PROMPTS, said(answers), INITIAL)
    counts = Counter(answers).most_common(2)
    assert found[0].kind == "few answers" and set(found[0].value) == {answer for answer, _ in counts}
    assert found[0].share == sum(count for _, count in counts) / SIZE


def test_bad_input_is_refused():
    for bad in (([], [], []), (PROMPTS, INITIAL[1:], INITIAL), (PROMPTS, INITIAL, INITIAL[1:])):
        with pytest.raises(InputError, match="one for each prompt"):
            describe(*bad)


class TestFall:
    scattered, one, copied = said(own_answers("q")), said(["105"] * SIZE), said(COPIES[1])

    def test_the_path_tells_where_the_rule_changes_and_the_end(self):
        steps = [
            (1.0, self.scattered),
            (2.0, said(own_answers("r"))),
            (3.0, self.copied),
            (4.0, self.copied),
            (5.0, self.one),
            (6.0, self.one),
        ]
        path = fall(PROMPTS, INITIAL, steps)
        assert [(one.kind, one.displacement) for one in path] == [
            ("scattered", 1),
            ("copy", 3),
            ("answer", 5),
            ("answer", 6),
        ]
        (sentence,) = told(path)
        assert sentence.index("repeating the first") < sentence.index("one answer")

    def test_copies_with_the_same_end_are_told_together(self):
        one, copied = fall(PROMPTS, INITIAL, [(1.0, self.one)]), fall(PROMPTS, INITIAL, [(1.0, self.copied)])
        (sentence,) = told(one, copied, one, ())
        assert (
            sentence.startswith("Of 4 throwaway copies")
            and f"2 fell into {one[0]}; 1 fell into {copied[0]}. " in sentence
        )

    def test_plain_data_and_back(self):
        for path in (
            fall(PROMPTS, INITIAL, [(1.0, self.one)]),
            fall(PROMPTS, INITIAL, [(2.0, self.scattered)]),
        ):
            assert [Attractor.from_dict(json.loads(json.dumps(one.as_dict()))) for one in path] == list(path)

    def test_nothing_broken_tells_nothing(self):
        assert fall(PROMPTS, INITIAL, []) == () and told(()) == told(None) == []


def test_a_pilot_of_a_tiny_transformer_falls_into_one_answer():
    task, settings = (
        get_task("addition"),
        RunSettings(eval_prompts=32, prompts_per_step=8, rollouts=8, max_new_tokens=1),
    )
    with quiet_libraries():
        pilot = run_pilot(
            load_model("addition-uncertain"), task, settings, first_rate=4e-3, steps=7, growth=1.5, prompts=32
        )
    first, last = pilot.attractor[0], pilot.attractor[-1]
    assert last.kind == "answer" and last.share >= 0.9 and last.initial_share < 0.7
    broken = np.flatnonzero(pilot.metrics["retention"] <= 0.5)
    assert first.displacement == pilot.displacement[broken[0]] and last.displacement == pilot.displacement[-1]
    assert Pilot.from_dict(json.loads(json.dumps(pilot.as_dict()))).attractor[-1].rule == last.rule
    old = {name: value for name, value in pilot.as_dict().items() if name != "attractor"}
    assert Pilot.from_dict(old).attractor is None and Pilot.from_dict(old).as_dict() == old
