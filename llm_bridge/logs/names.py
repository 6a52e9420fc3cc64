"""Metric names as trainers write them, and what they are called here. One name is one quantity: a token
entropy is no answer entropy.
"""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from sharpening.errors import InputError
from sharpening.trajectory import METRICS

CALL_KEYS = ("Step", "_step")
"""W&B's own count: one for each call of its log function, not for each optimizer step."""
STEP_KEYS = (
    "global_step",
    "train/global_step",
    "trainer/global_step",
    "training/global_step",
    "step",
    "steps",
    *CALL_KEYS,
)
"""The step column is the first of these that a log has: optimizer steps before counts of log calls."""
RANK_KEYS = ("global_rank", "rank", "process_index", "process_rank", "dp_rank", "local_rank")
"""Who wrote a row, where several processes write."""
RUN_KEYS = ("run_id", "run", "run_name", "Run", "Name", "_run_id", "seed")
"""Which run a row belongs to, where a file holds several."""

ALIASES = {
    **{name: name for name in METRICS},
    "reward": "reward",
    "mean_reward": "reward",
    "reward/mean": "reward",
    "reward_mean": "reward",
    "rewards/mean": "reward",
    "critic/rewards/mean": "reward",
    "critic/score/mean": "reward",
    "score": "reward",
    "frac_reward_zero_std": "frac_reward_zero_std",
    "token_entropy": "token_entropy",
    "policy_entropy": "token_entropy",
    "actor/entropy": "token_entropy",
    "actor/entropy_loss": "token_entropy",
    "acc": "accuracy",
    "ground_truth_reward": "accuracy",
    "ground_truth_ratio": "accuracy",
    "majority_voting_reward": "pseudo_reward",
    "completions/clipped_ratio": "truncated",
    "clipped_ratio": "truncated",
    "response_length/clip_ratio": "truncated",
    "response_length_non_aborted/clip_ratio": "truncated",
    "truncated_ratio": "truncated",
    "actor/kl_loss": "token_kl",
    "completions/max_length": "longest",
    "response_length/max": "longest",
    "completions/mean_length": "mean_length",
    "response_length/mean": "mean_length",
    "completion_length": "mean_length",
    "response_length": "mean_length",
    "completions/mean_terminated_length": "terminated_length",
    "critic/kl": "token_kl",
    "actor/reward_kl_penalty": "token_kl",
    "kl_loss": "token_kl",
    "self_certainty": "self_certainty",
    "actor/self_certainty": "self_certainty",
    "ppl": "perplexity",
    "distinct_majority_answers": "distinct_answers",
    "learning_rate": "_learning_rate",
    "lr": "_learning_rate",
    "actor/lr": "_learning_rate",
    "actor_lr": "_learning_rate",
}
"""Key without its prefix -> name. `entropy` and `kl` are those of answers only beside other answer metrics:
see `canonical`.
"""

UNUSED = (
    "loss",
    "policy_loss",
    "ptx_loss",
    "act_loss",
    "critic_loss",
    "critic_lr",
    "return",
    "total_length",
    "ppo_clip_ratio",
    "terminated_length",
    "grad_norm",
    "epoch",
    "num_tokens",
    "num_input_tokens_seen",
    "step_time",
    "reward_std",
    "rewards/*",
    "completions/*",
    "clip_ratio*",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "train_loss",
    "total_flos",
    "eval_runtime",
    "eval_samples_per_second",
    "eval_steps_per_second",
    "runtime",
    "samples_per_second",
    "steps_per_second",
    "sampling/*",
    "token_kl",
    "pass@*",
    "_timestamp",
    "_runtime",
    "actor/grad_norm",
    "actor/pg_loss",
    "actor/pg_clipfrac*",
    "actor/ppo_kl",
    "critic/rewards/*",
    "critic/score/*",
    "critic/advantages/*",
    "critic/returns/*",
    "response_length/*",
    "response_length_non_aborted/*",
    "prompt_length/*",
    "timing_s/*",
    "timing_per_token_ms/*",
    "perf/*",
    "global_seqlen/*",
    "training/epoch",
    "seed",
    "collapse/criterion_met",
    "collapse/checkpoint",
    "collapse/failed_evaluations",
)
"""Keys that are well known and say nothing about collapse; they are neither judged nor reported."""

_PATTERNS = (
    (re.compile(r"val-core/(?P<set>.+)/acc/mean@\d+"), "accuracy"),
    (re.compile(r"val-core/(?P<set>.+)/acc/maj@\d+/mean"), "label_accuracy"),
    (re.compile(r"val-core/(?P<set>.+)/(?:reward|score)/mean@\d+"), "accuracy"),
    (re.compile(r"val-core/(?P<set>.+)/(?:reward|score)/maj@\d+/mean"), "label_accuracy"),
    (re.compile(r"val/test_score/(?P<set>.+)"), "accuracy"),
    (re.compile(r"(?:eval/)?eval_(?P<set>.+)_pass1"), "accuracy"),
)
"""verl's validation (N rollouts for `mean@N`, votes of N for `maj@N`; a reward or score of 0 and 1 is an accuracy)
and OpenRLHF's.
"""
_IGNORED = (
    re.compile(r"(?:eval/)?eval_.+_pass\d+"),
    re.compile(r"val-(?:core|aux)/.+/(?:std|best|worst|maj|mean)@\d+(?:/(?:mean|std))?"),
)
_PREFIX = re.compile(r"^(?:train|training|eval|evaluation|val|test|collapse)[/_]")
_ANSWER_METRICS = {
    "majority_ratio",
    "mode_retention",
    "distinct_answers",
    "label_accuracy",
    "reward_accuracy",
    "excess_kl",
}


def check_renames(renames: Mapping[str, str]) -> dict[str, str]:
    """The renames, {column: name}, if each name is one that is judged here and none is given twice.

    Raises InputError naming the known ones.
    """
    known = sorted({"step", *(name for name in ALIASES.values() if name[:1] != "_")})
    for name in renames.values():
        if name not in known:
            raise InputError("map", name, f"known names are {', '.join(known)}", "Write --map NAME=COLUMN")
    if len(set(renames.values())) < len(renames):
        raise InputError("map", ", ".join(renames), "two columns have one name", "Give each name once")
    return dict(renames)


def canonical(keys, renames: Mapping[str, str] | None = None) -> tuple[dict[str, str], list[str], list[str]]:
    """({key: name} for the keys that are judged, [keys that nobody knows], [keys left for another of the same
    name]).

    Of keys with one name, an evaluation's comes before training's, then a plain key before a prefixed one,
    then alphabetical order: the order of columns decides nothing.
    """
    names, unknown, renames = {}, [], renames or {}
    for key in keys:
        if key in renames:
            if renames[key] != "step":
                names[key] = renames[key]
            continue
        if key in STEP_KEYS or key in RANK_KEYS or key in RUN_KEYS:
            continue
        bare = _PREFIX.sub("", key).removeprefix("ensemble/")
        name = ALIASES.get(key) or ALIASES.get(bare) or _by_pattern(key)
        if name is not None:
            names[key] = name
        elif not _unused(key, bare):
            unknown.append(key)
    if not _ANSWER_METRICS & set(names.values()):
        names = {
            key: {"entropy": "token_entropy", "kl": "token_kl"}.get(name, name)
            if key not in renames
            else name
            for key, name in names.items()
        }
    taken: dict[str, str] = {}
    for key in sorted(
        names, key=lambda key: (key not in renames, not is_evaluation(key), key != names[key], key)
    ):
        taken.setdefault(names[key], key)
    chosen = {key: name for name, key in taken.items()}
    return chosen, unknown, [key for key in names if key not in chosen]


def is_evaluation(key: str) -> bool:
    """Whether a key is that of an evaluation, which measures the model after the step it is logged at."""
    return key.startswith(("eval", "val", "test", "collapse/"))


def is_training(key: str) -> bool:
    """Whether a key is that of the rollouts of a training batch, which the model before that step's update
    gave.
    """
    return key.startswith(("train", "critic/", "actor/", "response_length", "reward/", "rewards/"))


def prompts_of(key: str) -> str | None:
    """Which prompts a key's value is the mean of: the data set of verl's validation, "evaluation", "" where the
    key does not say; None for training batches, which are others at each step.
    """
    for pattern, _ in _PATTERNS:
        if match := pattern.fullmatch(key):
            return match["set"]
    return None if is_training(key) else "evaluation" if is_evaluation(key) else ""


def _by_pattern(key: str) -> str | None:
    return next((name for pattern, name in _PATTERNS if pattern.fullmatch(key)), None)


def _unused(key: str, bare: str) -> bool:
    return any(fnmatchcase(key, pattern) or fnmatchcase(bare, pattern) for pattern in UNUSED) or any(
        pattern.fullmatch(key) for pattern in _IGNORED
    )
