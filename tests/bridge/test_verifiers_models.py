"""Verifiers that are models: what they are asked, what a yes is, what a judge without words does, and what it
all costs.
"""

import numpy as np
import pytest
import torch
from tiny import after_equals, markov_model, random_model, save
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llm_bridge import LoadedModel, Problem, get_task, get_verifier, load_model
from llm_bridge.sampling.rollouts import sample, sequence_log_probs
from llm_bridge.verifiers import VERIFIERS
from llm_bridge.verifiers.asking import DIGITS, WORDS, form_for, question, yes_shares
from llm_bridge.zoo.pretraining import character_tokenizer
from sharpening import InputError

ADDITION = get_task("addition")


def vocabulary(words):
    inner = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(["<unk>", "<eos>", *words])}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", eos_token="<eos>", pad_token="<eos>", padding_side="left"
    )


ENGLISH = vocabulary(
    "Proposed answer : Is the proposed correct ? Reply with one word , yes or no . Yes No 1 2 3 + = 4 The".split()
)


class TestForm:
    def test_words_where_they_can_be_spelled_else_digits_else_none(self):
        assert form_for(ENGLISH) is WORDS and form_for(character_tokenizer()) is DIGITS
        assert form_for(vocabulary("a b c".split())) is None
        with pytest.raises(InputError, match="neither yes and no nor digits"):
            get_verifier("self-verification", model=None, tokenizer=vocabulary("a b c".split()))

    def test_the_question_holds_prompt_and_answer(self):
        tokenizer = character_tokenizer()
        assert tokenizer.decode(question(tokenizer, DIGITS, "37+48=", "85")) == ">37+48=85:"
        text = ENGLISH.decode(question(ENGLISH, WORDS, "1 + 2 =", "3"))
        assert text.startswith(
            "1 + 2 = Proposed answer : 3 Is the proposed answer correct ?"
        ) and text.endswith("Reply :")

    def test_a_chat_model_sees_it_as_the_users_message(self):
        tokenizer = vocabulary(
            "USER BOT Proposed answer : Is the proposed correct ? Reply with one word , yes or no . 1".split()
        )
        tokenizer.chat_template = (
            "{% for m in messages %}USER {{ m.content }}{% endfor %}{% if add_generation_prompt %} BOT{%"
            " endif %}"
        )
        text = tokenizer.decode(question(tokenizer, WORDS, "1", "1"))
        assert text.startswith("USER 1 Proposed answer : 1") and text.endswith("yes or no . BOT")

    def test_no_brace_of_an_answer_is_read(self):
        """The answer is the model's own, untrusted text: it cannot ask for the prompt, nor for anything
        else.
        """
        tokenizer = vocabulary("> : { } prompt answer 0 secret".split())
        for answer in ("{prompt}", "{answer}", "{", "{0.__class__}"):
            text = tokenizer.decode(question(tokenizer, DIGITS, "secret", answer))
            assert text.count("secret") == 1


class TestShares:
    def test_are_those_of_yes_and_no_among_the_next_tokens(self):
        """Against the log-probabilities of the one-token sequences "1" and "0", pair by pair."""
        loaded = random_model("llama")
        pairs = [("1+2=", "3"), ("10+20=", "31"), ("4+4=", "8" * 9)]
        shares, positions = yes_shares(loaded.model, loaded.tokenizer, DIGITS, pairs, chunk=2)
        encode = lambda text: loaded.tokenizer(text)["input_ids"]  # noqa: E731
        for share, (prompt, answer) in zip(shares, pairs, strict=True):
            yes, no = sequence_log_probs(
                loaded.model,
                loaded.tokenizer,
                [encode(f">{prompt}{answer}:")] * 2,
                [encode("1"), encode("0")],
            )
            assert float(share) == pytest.approx(float(torch.sigmoid(yes - no)), abs=1e-5)
        assert positions == sum(len(f">{prompt}{answer}:") for prompt, answer in pairs)
        assert yes_shares(loaded.model, loaded.tokenizer, DIGITS, [])[0].shape == (0,)


class TestSelfVerification:
    @pytest.mark.parametrize(("yes", "verdict"), [(0.9, 1.0), (0.2, 0.0)])
    def test_says_what_the_model_says(self, yes, verdict):
        loaded = markov_model({":": {"1": yes, "0": 1 - yes}})
        hard = get_verifier("self-verification", model=loaded.model, tokenizer=loaded.tokenizer)
        soft = get_verifier("self-verification", model=loaded.model, tokenizer=loaded.tokenizer, soft=True)
        problems = [Problem("1+2=", "3"), Problem("2+2=", "4")]
        answers = [["3", "5", "3"], [None, "4", None]]
        assert hard.judge(problems, answers).tolist() == [[verdict] * 3, [0, verdict, 0]]
        assert soft.judge(problems, answers) == pytest.approx(np.array([[yes] * 3, [0, yes, 0]]), abs=1e-4)
        assert hard.verdict(problems[0], "3") == verdict
        assert hard.forward_tokens == 4 * len(">1+2=3:"), "equal answers of a prompt are asked about once"

    def test_addition_checker_can_and_addition_uncertain_cannot(self):
        """Youden's index over the models' own answers to 64 prompts; the shipped checker was taught, the
        other says yes to all.
        """
        found = {}
        for name in ("addition-checker", "addition-uncertain"):
            loaded, problems = load_model(name), ADDITION.split(64)[1]
            drawn = sample(
                loaded.model,
                loaded.tokenizer,
                [p.prompt for p in problems],
                rollouts=8,
                max_new_tokens=4,
                generator=torch.Generator().manual_seed(1),
            )
            labels = [[ADDITION.extract(text) for text in group] for group in drawn.texts]
            verdicts = get_verifier(
                "self-verification", model=loaded.model, tokenizer=loaded.tokenizer
            ).judge(problems, labels)
            right = np.array(
                [
                    [ADDITION.is_correct(p, label) for label in group]
                    for p, group in zip(problems, labels, strict=True)
                ]
            )
            answered = np.array([[label is not None for label in group] for group in labels])
            found[name] = verdicts[right].mean() - verdicts[~right & answered].mean()
        assert found["addition-checker"] > 0.5 and abs(found["addition-uncertain"]) < 0.1


class TestJudge:
    def test_without_words_it_compares_with_its_own_answer(self, tmp_path):
        judge = get_verifier("judge", model=save(after_equals(d5=0.6, d7=0.4), tmp_path), task=ADDITION)
        problems = [Problem("1+2=", "3"), Problem("40+2=", "42")]
        assert judge.judge(problems, [["5", "7", None], ["05", "5", "x"]]).tolist() == [[1, 0, 0], [0, 1, 0]]
        assert judge.generated_tokens == 2 * 2 and judge.forward_tokens > 0
        assert judge.judge([], []).shape[0] == 0

    def test_with_words_it_is_asked(self, tmp_path):
        """A one-layer model that answers yes after ":" if it is asked at all, whatever its own answer would
        be.
        """
        torch.manual_seed(0)
        model = random_model("llama").model
        model.resize_token_embeddings(len(ENGLISH))
        model.generation_config.eos_token_id = model.config.eos_token_id = ENGLISH.eos_token_id
        folder = save(LoadedModel("english", model, ENGLISH), tmp_path)
        judge = get_verifier("judge", model=folder, task=ADDITION)
        found = judge.judge([Problem("1 + 2 =", "3")], [["3", "4"]])
        loaded = load_model(folder)
        shares, positions = yes_shares(
            loaded.model, loaded.tokenizer, WORDS, [("1 + 2 =", "3"), ("1 + 2 =", "4")]
        )
        assert found.tolist() == [(shares > 0.5).double().tolist()]
        assert (judge.generated_tokens, judge.forward_tokens) == (0, positions)

    def test_must_be_named(self):
        for settings, rule in (({}, "needs a model"), ({"model": "/no/such/folder"}, "neither a folder")):
            with pytest.raises(InputError, match=rule):
                VERIFIERS["judge"].check(ADDITION, **settings)
        with pytest.raises(InputError, match="cannot spell"):
            get_verifier("judge", model="addition-weak", task=get_task("capitals"))
