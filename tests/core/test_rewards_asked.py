"""Rewards with mistakes: labels that they do not declare, shapes and numbers that are none, plain NumPy, broken
plug-ins. Each must end in a sentence that names the reward, and never in a curve.
"""

import itertools
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from sharpening import (
    REWARDS,
    CompoundSymmetric,
    HybridGatedReward,
    HybridReward,
    HybridScheduledReward,
    InputError,
    KLProx,
    MajorityReward,
    NoisyVerifierReward,
    Population,
    Reward,
    RewardCard,
    SoftmaxGradient,
    VerdictStatus,
    audit_reward,
    flow,
    get_reward,
    get_theorem,
    list_rewards,
    list_theorems,
    simulate,
    simulate_tree,
    thinking_prior,
)
from sharpening.rewards import registry
from sharpening.rewards.asking import exact_rewards, group_rewards
from sharpening.verification.run import run_schedule

COUPLED = Population.synthetic(0, 8, 5, coupling=CompoundSymmetric(1.0, 0.5))
ALONE = Population.synthetic(0, 8, 5)
RUN = dict(num_steps=6, eval_every=3, prompts_per_step=4, rollouts=4)
METHODS = ("exact", "sampled", "mean_field")


def reward(name, exact=None, group=None, **fields):
    """An instance of a reward of one's own; what is left out it does not define."""
    told = dict(branch="intrinsic: ensemble", known_as=(), unified=None, needs=("answers",), source="a test")
    told |= dict(limit="none", failure_mode="that of this test") | fields
    forms = {"exact": exact, "group": group}
    body = {form: function for form, function in forms.items() if function is not None}
    return type(name, (Reward,), body | {"card": RewardCard(name=name, **told)})()


def both(name, make, **fields):
    """A reward whose two forms are `make` of the log-probabilities or of the answers."""
    return reward(
        name,
        lambda self, log_probs, correct=None, **_: make(log_probs * 1.0),
        lambda self, answers, is_correct=None, **_: make(answers * 1.0),
        **fields,
    )


ZERO = both("zero", lambda array: array * 0)
READERS = {
    "by method": lambda self, first, correct=None, **_: correct.astype(float),
    "by index": lambda self, first, correct=None, **_: first * 0.0 + correct[:, :],
    "by arithmetic": lambda self, first, correct=None, **_: 1.0 - correct,
    "by need": lambda self, first, correct=None, **_: self._need("correct", correct),
}


def seen_by(make_reward):
    """What a reward that only remembers was given as correctness."""
    seen = []
    spy = lambda self, first, correct=None, **signals: seen.append((correct, signals)) or first * 0.0  # noqa: E731
    return seen, make_reward(spy)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reads", READERS)
def test_an_intrinsic_reward_gets_no_labels(method, reads):
    bad = reward("greedy", READERS[reads], READERS[reads])
    with pytest.raises(InputError, match="card does not list") as told:
        simulate(COUPLED, bad, KLProx(1.0), method=method, **RUN)
    assert "labels" in str(told.value)


NESTED = {
    "itself": lambda part: part,
    "hybrid": lambda part: HybridReward(intrinsic=part),
    "gated": lambda part: HybridGatedReward(intrinsic=part),
    "scheduled": lambda part: HybridScheduledReward(intrinsic=part),
    "verifier": lambda part: NoisyVerifierReward(verifier=part),
    "twice": lambda part: HybridReward(intrinsic=HybridGatedReward(intrinsic=part)),
}


def seldom(*cases, often):
    """Cases that each compile a loop of their own; those that are not `often` are thorough tests."""
    return [case if often(*case) else pytest.param(*case, marks=pytest.mark.thorough) for case in cases]


@pytest.mark.parametrize(
    ("name", "method"),
    seldom(
        *itertools.product(NESTED, METHODS), often=lambda name, method: name == "twice" or method == "exact"
    ),
)
def test_nor_does_it_inside_another(name, method):
    make = NESTED[name]
    seen, spy = seen_by(lambda spy: reward("spy", spy, spy))
    simulate(COUPLED, make(spy), KLProx(1.0), method=method, **RUN)
    assert seen and all(correct is None and "verdicts" not in signals for correct, signals in seen)


def test_nor_on_trees_in_flows_schedules_and_theorems():
    seen, spy = seen_by(lambda spy: reward("spy", spy, spy))
    tree = thinking_prior(0, num_prompts=2, tied=False).replace(coupling=CompoundSymmetric(1.0, 0.5))
    for method in METHODS:
        simulate_tree(tree, spy, SoftmaxGradient(1.0), method=method, **RUN)
    flow(ALONE, spy, KLProx(1.0), [1.0])
    run_schedule(COUPLED, "uniform", 0.5, tpr=0.9, fpr=0.1, learning_rate=0.1, num_steps=2, reward=spy)
    for theorem in ("S4", "S5", "S9"):
        get_theorem(theorem).check(ALONE, reward=spy)
    assert len(seen) > 10 and all(correct is None for correct, _ in seen)


def test_who_declares_labels_gets_them_and_modelled_verdicts_too():
    for needs in (("answers", "labels"), ("answers", "verdicts")):
        seen, spy = seen_by(
            lambda spy, needs=needs: reward("spy", spy, spy, needs=needs, branch="external: asymmetry")
        )
        for method in METHODS:
            simulate(COUPLED, spy, KLProx(1.0), method=method, **RUN)
        assert all(correct is not None for correct, _ in seen)
    answers, right = np.array([[0, 1]]), np.array([[True, False]])
    group_rewards(spy, answers, right, verdicts=np.array([[1.0, 0.0]]))
    assert seen[-1][0] is None and seen[-1][1]["verdicts"] is not None, "a verifier said them"


BROKEN = {
    "a column": lambda array: array[:, :1],
    "a row": lambda array: array[:1],
    "transposed": lambda array: jnp.swapaxes(jnp.asarray(array), 0, 1)[:, :3],
    "a vector": lambda array: array[:, 0],
    "a number": lambda array: 1.0,
    "one axis more": lambda array: array[..., None],
    "None": lambda array: None,
    "complex": lambda array: array * 1j,
    "objects": lambda array: np.full(array.shape, None),
    "texts": lambda array: np.full(array.shape, "1"),
    "a dictionary": lambda array: {"rewards": array},
    "ragged lists": lambda array: [[1.0], [1.0, 2.0]],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_array_of_numbers_is_refused_by_name(method, what):
    with pytest.raises(InputError, match="'crooked'.*are wanted") as told:
        simulate(COUPLED, both("crooked", BROKEN[what]), KLProx(1.0), method=method, **RUN)
    assert f"({8 if method != 'sampled' else 4}, {5 if method != 'sampled' else 4})" in str(told.value)


NOT_FINITE = {
    "NaN": lambda array: array * np.nan,
    "infinity": lambda array: array * 0 + np.inf,
    "one minus infinity": lambda array: jnp.asarray(array * 0).at[:, 1].set(-jnp.inf),
    "one NaN": lambda array: jnp.asarray(array * 0).at[-1, 0].set(jnp.nan),
}


@pytest.mark.parametrize(
    ("coupled", "method", "what"),
    seldom(
        *itertools.product((True, False), METHODS, NOT_FINITE),
        often=lambda coupled, method, what: what == "one NaN" or (coupled and method == "exact"),
    ),
)
@pytest.mark.filterwarnings("ignore:the curves are constant")
def test_a_reward_that_is_not_finite_is_blamed_and_not_the_step_size(coupled, method, what):
    population = COUPLED if coupled else ALONE
    with pytest.raises(InputError, match="`reward` is 'wild'.*finite"):
        simulate(population, both("wild", NOT_FINITE[what]), KLProx(1.0), method=method, **RUN)


@pytest.mark.parametrize("method", METHODS)
def test_the_step_at_which_it_stops_being_finite_is_named(method):
    late = lambda self, first, correct=None, *, step, **_: first * jnp.where(step < 4, 0.0, jnp.nan)  # noqa: E731
    bad = reward("late", late, late, needs=("answers", "step"))
    with pytest.raises(InputError, match="'late'.*at step 4"):
        simulate(COUPLED, bad, KLProx(1.0), method=method, **RUN)
    with pytest.raises(InputError, match="'late'.*at step 4"):
        simulate(COUPLED.replace(weights=np.arange(8.0)), bad, KLProx(1.0), method=method, **RUN)


def test_a_step_size_too_large_is_still_blamed_for_itself():
    for name in ("majority", "trajectory-entropy"):
        with pytest.raises(InputError, match="step size at which logits overflow"):
            simulate(COUPLED, name, KLProx(1e-308), num_steps=4)


def test_what_an_impossible_answer_earns_is_never_read():
    with np.errstate(divide="ignore"):
        population = Population(np.log([[0.5, 0.5, 0.0]]))
    surprise = reward("surprise", lambda self, log_probs, correct=None, **_: -log_probs)
    assert np.isfinite(simulate(population, surprise, KLProx(1.0), num_steps=3)["entropy"]).all()


@pytest.mark.thorough
def test_trees_flows_and_schedules_blame_it_too():
    tree = thinking_prior(0, num_prompts=2, tied=False)
    wild, update = both("wild", NOT_FINITE["one NaN"]), KLProx(1.0)
    for method, kind in (("exact", tree), ("sampled", tree.replace(coupling=CompoundSymmetric(1.0, 0.5)))):
        with pytest.raises(InputError, match="'wild'"):
            simulate_tree(kind, wild, update, method=method, **RUN)
    with pytest.raises(InputError, match="'wild'"):
        flow(ALONE, wild, update, [1.0])
    with pytest.raises(InputError, match="'wild'"):
        run_schedule(COUPLED, "uniform", 0.5, tpr=0.9, fpr=0.1, learning_rate=0.1, num_steps=2, reward=wild)


def assigns(array):
    array[:, 0] = 1.0
    return array


PLAIN_NUMPY = {
    "np.asarray": lambda array: np.asarray(array),
    "np.sort": lambda array: np.array([sorted(row) for row in array]),
    "float": lambda array: array * float(array[0, 0]),
    "if": lambda array: array if array[0, 0] > 0 else -array,
    "an assignment": assigns,
    "a mask": lambda array: array[array > 0],
    "tolist": lambda array: array.tolist(),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", PLAIN_NUMPY)
def test_plain_numpy_is_a_sentence_and_no_tracer(method, how):
    with pytest.raises(InputError, match="'plain'.*cannot be traced") as told:
        simulate(COUPLED, both("plain", PLAIN_NUMPY[how]), KLProx(1.0), method=method, **RUN)
    assert "test_rewards_asked.py" in str(told.value) and told.value.__cause__ is None
    assert told.value.__suppress_context__ and "Tracer" not in str(told.value)


def test_a_missing_form_is_said_before_any_work():
    one_form = {"exact": reward("only", exact=ZERO.exact), "group": reward("only", group=ZERO.group)}
    for method in METHODS:
        form, other = ("group", "exact") if method == "sampled" else ("exact", "group")
        with pytest.raises(InputError, match=f"'only'.*no `{form}`"):
            simulate(COUPLED, one_form[other], KLProx(1.0), method=method, **RUN)
    with pytest.raises(InputError, match="no `exact`"):
        exact_rewards(HybridReward(intrinsic=one_form["group"]), COUPLED.log_probs, COUPLED.correct)
    with pytest.raises(InputError, match="RewardCard"):
        simulate(COUPLED, type("Bare", (Reward,), {})(), KLProx(1.0), **RUN)


def raises(error):
    def load():
        raise error

    return load


class Entry:
    def __init__(self, name, load):
        self.name, self.value, self.load = name, f"package:{name}", load


BAD_CARD = type("BadCard", (Reward,), {"card": "minority"})
NEEDS_ARGUMENTS = type("Demanding", (Reward,), {"card": ZERO.card, "__init__": lambda self, size: None})
PLUGINS = {
    "import error": raises(ImportError("no module named scipy")),
    "exit": raises(SystemExit(3)),
    "bad card": lambda: BAD_CARD,
    "needs arguments": lambda: NEEDS_ARGUMENTS,
    "taken name": lambda: type(both("majority", lambda array: array)),
    "bad needs": lambda: reward("n", needs=("telepathy",)),
    "bad known_as": lambda: reward("n", known_as=None),
    "no reward": lambda: 3,
}


@pytest.mark.parametrize("fault", PLUGINS)
def test_a_broken_plugin_is_left_out_by_name_and_the_others_work(fault, monkeypatch):
    kept, good = dict(REWARDS), type(both("from-elsewhere", lambda array: array))
    entries = [Entry(fault, PLUGINS[fault]), Entry("good", lambda: good)]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    try:
        with pytest.warns(UserWarning, match=f"'{fault}'") as told:
            names = [card.name for card in list_rewards()]
        assert len(told) == 1 and sorted({*kept, "from-elsewhere"}) == names
        assert isinstance(get_reward("majority"), MajorityReward) and isinstance(
            get_reward("from-elsewhere"), good
        )
    finally:
        REWARDS.clear()
        REWARDS.update(kept)


def test_the_audit_names_a_reward_that_reads_labels_secretly():
    silent = lambda self, first, correct=None, **_: first * 0.0 + (0 if correct is None else correct)  # noqa: E731
    quiet = lambda self, first, correct=None, **_: first * 0.0  # noqa: E731
    for exact, group, form in (
        (silent, quiet, "exact"),
        (quiet, silent, "group"),
        (READERS["by method"], None, "exact"),
    ):
        audit = audit_reward(reward("secret", exact, group), cases=5)
        assert audit.holds("label-free") is False and f"`{form}` reads labels" in audit["label-free"].evidence
    assert audit_reward(ZERO, cases=5).holds("label-free") is True


OF_ANY_REWARD = [theorem.name for theorem in list_theorems() if theorem.any_reward]


@pytest.mark.parametrize("name", OF_ANY_REWARD)
@pytest.mark.parametrize("what", ["NaN", "infinity", "one NaN"])
def test_a_theorem_says_nothing_of_a_reward_that_is_not_finite(name, what):
    verdict = get_theorem(name).check(ALONE, reward=both("wild", NOT_FINITE[what]))
    assert verdict.status is VerdictStatus.NOT_FINITE and "wild" in verdict.reason
    assert verdict.as_dict()["status"] == "not finite"


@pytest.mark.parametrize("method", ["sampled", "mean_field"])
def test_a_run_that_cannot_move_is_announced(method):
    with pytest.warns(UserWarning, match="constant by construction.*dataset_size"):
        run = simulate(ALONE, "majority", KLProx(1.0), method=method, **RUN)
    assert np.ptp(run["accuracy"]) == 0
    with pytest.warns(UserWarning, match="constant by construction"):
        simulate(
            ALONE.replace(coupling=CompoundSymmetric(1.0, 0.0)), "majority", KLProx(1.0), method=method, **RUN
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(COUPLED, "majority", KLProx(1.0), method=method, **RUN)
        simulate(ALONE, "majority", KLProx(1.0), method=method, dataset_size=4, **RUN)
        simulate(ALONE, "majority", KLProx(1.0), **RUN)
