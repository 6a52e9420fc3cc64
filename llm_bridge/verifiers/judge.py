"""Judge: another model, larger or slower, says whether an answer is right."""

import numpy as np

from llm_bridge.verifiers.base import Verifier, register_verifier
from llm_bridge.verifiers.self_verification import judge_in_batches
from sharpening.errors import InputError


@register_verifier
class Judge(Verifier):
    """Verdicts of the model that `model` names (a folder, hub id, GGUF file or built-in name), which is not
    trained.

    A model that knows words is asked: 1 where it gives "yes" more probability than "no". One that does not
    (the shipped tiny ones)
    answers the question itself, greedily: 1 where its answer and the one it judges are equivalent in `task`.
    `forward_tokens` and `generated_tokens` count what it cost. Nothing is remembered between calls: a resumed
    run costs the same.

    Raises: InputError as `load_model` does, and for a model that can neither be asked nor spell the task.
    """

    name = "judge"
    description = "another model, larger or slower, says whether the answer is right"

    def __init__(self, model: str, task):
        from llm_bridge.models.loading import load_model
        from llm_bridge.tasks import spellable
        from llm_bridge.verifiers.asking import WORDS, form_for

        self.loaded, self.task = load_model(model), task
        self.asks = form_for(self.loaded.tokenizer) is WORDS
        self.forward_tokens = self.generated_tokens = 0
        if not self.asks:
            spellable(task, self.loaded.tokenizer)

    @classmethod
    def check(cls, task, *, model: str = "") -> None:
        """Raise InputError unless `model` can be the name of a model."""
        from llm_bridge.models.names import check_model_name

        if not model:
            raise InputError(
                "reward",
                "judge",
                "it needs a model that judges",
                "Write judge(model=FOLDER), or the name of a built-in model",
            )
        check_model_name(model)

    def verdict(self, problem, answer) -> float:
        return float(self._verdicts([(problem.question, answer)])[0])

    def judge(self, problems, answers) -> np.ndarray:
        """Verdicts (prompts, rollouts); each distinct answer of a prompt is judged once, all in batches."""
        return judge_in_batches(problems, answers, self._verdicts)

    def _verdicts(self, pairs) -> np.ndarray:
        return self._asked(pairs) if self.asks else self._compared(pairs)

    def _asked(self, pairs) -> np.ndarray:
        from llm_bridge.verifiers.asking import WORDS, yes_shares

        shares, positions = yes_shares(self.loaded.model, self.loaded.tokenizer, WORDS, pairs)
        self.forward_tokens += positions
        return (shares.numpy() > 0.5).astype(float)

    def _compared(self, pairs) -> np.ndarray:
        own = self._answers(list(dict.fromkeys(prompt for prompt, _ in pairs)))
        return np.array(
            [
                own[prompt] is not None and self.task.equivalent(own[prompt], answer)
                for prompt, answer in pairs
            ],
            float,
        )

    def _answers(self, prompts) -> dict[str, str | None]:
        from llm_bridge.sampling.rollouts import sample

        drawn = sample(
            self.loaded.model,
            self.loaded.tokenizer,
            prompts,
            rollouts=1,
            max_new_tokens=self.task.max_new_tokens,
            greedy=True,
        )
        self.forward_tokens += drawn.forward_tokens
        self.generated_tokens += drawn.generated_tokens
        return {prompt: self.task.extract(text) for prompt, (text,) in zip(prompts, drawn.texts, strict=True)}
