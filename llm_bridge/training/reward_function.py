"""TRL reward functions from the rewards of `sharpening.rewards`: the same definition, on the answers and
tokens of each group.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import Field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from llm_bridge.models.prompt_ids import prompt_token_ids
from llm_bridge.tasks import Problem, read_answers
from sharpening.errors import InputError
from sharpening.metrics import NO_ANSWER, as_arrays
from sharpening.rewards import HybridScheduledReward, NoisyVerifierReward, Reward, get_reward
from sharpening.rewards.asking import check_form, group_rewards, reads_labels

if TYPE_CHECKING:
    from llm_bridge.training.signals import Signals
    from llm_bridge.verifiers.base import Verifier

OF_THE_MODEL = {"tokens", "reference_log_probs", "previous_log_probs", "states", "voters"}
"""Signals that take a model to make."""


def parts_of(reward: Reward) -> dict[str, Reward]:
    """The rewards that are settings of this one, by the setting's name."""
    settings = {field.name: getattr(reward, field.name) for field in _fields(reward)}
    return {name: value for name, value in settings.items() if isinstance(value, Reward)}


def _fields(reward: Reward) -> tuple[Field, ...]:
    return fields(reward) if is_dataclass(reward) else ()


def _leaves(reward: Reward) -> Iterator[Reward]:
    parts = parts_of(reward)
    for part in parts.values():
        yield from _leaves(part)
    if not parts:
        yield reward


def verified_part(reward: Reward) -> Reward | None:
    """The part whose verifier says the verdicts, or None.

    Raises: InputError if parts name several verifiers: a batch has one table of verdicts.
    """
    found = {part.spec: part for part in _leaves(reward) if part.card.verifier}
    if len(found) > 1:
        raise InputError(
            "reward",
            reward.spec,
            f"its parts ask several verifiers: {', '.join(found)}",
            "Use one verifier in a reward",
        )
    return next(iter(found.values()), None)


def check_reward(reward: Reward | str, task) -> None:
    """Raise InputError, before any work, if the task cannot give what the reward reads."""
    reward = get_reward(reward)
    spec = reward.spec
    needs, part = set(reward.card.needs), verified_part(reward)
    check_form(reward, "group")
    if "labels" in needs and not task.labelled:
        raise InputError(
            "reward",
            spec,
            f"it compares with true answers, and task {task.name} has none",
            "Use --reward majority, or give every line of the data set an answer",
        )
    if "questions" in needs and not any(task.rephrase(problem) for problem in task.problems):
        raise InputError(
            "reward",
            spec,
            f"it compares rephrasings of a question, and task {task.name} has none",
            "Use --reward majority, or give the lines of the data set a field rephrasings",
        )
    if "voters" in needs and needs & (OF_THE_MODEL - {"voters"}):
        raise InputError(
            "reward",
            spec,
            "other models' votes cannot be combined with rewards that read the model's own tokens or states",
            "Use weighted-majority with answers alone",
        )
    if part is not None:
        _check_verifier(spec, part, task)


def _check_verifier(spec: str, part: Reward, task) -> None:
    """Raise InputError if the verifier cannot judge answers to this task's problems; models are not loaded
    for that.
    """
    kind = _verifier_of(part)
    if hasattr(kind, "check"):
        kind.check(task, **verifier_settings(part))
    else:
        try:
            make_verifier(part, task).judge([task.problems[0]], [["0"]])
        except InputError as error:
            rule = (
                f"the verifier {kind.name} cannot judge task {task.name}: of {task.problems[0].prompt[:60]!r}"
                f" it says that {error.rule}"
            )
            raise InputError(
                "reward", spec, rule, "Use a reward that fits the task, such as --reward majority"
            ) from error


def _verifier_of(part: Reward) -> "type[Verifier]":
    from llm_bridge.verifiers import VERIFIERS

    assert part.card.verifier is not None, "verified_part finds only rewards with one"
    return VERIFIERS[part.card.verifier]


def verifier_settings(part: Reward) -> dict:
    """Settings of a verified reward that its verifier reads: all but its two rates."""
    return {
        field.name: getattr(part, field.name) for field in _fields(part) if field.name not in ("tpr", "fpr")
    }


@runtime_checkable
class _Spender(Protocol):
    forward_tokens: int
    generated_tokens: int


class TaskReward:
    """Any registered reward as a reward function for GRPOTrainer.

    Parameters:
        reward: one, or the text that `get_reward` reads. problem_of: maps the data set's `row` column to its problem.
        temperature, max_new_tokens, seed: those of the run; the seed fixes what is drawn (a verifier's noise,
            the rollouts that are verified, other voters' completions) together with the step.
        reference: a frozen copy of the initial model, for rewards that need it.
        mask_truncated_completions: as in TRL's GRPOConfig; here a completion that was cut off does not vote
            either and counts as no answer. Needs `attach`.
        train_rollouts: how many of a group are learnt from; the others vote and are rewarded with None.

    Groups are the consecutive `rollouts` completions of one prompt, as TRL lays them out on one rank;
    rephrasings of a question must be in one batch. A reward that reads tokens, states or its own model's
    verdicts needs `attach` before the first call: TRL hands over no logits. Verdicts and labels are read only
    where they can change the reward (a gated hybrid asks about uncertain prompts, a scheduled one at its
    steps); `verifier_calls` counts the distinct answers that were asked about, and is logged. What the
    registry's `group` gives as a mean is drawn here, once a rollout: a noisy verifier's noise, and the share
    of rollouts that a schedule verifies.
    """

    def __init__(
        self,
        reward: Reward | str,
        task,
        rollouts: int,
        problem_of: Callable[[int], Problem] | None = None,
        *,
        temperature: float = 1.0,
        max_new_tokens: int | None = None,
        seed: int = 0,
        reference=None,
        mask_truncated_completions: bool = False,
        train_rollouts: int | None = None,
    ):
        self.reward, self.task, self.rollouts, self.problem_of = (
            get_reward(reward),
            task,
            rollouts,
            problem_of,
        )
        check_reward(self.reward, task)
        self.__name__ = f"{self.reward.name}_reward"
        self.needs, self.part = set(self.reward.card.needs), verified_part(self.reward)
        self.options = dict(
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=seed,
            reference=reference,
            mask_truncated_completions=mask_truncated_completions,
        )
        self.model_of: Callable | None = None
        self.signals: Signals | None = None
        self.verifier: Verifier | None = None
        self.verifier_calls, self.train_rollouts = 0, train_rollouts

    def attach(self, model_of: Callable, tokenizer) -> None:
        """Say which model is in training (a function that gives it now) and how it spells. Raises: InputError
        as the verifier does.
        """
        from llm_bridge.training.signals import Signals

        self.model_of = model_of
        self.signals = Signals(self.needs, self.task, tokenizer, rollouts=self.rollouts, **self.options)
        if self.part is not None:
            self.verifier = make_verifier(self.part, self.task, model_of(), tokenizer)

    @property
    def asks_a_verifier(self) -> bool:
        """Whether it reads labels or verdicts at all."""
        return reads_labels(self.reward)

    @property
    def cost(self) -> tuple[int, int]:
        """(generated tokens, forward tokens) spent so far."""
        spenders = [spender for spender in (self.signals, self.verifier) if isinstance(spender, _Spender)]
        return sum(spender.generated_tokens for spender in spenders), sum(
            spender.forward_tokens for spender in spenders
        )

    def __call__(
        self, prompts, completions, row, completion_ids=None, trainer_state=None, log_metric=None, **_
    ):
        """One float a completion, as TRL asks for it."""
        group = self.rollouts
        if len(completions) % group:
            raise InputError(
                "completions",
                len(completions),
                f"a batch must hold whole groups of {group} rollouts on every rank",
                "Make per_device_train_batch_size × steps_per_generation divisible by num_generations",
            )
        masks = self.options["mask_truncated_completions"]
        if self.signals is None and (self.part or self.needs & OF_THE_MODEL or masks):
            raise InputError(
                "reward",
                self.reward.spec,
                "it reads the model in training, and nobody said which that is",
                "Call reward.attach(lambda: trainer.accelerator.unwrap_model(trainer.model), tokenizer)",
            )
        if self.problem_of is None:
            raise InputError("problem_of", None, "it finds the problem of each row", "Give TaskReward one")
        problems = [self.problem_of(index) for index in row[::group]]
        said = [completion_text(completion) for completion in completions]
        texts = [said[i : i + group] for i in range(0, len(said), group)]
        heads = (
            prompt_token_ids(self.signals.tokenizer, [problem.prompt for problem in problems])
            if self.signals
            else []
        )
        ids = (
            [completion_ids[i : i + group] for i in range(0, len(completions), group)]
            if completion_ids is not None
            else []
        )
        if masks and not ids:
            raise InputError(
                "completion_ids",
                completion_ids,
                "which completions were cut off is seen by their tokens alone",
                "Pass completion_ids, as GRPOTrainer does, or mask_truncated_completions=False",
            )
        before = self.verifier_calls
        rewards = self.score(problems, heads, ids, texts, getattr(trainer_state, "global_step", 0))
        if log_metric is not None and self.asks_a_verifier:
            log_metric("verifier_calls", self.verifier_calls - before)
        told = rewards.tolist()
        if self.train_rollouts is not None:
            # TRL learns nothing from a completion that no reward function rewards.
            told = [[*row[: self.train_rollouts], *[None] * (group - self.train_rollouts)] for row in told]
        return [reward for row in told for reward in row]

    def score(self, problems, prompt_ids, token_ids, texts, step: int = 0) -> np.ndarray:
        """Rewards (prompts, rollouts), float64, of completions: token ids and texts (prompts, rollouts)."""
        made: dict
        if self.signals is None or self.model_of is None:
            answers = read_answers(problems, texts, self.task)
            made = {"step": step, "clusters": answers.ids}
        else:
            from llm_bridge.training.signals import Batch

            batch, model = Batch(problems, prompt_ids, token_ids, texts, step), self.model_of()
            answers = self.signals.answers(batch, model)
            made = self.signals(model, batch, answers)
        uniforms = _uniforms(self.options["seed"], step, answers.ids.shape)
        reward, correct = drawn(self.reward, HybridScheduledReward, _Scheduled, uniforms[0]), answers.correct
        if self.asks_a_verifier:
            asked = matters(reward, answers.ids, made) & (answers.ids != NO_ANSWER)
            self.verifier_calls += sum(
                len(set(row[keep].tolist())) for row, keep in zip(answers.ids, asked, strict=True)
            )
            correct = correct & asked
            if self.verifier is not None:
                made["verdicts"] = self._verdicts(self.verifier, problems, answers, texts, asked)
        noisy = drawn(reward, NoisyVerifierReward, _Noisy, uniforms[1])
        rewards = group_rewards(noisy, answers.ids, correct, **made)
        return np.asarray(rewards, dtype=np.float64)[:, : len(texts[0])]

    def _verdicts(self, verifier: "Verifier", problems, answers, texts, asked):
        if verifier.reads == "completions":
            shown = texts
        else:
            shown = [[None if i == NO_ANSWER else answers.labels[i] for i in group] for group in answers.ids]
        shown = [
            [text if keep else None for text, keep in zip(*rows, strict=True)]
            for rows in zip(shown, asked, strict=True)
        ]
        if hasattr(verifier, "model") and self.model_of is not None:
            verifier.model = self.model_of()
        return verifier.judge(problems, shown)


def completion_text(completion) -> str:
    """What a completion says: a text, or the content of the last message where TRL gives a list of messages."""
    return completion if isinstance(completion, str) else str(completion[-1].get("content") or "")


def task_reward(
    reward: Reward | str, task, rollouts: int, problem_of: Callable[[int], Problem], **options
) -> TaskReward:
    """That reward, or the one of that text, as a reward function for GRPOTrainer; options as for `TaskReward`."""
    return TaskReward(reward, task, rollouts, problem_of, **options)


def make_verifier(part: Reward, task, model=None, tokenizer=None):
    """The verifier of a reward, given those of task, model and tokenizer that it takes, and the reward's own
    settings.
    """
    from llm_bridge.verifiers import get_verifier

    kind = _verifier_of(part)
    offered = {"task": task, "model": model, "tokenizer": tokenizer} | verifier_settings(part)
    taken = inspect.signature(kind).parameters
    return get_verifier(kind.name, **{name: value for name, value in offered.items() if name in taken})


def _uniforms(seed: int, step: int, shape) -> np.ndarray:
    """Two tables of numbers in 0..1, fixed by (seed, step): which rollouts are verified, and what the noise
    makes of the verdicts.
    """
    return np.random.default_rng([seed, 6, step]).random((2, *shape))


def matters(reward: Reward, answers, signals) -> np.ndarray:
    """(prompts, rollouts) bool: where verdicts or labels can change the reward, found by trying opposite
    ones.
    """
    coins = np.random.default_rng(0).random(answers.shape) < 0.5
    tried = [
        np.asarray(group_rewards(reward, answers, said, **signals | {"verdicts": said.astype(float)}))
        for said in (np.zeros_like(coins), np.ones_like(coins), coins, ~coins)
    ]
    return (tried[0] != tried[1]) | (tried[2] != tried[3])


class _Noisy(Reward):
    """A noisy verifier whose noise is drawn: 1 where the uniform number lies below its mean reward, else
    0.
    """

    def __init__(self, mean: Reward, uniforms):
        self.mean, self.uniforms, self.card = mean, uniforms, mean.card

    def group(self, answers, is_correct=None, **signals):
        xp, mean, uniforms = as_arrays(
            group_rewards(self.mean, answers, is_correct, **signals), self.uniforms
        )
        return xp.astype(uniforms < mean, mean.dtype)


class _Scheduled(Reward):
    """A scheduled hybrid whose rollouts are drawn: external where the uniform number lies below its share,
    intrinsic elsewhere.
    """

    def __init__(self, mean: HybridScheduledReward, uniforms):
        self.mean, self.uniforms, self.card = mean, uniforms, mean.card

    def group(self, answers, is_correct=None, **signals):
        either = (
            group_rewards(replace(self.mean, share=share), answers, is_correct, **signals)
            for share in (1.0, 0.0)
        )
        xp, outside, inside, uniforms = as_arrays(*either, self.uniforms)
        return xp.where(uniforms < self.mean.share, outside, inside)


def drawn(reward: Reward, kind: type, wrapper: type, uniforms) -> Reward:
    """The reward with every part of that kind, itself included, wrapped into one draw of what it averages
    over.
    """
    if isinstance(reward, kind):
        return wrapper(reward, uniforms)
    changed = {
        name: new
        for name, part in parts_of(reward).items()
        if (new := drawn(part, kind, wrapper, uniforms)) is not part
    }
    return replace(reward, **changed) if changed and is_dataclass(reward) else reward


def majority_reward(extract, num_generations: int):
    """The majority vote as a TRL reward function for your own script: `extract(text) -> answer or None`."""
    from llm_bridge.tasks.prompts import PromptTask

    def reward_function(prompts, completions, **_):
        texts = [completion_text(completion) for completion in completions]
        if len(texts) % num_generations:
            raise InputError(
                "completions",
                len(texts),
                f"a batch must hold whole groups of {num_generations} rollouts on every rank",
                "Make per_device_train_batch_size × steps_per_generation divisible by num_generations",
            )
        groups = [texts[i : i + num_generations] for i in range(0, len(texts), num_generations)]
        task = PromptTask(["prompt"], extract=extract)
        answers = read_answers([Problem("prompt", None)] * len(groups), groups, task)
        return np.asarray(get_reward("majority").group(answers.ids), dtype=float).reshape(-1).tolist()

    reward_function.__name__ = "majority_reward"
    return reward_function
