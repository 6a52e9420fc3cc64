"""Metric names as trainers write them, and what they are called here. One name is one quantity: a token
entropy is no answer entropy.
"""

import re
from fnmatch import fnmatchcase

from sharpening.trajectory import METRICS

STEP_KEYS = (
    "step",
    "global_step",
    "_step",
    "Step",
    "steps",
    "trainer/global_step",
    "train/global_step",
    "training/global_step",
)

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
    "completions/mean_length": "mean_length",
    "response_length/mean": "mean_length",
    "completion_length": "mean_length",
    "ppl": "perplexity",
    "distinct_majority_answers": "distinct_answers",
}
"""Key without its prefix -> name. `entropy` and `kl` are those of answers only beside other answer metrics:
see `canonical`.
"""

UNUSED = (
    "loss",
    "grad_norm",
    "learning_rate",
    "lr",
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
    "actor/lr",
    "actor/pg_loss",
    "actor/pg_clipfrac*",
    "actor/ppo_kl",
    "critic/rewards/*",
    "critic/score/*",
    "critic/advantages/*",
    "critic/returns/*",
    "response_length/*",
    "prompt_length/*",
    "timing_s/*",
    "timing_per_token_ms/*",
    "perf/*",
    "global_seqlen/*",
    "training/epoch",
    "seed",
)
"""Keys that are well known and say nothing about collapse; they are neither judged nor reported."""

_PREFIX = re.compile(r"^(?:train|training|eval|evaluation|val|test)[/_]")
_ANSWER_METRICS = {
    "majority_ratio",
    "mode_retention",
    "distinct_answers",
    "label_accuracy",
    "reward_accuracy",
    "excess_kl",
}


def canonical(keys) -> tuple[dict[str, str], list[str]]:
    """({key: name} for the keys that are judged, [keys that nobody knows]); an evaluation's key comes before
    training's.
    """
    names, unknown = {}, []
    for key in keys:
        if key in STEP_KEYS:
            continue
        bare = _PREFIX.sub("", key).removeprefix("ensemble/")
        name = ALIASES.get(key) or ALIASES.get(bare)
        if name is not None:
            names[key] = name
        elif not any(fnmatchcase(key, pattern) or fnmatchcase(bare, pattern) for pattern in UNUSED):
            unknown.append(key)
    if not _ANSWER_METRICS & set(names.values()):
        names = {
            key: {"entropy": "token_entropy", "kl": "token_kl"}.get(name, name) for key, name in names.items()
        }
    taken: dict[str, str] = {}
    for key in sorted(
        names, key=lambda key: (not key.startswith(("eval", "val", "test")), list(names).index(key))
    ):
        taken.setdefault(names[key], key)
    return {key: name for name, key in taken.items()}, unknown
