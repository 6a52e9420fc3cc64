"""Laws of the vote: what must not matter, what one group says by hand, and how groups and exact policies
agree.
"""

import math
import subprocess
import sys
from collections import Counter
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    NO_ANSWER,
    InputError,
    distinct_answers,
    exact_metrics,
    exact_vote,
    group_metrics,
    leading_answers,
    summarize,
    vote,
)

LABELLED = ("accuracy", "label_accuracy", "reward_accuracy")


@st.composite
def groups(draw, max_prompts=4, max_rollouts=9, max_answer=4):
    """(answers (P, R) with NO_ANSWER among them, is_correct (P, R) by a drawn set of true answers a
    prompt).
    """
    rollouts = draw(st.integers(2, max_rollouts))
    row = st.lists(st.integers(NO_ANSWER, max_answer), min_size=rollouts, max_size=rollouts)
    answers = np.array(draw(st.lists(row, min_size=1, max_size=max_prompts)))
    truths = [draw(st.sets(st.integers(0, max_answer), max_size=2)) for _ in answers]
    correct = np.array(
        [[a in truth for a in row] for row, truth in zip(answers.tolist(), truths, strict=True)]
    )
    return answers, correct


@st.composite
def policies(draw, num_answers=4, max_prompts=3):
    """Log-probabilities (P, K) with many exact ties, zeros and tiny masses."""
    weight = st.sampled_from([0.0, 1e-300, 1e-12, 0.25, 1.0, 1.0, 2.0, 3.0])
    rows = draw(
        st.lists(
            st.lists(weight, min_size=num_answers, max_size=num_answers).filter(any),
            min_size=1,
            max_size=max_prompts,
        )
    )
    weights = np.array(rows)
    with np.errstate(divide="ignore"):
        return np.log(weights) - np.log(weights.sum(axis=1, keepdims=True))


def oracle(row, correct):
    """One group by the definition: average the literal metric over every way to break the tie. Exact
    fractions.
    """
    counts = Counter(a for a in row if a != NO_ANSWER)
    top = max(counts.values(), default=0)
    leaders = [a for a, count in counts.items() if count == top]
    truth = [bool(c) and a != NO_ANSWER for a, c in zip(row, correct, strict=True)]
    right = {a for a, c in zip(row, truth, strict=True) if c}
    n = len(row)
    label, reward = Fraction(0), Fraction(0)
    for winner in leaders:
        label += Fraction(int(winner in right), len(leaders))
        reward += Fraction(sum((a == winner) == c for a, c in zip(row, truth, strict=True)), n * len(leaders))
    if not leaders:
        reward = Fraction(sum(not c for c in truth), n)
    shares = [count / n for count in Counter(row).values()]
    return {
        "accuracy": Fraction(sum(truth), n),
        "label_accuracy": label,
        "reward_accuracy": reward,
        "majority_ratio": Fraction(top, n),
        "entropy": -sum(p * math.log(p) for p in shares),
        "tie": int(len(leaders) > 1),
        "no_answer": Fraction(row.count(NO_ANSWER), n),
    }


@given(groups())
def test_every_metric_is_the_mean_over_all_tie_breaks(data):
    answers, correct = data
    found = group_metrics(answers, correct)
    for i, (row, flags) in enumerate(zip(answers.tolist(), correct.tolist(), strict=True)):
        expected = oracle(row, flags)
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(float(value), abs=1e-12), name


@given(groups(), st.randoms(use_true_random=False))
def test_order_of_rollouts_and_of_prompts_does_not_matter(data, random):
    answers, correct = data
    modes = leading_answers(answers)
    before = group_metrics(answers, correct, modes)
    prompts, rollouts = (random.sample(range(n), n) for n in answers.shape)
    after = group_metrics(answers[prompts][:, rollouts], correct[prompts][:, rollouts], modes[prompts])
    for name in before:
        np.testing.assert_allclose(after[name], before[name][prompts], atol=1e-12, err_msg=name)
    assert distinct_answers(answers[prompts][:, rollouts]) == distinct_answers(answers)


@given(groups(), st.permutations(range(5)), st.integers(0, 50))
def test_names_of_answers_do_not_matter(data, permutation, shift):
    answers, correct = data

    def rename(ids):
        return np.where(ids == NO_ANSWER, NO_ANSWER, np.array(permutation)[ids] + shift)

    start = leading_answers(answers[:, : max(2, answers.shape[1] // 2)])
    before, after = (
        group_metrics(answers, correct, start),
        group_metrics(rename(answers), correct, rename(start)),
    )
    for name in before:
        np.testing.assert_allclose(after[name], before[name], atol=1e-12, err_msg=name)


def test_tied_groups_agree_whatever_the_order():
    """Trap d: [1,2,1,2] and [2,1,2,1] are one group."""
    answers = np.array([[1, 2, 1, 2], [2, 1, 2, 1], [1, 1, 2, 2]])
    found = group_metrics(answers, answers == 1)
    assert all(len(set(values.tolist())) == 1 for values in found.values())
    assert found["label_accuracy"][0] == found["reward_accuracy"][0] == 0.5 and found["tie"][0] == 1
    assert vote(answers).num_leaders.tolist() == [2, 2, 2]


@given(groups())
def test_refusals_never_win(data):
    """Trap b: six refusals and two answers elect the answer, and more refusals do not change who leads."""
    answers, _ = data
    refusals = np.full((len(answers), 7), NO_ANSWER)
    more = np.concatenate([answers, refusals], axis=1)
    assert leading_answers(more).tolist() == leading_answers(answers).tolist()
    assert (
        not vote(more).is_leader[more == NO_ANSWER].any() and not vote(more).counts[more == NO_ANSWER].any()
    )
    assert leading_answers(np.array([[NO_ANSWER] * 6 + [3, 3]])).tolist() == [[3]]


@given(groups())
def test_unparsable_answers_are_never_correct(data):
    """Trap j: a grader that calls two unparsable answers equal cannot make garbage correct."""
    answers, correct = data
    fooled = correct | (answers == NO_ANSWER)
    honest, deceived = group_metrics(answers, correct), group_metrics(answers, fooled)
    for name in LABELLED:
        assert deceived[name].tolist() == honest[name].tolist()


def test_votes_and_truth_must_share_one_equivalence():
    """Trap c, seen from here: one id cannot be right in one rollout and wrong in the next."""
    with pytest.raises(InputError, match="equivalence"):
        group_metrics([[0, 0, 1, 1]], [[True, False, False, False]])


def test_a_group_without_answers_has_no_leader():
    answers = np.full((1, 4), NO_ANSWER)
    found = {name: float(value[0]) for name, value in group_metrics(answers, answers == NO_ANSWER).items()}
    assert found == {
        "majority_ratio": 0,
        "entropy": 0,
        "tie": 0,
        "no_answer": 1,
        "accuracy": 0,
        "label_accuracy": 0,
        "reward_accuracy": 1,
    }
    assert vote(answers).num_leaders.tolist() == [0] and distinct_answers(answers) == 0
    retention = group_metrics(
        np.array([[NO_ANSWER] * 3, [NO_ANSWER] * 3, [1, 1, 0]]), None, np.array([NO_ANSWER, 1, NO_ANSWER])
    )["mode_retention"]
    assert retention.tolist() == [1, 0, 0]


@given(groups())
def test_mode_retention_counts_the_leaders_kept(data):
    answers, _ = data
    start = answers[::-1, ::-1]
    assert group_metrics(answers, None, leading_answers(answers))["mode_retention"].tolist() == [1.0] * len(
        answers
    )
    found = group_metrics(answers, None, leading_answers(start))["mode_retention"]
    for i, (now, then) in enumerate(
        zip(leading_answers(answers).tolist(), leading_answers(start).tolist(), strict=True)
    ):
        now, then = set(now) - {NO_ANSWER}, set(then) - {NO_ANSWER}
        expected = len(now & then) / len(now) if now else float(not then)
        assert found[i] == pytest.approx(expected)


@given(groups())
def test_distinct_answers_counts_the_smallest_leaders(data):
    answers, _ = data
    winners = set()
    for row in answers.tolist():
        counts = Counter(a for a in row if a != NO_ANSWER)
        if counts:
            winners.add(min(counts, key=lambda a: (-counts[a], a)))
    assert distinct_answers(answers) == len(winners)


def test_large_groups_are_counted_in_blocks_and_rightly():
    answers = np.random.default_rng(0).integers(-1, 40, size=(3, 3000))
    counts = vote(answers).counts
    for row, found in zip(answers, counts, strict=True):
        tally = np.bincount(row + 1)
        assert (found == np.where(row == NO_ANSWER, 0, tally[row + 1])).all()


@pytest.mark.parametrize("answers", [[[1]], [1, 2, 3], [[1.0, 2.0]], np.zeros((2, 2, 2), int)], ids=str)
def test_what_cannot_be_voted_on_is_refused(answers):
    for function in (vote, group_metrics, distinct_answers):
        with pytest.raises(InputError, match="answers"):
            function(answers)


@given(groups())
def test_exact_metrics_of_the_empirical_policy_are_the_group_metrics(data):
    """A group is a policy too: its frequencies, with "no answer" as the last column."""
    answers, _ = data
    truth = np.zeros((len(answers), 6), dtype=bool)
    truth[:, 1] = truth[:, 3] = True
    frequencies = (
        np.stack([np.bincount(np.where(row == NO_ANSWER, 5, row), minlength=6) for row in answers])
        / answers.shape[1]
    )
    with np.errstate(divide="ignore"):
        exact = exact_metrics(np.log(frequencies), truth, no_answer=5)
    sampled = group_metrics(answers, (answers == 1) | (answers == 3))
    for name in ("majority_ratio", "entropy", *LABELLED):
        np.testing.assert_allclose(exact[name], sampled[name], atol=1e-12, err_msg=name)
    assert exact["distinct_answers"] == distinct_answers(answers)


@given(policies())
def test_reward_accuracy_of_one_correct_answer_is_the_closed_form(log_probs):
    """Theory U4: 1 if aligned, else 1 - pi(mode) - pi_c; a tie averages the two."""
    correct = np.zeros(log_probs.shape, dtype=bool)
    correct[:, 2] = True
    found = exact_metrics(log_probs, correct)
    for i, row in enumerate(log_probs):
        probs, leaders = np.exp(row), np.flatnonzero(row == row.max())
        cases = [1.0 if mode == 2 else 1 - probs[mode] - probs[2] for mode in leaders]
        assert found["reward_accuracy"][i] == pytest.approx(np.mean(cases), abs=1e-12)
        assert found["label_accuracy"][i] == pytest.approx(np.mean(leaders == 2))
        assert found["accuracy"][i] == pytest.approx(probs[2], abs=1e-15)


@pytest.mark.parametrize("probs", [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.05, 0.55, 0.4]], ids=str)
def test_sampled_reward_accuracy_tends_to_the_exact_one(probs):
    """R = 3000, 20 groups: a wrong mode has probability < 1e-20 (F1), each mean is within 5 sigma but with
    probability 6e-7.
    """
    rollouts, prompts = 3000, 20
    answers = np.random.default_rng(7).choice(3, size=(prompts, rollouts), p=probs)
    sampled = group_metrics(answers, answers == 0)["reward_accuracy"].mean()
    limit = exact_metrics(np.log([probs]), np.array([[True, False, False]]))["reward_accuracy"][0]
    assert abs(sampled - limit) <= 5 * math.sqrt(limit * (1 - limit) / (rollouts * prompts)) + 1e-12


@given(policies(), st.permutations(range(4)))
def test_columns_of_an_exact_policy_have_no_names(log_probs, order):
    initial, correct = log_probs[::-1], log_probs[:, ::-1] > -1
    before = exact_metrics(log_probs, correct, initial)
    after = exact_metrics(log_probs[:, order], correct[:, order], initial[:, order])
    for name in set(before) - {"distinct_answers"}:
        np.testing.assert_allclose(after[name], before[name], atol=1e-12, err_msg=name)


@given(policies(), policies())
def test_exact_metrics_stay_in_their_ranges_with_impossible_and_tiny_answers(log_probs, initial):
    n = min(len(log_probs), len(initial))
    log_probs, initial = log_probs[:n], initial[:n]
    with np.errstate(all="raise", under="ignore"):
        found = exact_metrics(log_probs, log_probs == 0, initial, no_answer=3)
    for name, values in found.items():
        assert not np.isnan(values).any(), name
        assert (np.asarray(values) >= -1e-15).all(), name
    for name in (*LABELLED, "majority_ratio", "mode_retention"):
        assert (found[name] <= 1 + 1e-12).all(), name
    assert (found["excess_kl"] <= found["kl"]).all()
    same = exact_metrics(log_probs, None, log_probs)
    np.testing.assert_allclose(same["kl"], 0, atol=1e-12)
    assert same["mode_retention"].tolist() == [1.0] * n


@given(policies(), st.floats(0, 400))
def test_sharpening_never_exceeds_its_budget(log_probs, strength):
    """Theory S9: tilting by the majority reward keeps excess_kl at 0 and retention at 1, however far it
    goes.
    """
    is_leader, _ = exact_vote(log_probs)
    tilted = log_probs + strength * is_leader
    tilted = tilted - np.logaddexp.reduce(tilted, axis=1, keepdims=True)
    found = exact_metrics(tilted, None, log_probs)
    assert (found["excess_kl"] <= 1e-9).all() and found["mode_retention"].tolist() == [1.0] * len(log_probs)


def test_consensus_elsewhere_exceeds_the_budget_by_the_log_ratio():
    """Theory S9: at consensus on a the excess is log max pi_0 - log pi_0(a)."""
    initial = np.log(np.array([[0.6, 0.3, 0.1]] * 3))
    with np.errstate(divide="ignore"):
        consensus = np.log(np.eye(3))
    found = exact_metrics(consensus, None, initial)
    np.testing.assert_allclose(found["excess_kl"], initial[0, 0] - initial[0], atol=1e-12)
    assert found["mode_retention"].tolist() == [1, 0, 0] and found["distinct_answers"] == 3
    assert exact_metrics(initial, None, consensus)["kl"][0] == math.inf


def test_exact_no_answer_never_leads_and_is_never_correct():
    log_probs = np.log([[0.1, 0.2, 0.7]])
    found = exact_metrics(log_probs, np.array([[False, True, True]]), log_probs, no_answer=2)
    assert found["majority_ratio"][0] == pytest.approx(0.2) and found["accuracy"][0] == pytest.approx(0.2)
    assert found["label_accuracy"][0] == found["reward_accuracy"][0] == 1
    again = exact_metrics(log_probs, np.array([[False, True, True]]), log_probs, no_answer=-1)
    assert {name: float(v.sum()) for name, v in again.items()} == {
        name: float(v.sum()) for name, v in found.items()
    }


def test_an_exact_policy_that_never_answers_has_no_leader():
    with np.errstate(divide="ignore"):
        silent, open_ = np.log([[0.0, 0.0, 1.0]]), np.log([[0.5, 0.4, 0.1]])
    assert exact_vote(silent, no_answer=2)[1].tolist() == [0] and not exact_vote(silent, no_answer=2)[0].any()
    found = exact_metrics(silent, np.array([[True, False, False]]), open_, no_answer=2)
    gone = ("label_accuracy", "mode_retention", "majority_ratio", "distinct_answers")
    assert [found[name].item() for name in gone] == [0, 0, 0, 0]
    assert found["kl"][0] == pytest.approx(math.log(10)) and found["excess_kl"][0] == pytest.approx(
        math.log(5)
    )
    back = exact_metrics(open_, None, silent, no_answer=2)
    assert back["mode_retention"][0] == 0 and back["excess_kl"][0] == 0


def test_exact_metrics_refuses_what_is_no_distribution():
    with pytest.raises(InputError, match="normalised"):
        exact_metrics(np.zeros((1, 3)))
    with pytest.raises(InputError, match="normalised"):
        exact_metrics(np.full((1, 2), np.nan))
    with pytest.raises(InputError, match="correct"):
        exact_metrics(np.log([[0.5, 0.5]]), np.array([[True]]))


def many_cases():
    """300 groups and 300 policies full of ties, refusals, zeros and tiny masses, of one shape (tracing is
    what takes time).
    """
    random = np.random.default_rng(11)
    answers = random.integers(-1, 4, size=(300, 6))
    weights = random.choice([0.0, 1e-300, 1e-12, 0.5, 1.0, 1.0, 2.0], size=(300, 4))
    weights[:, 0] += weights.sum(axis=1) == 0
    with np.errstate(divide="ignore"):
        log_probs = np.log(weights) - np.log(weights.sum(axis=1, keepdims=True))
    return (
        answers,
        answers == 1,
        leading_answers(answers[::-1]),
        log_probs,
        log_probs > -1.5,
        log_probs[::-1].copy(),
    )


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "traced"])
def test_jax_agrees_with_numpy(wrap):
    answers, correct, modes, log_probs, truth, initial = many_cases()
    for function, arguments in (
        (group_metrics, (answers, correct, modes)),
        (exact_metrics, (log_probs, truth, initial)),
    ):
        expected, found = function(*arguments), wrap(function)(*map(jnp.asarray, arguments))
        assert set(found) == set(expected)
        for name in expected:
            assert isinstance(found[name], jax.Array)
            np.testing.assert_allclose(found[name], expected[name], atol=1e-12, err_msg=name)


def test_jax_in_single_precision_gives_no_nan():
    *_, log_probs, truth, initial = many_cases()
    single = [jnp.asarray(log_probs, jnp.float32), jnp.asarray(truth), jnp.asarray(initial, jnp.float32)]
    expected = exact_metrics(log_probs, truth, initial)
    for name, values in exact_metrics(*single).items():
        assert values.dtype in (jnp.float32, jnp.int64, jnp.int32), name
        finite = np.isfinite(expected[name])
        np.testing.assert_allclose(
            np.asarray(values)[finite], np.asarray(expected[name])[finite], atol=2e-4, err_msg=name
        )


def test_torch_agrees_with_numpy():
    torch = pytest.importorskip("torch")
    answers, correct, modes, log_probs, truth, initial = many_cases()
    expected, found = (
        group_metrics(answers, correct, modes),
        group_metrics(*map(torch.tensor, (answers, correct, modes))),
    )
    for name in expected:
        np.testing.assert_allclose(found[name].numpy(), expected[name], atol=1e-6, err_msg=name)
    case = (log_probs, truth, initial)
    expected, found = exact_metrics(*case), exact_metrics(*map(torch.tensor, case))
    for name in expected:
        assert found[name].dtype in (torch.float64, torch.int64)
        np.testing.assert_allclose(found[name].numpy(), expected[name], atol=1e-12, err_msg=name)
    assert distinct_answers(torch.tensor(answers)) == distinct_answers(answers)


def test_summaries_average_over_prompts_with_weights():
    found = summarize(
        {"tie": np.array([1.0, 0.0]), "no_answer": np.array([0.0, 1.0]), "distinct_answers": np.int64(3)},
        np.array([1.0, 3.0]),
    )
    assert {name: float(value) for name, value in found.items()} == {
        "tie_rate": 0.25,
        "no_answer_rate": 0.75,
        "distinct_answers": 3,
    }
    assert float(summarize({"accuracy": np.array([1.0, 0.0])})["accuracy"]) == 0.5


def test_metrics_load_no_array_library_of_their_own():
    code = (
        "import sys, sharpening.metrics as m, sharpening.collapse, sharpening.rewards, numpy as np\n"
        "m.group_metrics(np.array([[1, 1]])), m.exact_metrics(np.log([[.5, .5]]))\n"
        "print(sorted({'jax', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
