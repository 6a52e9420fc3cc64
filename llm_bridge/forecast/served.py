"""`sharpening forecast --server`: what answers alone say of a model whose weights cannot be loaded, and what
they cannot say.
"""

import math
import os
from dataclasses import dataclass, field

import numpy as np

from llm_bridge.forecast.prior import Prior, answer_population, prior_of, prompt_metrics, silence_told
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.served_answers import ServedAnswers, served_answers
from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.verification.thresholds import uniform_share

ERRORS = 2.0
"""A difference counts as seen if it is larger than so many of its standard errors."""
REWARD = "majority"
VERIFIERS = (0.5, 0.9)
"""Youden indices J = TPR − FPR of the verifiers that serve as examples."""
RESCUE = (
    "training makes it surer. A verifier turns that round if it judges more than a share 1/(1 + J) of the"
    " rollouts, J its TPR − FPR: "
    + ", ".join(
        f"{uniform_share(youden, 0.0):.0%}".replace("%", " %") + f" at J = {youden:g}" for youden in VERIFIERS
    )
    + " (theorem X2; `sharpening schedule`)."
)

SERVED_VERDICTS = {
    "votes_help": (
        "good",
        "The vote is better than a single answer; whether training holds takes the weights to say",
    ),
    "votes_hurt": ("bad", "The vote is worse than a single answer: training on it would lose"),
    "no_difference": ("neutral", "Vote and single answer cannot be told apart"),
    "no_signal": ("neutral", "The answers agree already: nothing to sharpen"),
    "no_labels": ("neutral", "How far the answers agree; whether they are right needs true answers"),
}
"""Verdict codes (what `ServedForecast.verdict` holds and the JSON shows) -> (tone, headline)."""

UNKNOWN = (
    (
        "whether and at which step a run would collapse, how fast it would sharpen, and the largest safe"
        " learning rate: these come from gradients, weight noise and a pilot of a few steps, which need the"
        " weights"
    ),
    (
        "how strongly prompts pull on each other, which moves a run's end away from what each prompt alone"
        " tends to"
    ),
)
HOW_TO_KNOW = "Load the weights: `sharpening forecast FOLDER_OR_HUB_ID --task TASK` measures all of this."


@dataclass(frozen=True)
class ServedForecast:
    """Everything that answers alone say before any training.

    `settings`: what the answers depend on (server, prompts, draws, rollouts, temperature, max_new_tokens,
    seed, reward). `prior`: metrics of the prior by name, votes over groups of `rollouts`, `label_accuracy`
    being the accuracy of voting without training; with labels `alignment`, the share of prompts whose most
    frequent of all `draws` answers is correct. `standard_error`: of each, over prompts (None for one prompt).
    `undecided`: the share of prompts whose two leading answers are within two standard errors of each other.
    `votes`: accuracy of a vote of 1, 2, 4, …, `draws` answers, one row each (votes, accuracy,
    standard_error); empty without labels. `verdict` is a code of SERVED_VERDICTS.
    """

    model: str
    task: str
    settings: dict
    prior: dict[str, float]
    standard_error: dict[str, float | None]
    votes: list[dict]
    verdict: str
    reasons: list[str]
    notes: list[str] = field(default_factory=list)
    cost: dict = field(default_factory=dict)

    @property
    def alignment(self) -> float | None:
        """The share of prompts whose most frequent answer is correct; None without labels."""
        return self.prior.get("alignment")

    @property
    def verification(self) -> list[dict]:
        """Share of the rollouts to verify where the vote is wrong, 1/(1 + J), for the verifiers that serve as
        examples.
        """
        return [{"youden": youden, "share": uniform_share(youden, 0.0)} for youden in VERIFIERS]


def forecast_served(
    url: str,
    model: str,
    task,
    *,
    prompts: int = 128,
    draws: int | None = None,
    rollouts: int = 8,
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    seed: int = 0,
    api_key: str | None = None,
    folder: str | os.PathLike | None = None,
    concurrency: int = 4,
    timeout: float = 600.0,
    retries: int = 6,
    progress=None,
) -> ServedForecast:
    """What `draws` answers (None: 64, or `rollouts` if that is more) of each prompt say of a run with votes
    of `rollouts`, before any training.

    Other arguments as in `served_population`. Raises: InputError and ConnectionError as that does; InputError
    where draws < rollouts.
    """
    draws = max(64, rollouts) if draws is None else draws
    check_draws(draws, rollouts)
    drawn = served_answers(
        url,
        model,
        task,
        prompts=prompts,
        rollouts=draws,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        api_key=api_key,
        seed=seed,
        votes=rollouts,
        folder=folder,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        progress=progress,
    )
    settings = {
        "server": drawn.url,
        "endpoint": drawn.endpoint,
        "prompts": len(drawn.problems),
        "draws": draws,
        "rollouts": rollouts,
        "temperature": temperature,
        "max_new_tokens": task.max_new_tokens if max_new_tokens is None else max_new_tokens,
        "seed": seed,
        "reward": REWARD,
    }
    return judge_answers(drawn, model, task.name, settings)


def check_draws(draws: int, rollouts: int) -> None:
    """InputError unless there are as many draws as voters, and at least two voters."""
    if rollouts < 2:
        raise InputError(
            "rollouts",
            rollouts,
            "a vote of one rollout always agrees with itself",
            "Use --rollouts 2 or more (8 is usual)",
        )
    if draws < rollouts:
        fix = f"Use --draws {rollouts} or more, or fewer --rollouts"
        raise InputError("draws", draws, f"a vote of {rollouts} rollouts needs as many answers", fix)


def judge_answers(drawn: ServedAnswers, model: str, task: str, settings: dict) -> ServedForecast:
    """Numbers with standard errors, the verdict and its reasons, from the answers alone."""
    ids, correct, rollouts, draws = drawn.answers.ids, drawn.correct, settings["rollouts"], settings["draws"]
    found, table = prompt_metrics(ids, correct, rollouts), []
    if correct is not None:
        sizes = sorted({2**power for power in range(draws.bit_length())} | {rollouts, draws})
        ladder = {size: vote_accuracy(ids, correct, size) for size in sizes}
        found["alignment"] = ladder[draws]
        found["accuracy"] = ladder[1]
        table = [
            {"votes": size, "accuracy": float(values.mean()), "standard_error": standard_error(values)}
            for size, values in ladder.items()
        ]
    found["undecided"] = np.array([float(close_call(row)) for row in ids])
    reasons = (unlabelled_reasons if correct is None else labelled_reasons)(found, settings)
    reasons += silence_told(float(found["no_answer"].mean()))
    return ServedForecast(
        model,
        task,
        settings,
        {name: float(values.mean()) for name, values in found.items()},
        {name: standard_error(values) for name, values in found.items()},
        table,
        verdict_of(found),
        reasons,
        drawn.notes,
        drawn.cost.as_dict(),
    )


def vote_accuracy(ids, correct, votes: int) -> np.ndarray:
    """Chance that the majority of `votes` answers is right, (prompts,): mean over disjoint groups; ties
    shared, no answer is wrong.
    """
    return correct.mean(axis=1) if votes == 1 else prompt_metrics(ids, correct, votes)["label_accuracy"]


def standard_error(values: np.ndarray) -> float | None:
    """Of the mean over prompts, other prompts of the same task being drawn: s/√n; None for one prompt."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def close_call(row: np.ndarray) -> bool:
    """Whether the counts c₁ ≥ c₂ of the two most frequent answers satisfy c₁ − c₂ ≤ 2 √(c₁ + c₂); a prompt
    nobody answered is undecided.
    """
    counts = sorted(np.unique(row[row >= 0], return_counts=True)[1].tolist(), reverse=True)
    first, second = [*counts, 0, 0][:2]
    return first - second <= ERRORS * math.sqrt(first + second)


def verdict_of(found: dict[str, np.ndarray]) -> str:
    """The code of SERVED_VERDICTS: alignment against accuracy, prompt by prompt, since where training on
    votes leads is alignment (theorem U6).
    """
    if not np.any(found["entropy"]):
        return "no_signal"
    if "alignment" not in found:
        return "no_labels"
    gain = found["alignment"] - found["accuracy"]
    error = standard_error(gain)
    if error is None or abs(gain.mean()) <= ERRORS * error:
        return "no_difference"
    return "votes_help" if gain.mean() > 0 else "votes_hurt"


def labelled_reasons(found, settings: dict) -> list[str]:
    """Single answers, the vote, training on votes against the vote, and verification, one sentence or two
    each.
    """
    draws, rollouts, undecided = settings["draws"], settings["rollouts"], found["undecided"].mean()
    single, vote, limit = found["accuracy"], found["label_accuracy"], found["alignment"]
    gain = limit - single
    lines = [
        (
            f"Single answers are right {share(single)} of the time. Voting without training, {rollouts}"
            f" answers a prompt, is right on {share(vote)} of the prompts, so the vote is wrong on"
            f" {percent(1 - vote.mean())}."
        ),
        "Is training on votes better than voting without training? Not in accuracy: each prompt alone tends"
        f" to the vote of unlimited answers (theorem U2, U6), here right on {share(limit)} of the prompts by"
        f" {draws} answers each: {signed(limit - vote)} against the vote of {rollouts} (a vote of more"
        f" answers gains the same without training), {signed(gain)} against single answers. "
        + (
            "What training saves is the other answers of each vote."
            if gain.mean() > 0
            else "Training would lose what single answers have."
        ),
    ]
    if undecided:
        lines.append(
            f"On {percent(undecided)} of the prompts {draws} answers do not tell which answer leads: there"
            " that limit is open."
        )
    if limit.mean() < 1:
        lines.append(
            f"Where the most frequent answer is wrong ({percent(1 - limit.mean())} of the prompts) {RESCUE}"
        )
    return lines


def unlabelled_reasons(found, settings: dict) -> list[str]:
    """What remains without true answers."""
    draws, rollouts, undecided = settings["draws"], settings["rollouts"], found["undecided"].mean()
    return [
        (
            f"The most frequent of {rollouts} answers has {share(found['majority_ratio'])} of them; on"
            f" {percent(undecided)} of the prompts {draws} answers do not tell which answer leads."
        ),
        (
            "Is training on votes better than voting without training? Not in accuracy: each prompt alone"
            " tends to the vote of unlimited answers (theorem U2, U6), right or wrong. Agreement does not say"
            " which."
        ),
        f"Where the most frequent answer is wrong, {RESCUE}",
        (
            "True answers to 100 prompts would say how often the vote is right, to ±5 points (one standard"
            " error): give --task a JSONL file with `answer`."
        ),
    ]


def percent(value: float) -> str:
    """A share in percent, such as "42 %"."""
    return f"{100 * value:.0f} %"


def share(values: np.ndarray) -> str:
    """A mean share and its standard error in percent, such as "42 ± 3 %"."""
    error = standard_error(values)
    return percent(values.mean()) if error is None else f"{100 * values.mean():.0f} ± {100 * error:.0f} %"


def signed(values: np.ndarray) -> str:
    """A mean difference of shares and its standard error in points, such as "+4 ± 2 points"."""
    error = standard_error(values)
    return f"{100 * values.mean():+.0f}" + ("" if error is None else f" ± {100 * error:.0f}") + " points"


def served_population(
    url: str,
    model: str,
    task,
    *,
    prompts: int = 128,
    rollouts: int = 64,
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    api_key: str | None = None,
    seed: int = 0,
    votes: int = 8,
    folder: str | os.PathLike | None = None,
    concurrency: int = 4,
    timeout: float = 600.0,
    retries: int = 6,
    progress=None,
) -> tuple[Population, Prior, Cost]:
    """What `probe_model` learns from rollouts, of a model behind `url`: (population, prior, cost).

    The first `prompts` evaluation prompts of `task` (fewer if it has fewer), `rollouts` completions each of
    at most `max_new_tokens` tokens (None: the task's own length), sent as they are to `/completions`; where
    the server has no such endpoint, as one user message to `/chat/completions`, whose template changes the
    law: a warning says so. `votes`: size of the groups whose majority the prior metrics are of, as in the run
    to be forecast.

    The law is the server's: temperature, top_p=1 and a seed for every request are passed on, but a server may
    also apply top-k or penalties of the model's own generation settings (vLLM does unless started with
    --generation-config vllm) or ignore what it is told.

    With `folder`, answers are kept there as they arrive, and a later call draws only those that are missing.
    The cost is that of all answers, earlier sittings included: the server's own token counts (a prompt counts
    once a request), and the seconds waited. `concurrency` requests are under way at once; each is tried
    `retries` times more, with growing pauses, after a 408, 409, 429 or 5xx, a broken connection or `timeout`
    seconds.

    Raises:
        InputError: a bad argument, a model the server does not know, a rejected key or request, something
            that is not such a server, or a folder of other answers.
        ConnectionError: the server does not answer, or is too busy, after all tries.
    """
    drawn = served_answers(
        url,
        model,
        task,
        prompts=prompts,
        rollouts=rollouts,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        api_key=api_key,
        seed=seed,
        votes=votes,
        folder=folder,
        concurrency=concurrency,
        timeout=timeout,
        retries=retries,
        progress=progress,
    )
    population = answer_population(task, drawn.problems, drawn.answers)
    return population, prior_of(drawn.answers.ids, drawn.correct, votes), drawn.cost
