"""Self-verification: the model judges its own answer with a verification prompt."""

import numpy as np

from llm_bridge.verifiers.base import Verifier, register_verifier
from sharpening.errors import InputError


@register_verifier
class SelfVerification(Verifier):
    """1 where the model gives "yes" more probability than "no" to the question whether the answer is right,
    else 0.

    `model` and `tokenizer` are those in training, and change with it. `soft`: the share of yes instead of 1
    or 0. The form of the question follows the tokenizer (`llm_bridge.verifiers.asking`): words for models
    that have them; digits for the shipped tiny ones, of which `addition-checker` alone was taught to answer.
    **Small and base models misread such prompts** (He et al. 2026): measure true and false positives first.
    SmolLM2-135M-Instruct accepts all sums, right or off by one, and next to no capital: it cannot verify.
    `forward_tokens` counts what it cost.

    Raises: InputError for a tokenizer that can spell neither form.
    """

    name = "self-verification"
    description = "the model in training is asked whether its own answer is right"

    def __init__(self, model, tokenizer, *, soft: bool = False):
        from llm_bridge.verifiers.asking import form_for

        self.model, self.tokenizer, self.soft = model, tokenizer, soft
        self.forward_tokens, self.generated_tokens = 0, 0
        form = form_for(tokenizer)
        if form is None:
            raise InputError(
                "reward",
                self.name,
                "the model's tokenizer can spell neither yes and no nor digits, so it cannot be asked",
                "Use a chat model, or the built-in addition-checker",
            )
        self.form = form

    @classmethod
    def check(cls, task) -> None:
        """Any task will do: whether the model can be asked, its tokenizer decides."""

    def verdict(self, problem, answer) -> float:
        return float(self._verdicts([(problem.question, answer)])[0])

    def judge(self, problems, answers) -> np.ndarray:
        """Verdicts (prompts, rollouts); each distinct answer of a prompt is asked about once, all in
        batches.
        """
        return judge_in_batches(problems, answers, self._verdicts)

    def _verdicts(self, pairs) -> np.ndarray:
        from llm_bridge.verifiers.asking import yes_shares

        shares, positions = yes_shares(self.model, self.tokenizer, self.form, pairs)
        self.forward_tokens += positions
        shares = shares.double().numpy()
        return shares if self.soft else (shares > 0.5).astype(float)


def judge_in_batches(problems, answers, verdicts_of) -> np.ndarray:
    """Verdicts (prompts, rollouts), 0 for None, from `verdicts_of([(prompt, answer), …])` on the distinct
    pairs.
    """
    pairs = dict.fromkeys(
        (problem.question, answer)
        for problem, group in zip(problems, answers, strict=True)
        for answer in group
        if answer is not None
    )
    known = dict(zip(pairs, verdicts_of(list(pairs)), strict=True)) if pairs else {}
    return np.array(
        [
            [known.get((problem.question, answer), 0.0) for answer in group]
            for problem, group in zip(problems, answers, strict=True)
        ],
        dtype=float,
    )
