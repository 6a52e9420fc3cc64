"""Signals: exactly those that a reward lists, each against what it is meant to be, and none of them disturbs
the model.
"""

import itertools
import json

import numpy as np
import pytest
import torch
from tiny import clone, markov_model, random_model, same_weights, weights

from llm_bridge import get_task
from llm_bridge.models.loading import frozen_copy
from llm_bridge.sampling.forward import completion_statistics
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.tasks import read_answers
from llm_bridge.tasks.rephrasing import with_rephrasings
from llm_bridge.training.signals import STATES, Batch, Signals, answer_tokens
from llm_bridge.zoo.pretraining import character_tokenizer

ADDITION, WORKED, COUNTDOWN = get_task("addition"), get_task("worked-addition"), get_task("countdown")
MADE = (
    "tokens",
    "reference_log_probs",
    "previous_log_probs",
    "clusters",
    "states",
    "questions",
    "voters",
    "step",
)
TOKENIZER = character_tokenizer()


def drawn_batch(loaded, problems, rollouts=3, seed=0, step=0, max_new_tokens=4):
    drawn = sample(
        loaded.model,
        loaded.tokenizer,
        [problem.prompt for problem in problems],
        rollouts=rollouts,
        max_new_tokens=max_new_tokens,
        generator=torch.Generator().manual_seed(seed),
    )
    return Batch(list(problems), drawn.prompt_ids, drawn.token_ids, drawn.texts, step)


def written_batch(problems, texts, step=0):
    encode = lambda text: TOKENIZER(text)["input_ids"]  # noqa: E731
    ids = [[[*encode(text), TOKENIZER.eos_token_id] for text in group] for group in texts]
    return Batch(list(problems), [encode(problem.prompt) for problem in problems], ids, texts, step)


def make(needs, loaded, batch, task=ADDITION, **options):
    signals = Signals(
        needs,
        task,
        loaded.tokenizer,
        rollouts=len(batch.texts[0]),
        **{"reference": frozen_copy(loaded.model), **options},
    )
    return signals, signals(loaded.model, batch, signals.answers(batch))


@pytest.fixture(scope="module")
def model():
    return random_model("llama", spread=0.3)


def test_exactly_what_is_listed_is_made_and_paid_for(model):
    """Every pair of signals; each of the three that run the network once over the batch costs its
    positions.
    """
    batch = drawn_batch(model, ADDITION.problems[:2])
    refused = {"voters", "states"}  # `check_reward` keeps them apart
    for needs in [(), *(pair for pair in itertools.combinations(MADE, 2) if set(pair) != refused)]:
        signals, found = make(needs, model, batch)
        assert set(found) == set(needs)
        passes = {"tokens", "reference_log_probs", "previous_log_probs"} & set(needs)
        if not {"states", "voters"} & set(needs):
            assert (signals.generated_tokens, signals.forward_tokens) == (0, len(passes) * batch.positions)


def test_the_model_and_the_global_random_state_are_left_alone(model):
    loaded, before = clone(model), torch.get_rng_state()
    kept, batch = weights(loaded.model), drawn_batch(loaded, ADDITION.problems[:2])
    for training in (True, False):
        loaded.model.train(training)
        make(set(MADE) - {"voters"}, loaded, batch)
        make({"voters"}, loaded, batch)
        assert loaded.model.training is training and same_weights(kept, weights(loaded.model))
    assert torch.equal(before, torch.get_rng_state())


class TestPolicies:
    def test_tokens_are_those_of_the_model_at_the_sampling_temperature(self, model):
        batch = drawn_batch(model, ADDITION.problems[:3])
        tokens = make({"tokens"}, model, batch, temperature=0.6)[1]["tokens"]
        expected = sequence_log_probs(
            model.model,
            model.tokenizer,
            [p for p in batch.prompt_ids for _ in range(3)],
            sum(batch.token_ids, []),
            temperature=0.6,
        )
        assert torch.allclose(tokens.total(tokens.log_prob).reshape(-1), expected, atol=1e-4)

    def test_an_unmoved_model_equals_its_reference_and_its_past_to_the_last_bit(self, model):
        """So that a KL reward of an unmoved model is exactly 0, and no optimizer can grow its rounding."""
        found = make(
            {"tokens", "reference_log_probs", "previous_log_probs"},
            model,
            drawn_batch(model, ADDITION.problems[:4]),
        )[1]
        total = found["tokens"].total(found["tokens"].log_prob)
        assert torch.equal(total, found["reference_log_probs"]) and torch.equal(
            total, found["previous_log_probs"]
        )

    def test_the_reference_is_another_model(self, model):
        other = random_model("llama", seed=5, spread=0.3)
        batch = drawn_batch(model, ADDITION.problems[:2])
        found = make({"reference_log_probs"}, model, batch, reference=other.model)[1]["reference_log_probs"]
        theirs = completion_statistics(other.model, other.tokenizer, batch.prompt_ids, batch.token_ids)
        assert torch.equal(found, theirs.total(theirs.log_prob))

    def moved(self, loaded, scale):
        with torch.no_grad():
            for parameter in loaded.model.parameters():
                parameter.mul_(scale)

    def test_the_previous_policy_is_that_of_the_call_before_also_after_a_resume(self, model, tmp_path):
        loaded = clone(model)
        batch = drawn_batch(loaded, ADDITION.problems[:2])
        answers = read_answers(batch.problems, batch.texts, ADDITION)

        def totals():
            return sequence_log_probs(
                loaded.model,
                loaded.tokenizer,
                [p for p in batch.prompt_ids for _ in range(3)],  # noqa: E731
                sum(batch.token_ids, []),
            ).numpy()

        signals = Signals({"previous_log_probs"}, ADDITION, loaded.tokenizer, rollouts=3)
        ask = lambda: signals(loaded.model, batch, answers)["previous_log_probs"].numpy().reshape(-1)  # noqa: E731
        first = totals()
        assert ask() == pytest.approx(first, abs=1e-4)
        self.moved(loaded, 1.3)
        signals.save(tmp_path, 1)
        second = totals()
        assert ask() == pytest.approx(first, abs=1e-4) and not np.allclose(first, second, atol=1e-2)
        self.moved(loaded, 0.8)
        signals.save(tmp_path, 2)
        assert ask() == pytest.approx(second, abs=1e-4)
        for step, expected in ((1, first), (2, second)):
            signals = Signals({"previous_log_probs"}, ADDITION, loaded.tokenizer, rollouts=3)
            signals.restore(tmp_path, step, loaded.model)
            assert ask() == pytest.approx(expected, abs=1e-4)
        signals.save(tmp_path, 3)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "previous-2.safetensors",
            "previous-3.safetensors",
        ]


class TestAnswerTokens:
    @pytest.mark.parametrize(
        ("task", "text", "marked"),
        [
            (ADDITION, "85", "11 "),
            (ADDITION, "042", " 11 "),
            (ADDITION, "8x", "111"),
            (ADDITION, "", "1"),
            (WORKED, "15,8:85", "     11 "),
            (WORKED, "85,85:85", "      11 "),
            (WORKED, ":7", " 1 "),
            (WORKED, "15,8", "11111"),
            (COUNTDOWN, "3*5+7", "11111 "),
            (COUNTDOWN, "(3*5)+7", "11111111"),
        ],
    )
    def test_are_those_of_the_last_occurrence_else_all(self, task, text, marked):
        """The end token is the last one; a label that is not in the text as it stands marks everything."""
        ids = [*TOKENIZER(text)["input_ids"], TOKENIZER.eos_token_id]
        assert "".join("1" if mark else " " for mark in answer_tokens(task, TOKENIZER, text, ids)) == marked

    def test_reach_the_statistics(self, model):
        batch = written_batch(WORKED.problems[:1], [["15,8:85", ":7"]])
        tokens = make({"tokens"}, model, batch, WORKED)[1]["tokens"]
        assert tokens.answer_mask.int().tolist() == [[[0, 0, 0, 0, 0, 1, 1, 0], [0, 1, 0, 0, 0, 0, 0, 0]]]
        assert tokens.mask.sum(2).tolist() == [[8, 3]]


class TestGroups:
    def same(self, ids):
        return [[[a == b for b in row] for a in row] for row in np.asarray(ids).tolist()]

    def test_clusters_are_the_answers_where_every_label_means_itself(self, model):
        batch = written_batch(ADDITION.problems[:2], [["3", "03", "x"], ["4", "5", "4"]])
        found = make({"clusters"}, model, batch)[1]["clusters"]
        assert (
            self.same(found) == self.same(read_answers(batch.problems, batch.texts, ADDITION).ids)
            and found[0, 2] == -1
        )

    def test_clusters_join_what_means_the_same(self, model):
        """Countdown: three expressions of two values, two of which have the same one; and what is none."""
        batch = written_batch(COUNTDOWN.problems[:1], [["3*5+7", "7+3*5", "3+5+7", "3*"]])
        assert self.same(make({"clusters"}, model, batch, COUNTDOWN)[1]["clusters"]) == self.same(
            [[0, 0, 1, -1]]
        )

    def test_clusters_join_what_the_task_calls_equivalent(self, model, tmp_path):
        path = tmp_path / "task.jsonl"
        path.write_text(json.dumps({"prompt": "1+1=", "answer": r"\frac{1}{2}"}) + "\n")
        task = get_task(path)
        batch = written_batch(task.problems, [[r"\boxed{0.5}", r"\boxed{\frac12}", r"\boxed{2}"]])
        assert self.same(make({"clusters"}, model, batch, task)[1]["clusters"]) == self.same([[0, 0, 1]])

    def test_questions_are_shared_by_their_wordings(self, model):
        problems = with_rephrasings(ADDITION, [ADDITION.problems[i] for i in (305, 712, 305)])
        batch = written_batch(problems, [["1", "2"]] * 6)
        assert make({"questions"}, model, batch)[1]["questions"].tolist() == [0, 0, 2, 2, 0, 0]

    def test_the_second_voter_is_the_reference(self, model):
        """The reference here always answers 7: its columns come after the model's own, which stay as they
        are.
        """
        sure = markov_model({"=": {"7": 1.0}})
        batch = written_batch(ADDITION.problems[:2], [["3", "4", "x"], ["7", "7", "5"]])
        signals = Signals({"voters"}, ADDITION, TOKENIZER, rollouts=3, reference=sure.model)
        answers = signals.answers(batch)
        found = signals(model.model, batch, answers)["voters"]
        assert found.tolist() == [[0, 0, 0, 1, 1, 1]] * 2
        named = [[None if i < 0 else answers.labels[i] for i in row] for row in answers.ids.tolist()]
        assert named == [["3", "4", None, "7", "7", "7"], ["7", "7", "5", "7", "7", "7"]]
        assert signals.generated_tokens == 2 * 3 * 2


class TestStates:
    CHAIN = {
        "=": {"1": 0.9, "7": 0.1},
        "1": {"2": 1.0},
        "2": {"3": 0.6, "4": 0.4},
        "5": {"6": 0.9, "<eos>": 0.1},
    }

    def test_are_greedy_answers_after_a_quarter_a_half_and_three_quarters(self):
        """A chain that knows 1, 2, 3, end by heart: after "56" it ends; after "5" it writes 6; from the start
        123.
        """
        chain = markov_model(self.CHAIN)
        batch = written_batch(ADDITION.problems[:1], [["5678", "1234", "123", "88"]])
        signals, found = make({"states"}, chain, batch)
        answers = read_answers(batch.problems, batch.texts, ADDITION)
        greedy = [["56", "56", "567"], ["123", "123", "123"], ["123", "123", "123"], ["123", "8", "8"]]
        labels = dict(zip(answers.labels, range(4), strict=True))
        assert found["states"].shape == (1, 4, STATES)
        for row, expected in zip(found["states"][0].tolist(), greedy, strict=True):
            assert [state if state in labels.values() else "new" for state in row] == [
                labels.get(label, "new") for label in expected
            ]
        new = {
            label: state
            for row, names in zip(found["states"][0].tolist(), greedy, strict=True)
            for state, label in zip(row, names, strict=True)
        }
        assert len(set(new.values())) == len(new)
        assert 0 < signals.generated_tokens <= 4 * 6, "equal prefixes of a prompt are continued once"

    def test_that_are_no_answer_are_minus_one(self):
        """The chain's own answer to the prompt is "+", which is none; every completion has one."""
        batch = written_batch(ADDITION.problems[:1], [["12", "3"]])
        assert make({"states"}, markov_model({"=": {"+": 1.0}}), batch)[1]["states"][0, 1].tolist() == [
            -1,
            -1,
            -1,
        ]

    def test_of_a_random_model_are_what_it_writes_by_itself(self, model):
        batch = drawn_batch(model, ADDITION.problems[5:8], rollouts=4, max_new_tokens=6)
        signals = Signals({"states"}, ADDITION, model.tokenizer, rollouts=4, max_new_tokens=6)
        answers = signals.answers(batch)
        states = signals(model.model, batch, answers)["states"]
        for p, r, s in np.ndindex(*states.shape):
            ids = [i for i in batch.token_ids[p][r] if i != model.tokenizer.eos_token_id]
            head = ids[: len(ids) * (s + 1) // (STATES + 1)]
            alone = sample(
                model.model,
                model.tokenizer,
                [[*batch.prompt_ids[p], *head]],
                rollouts=1,
                max_new_tokens=6,
                greedy=True,
            )
            label = ADDITION.extract(
                model.tokenizer.decode([*head, *alone.token_ids[0][0]], skip_special_tokens=True)
            )
            state = states[p, r, s]
            assert (label is None) == (state == -1)
            if label in answers.labels and answers.labels.index(label) in answers.ids[p]:
                assert state == answers.labels.index(label)
            elif label is not None:
                assert state >= len(answers.labels)
