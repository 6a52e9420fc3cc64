"""Ratios, clipping and temperature against TRL's own loss, on a model whose logits are a table."""

import math

import numpy as np
import pytest
import torch
from tiny import WIDTH, markov_model, save
from transformers import AutoModelForCausalLM
from trl import GRPOTrainer
from trl_runs import config, sums, vote

from llm_bridge.console.quiet import quiet_libraries
from sharpening import GRPO
from sharpening.updates.policy import Policy

ROLLOUTS = 8


@pytest.mark.parametrize(
    "beta, corrected, temperature", [(0.0, True, 1.0), (0.3, True, 0.7), (0.3, False, 1.0)]
)
def test_the_direction_is_minus_the_gradient_of_trls_loss(tmp_path, beta, corrected, temperature):
    """On logits z of the token after "=", rollouts of an older policy, some of them clipped on either side."""
    told = dict(beta=beta, use_bias_correction_kl=corrected, epsilon=0.15, epsilon_high=0.3, num_iterations=3)
    twin = markov_model({"=": {"1": 0.5, "2": 0.3, "3": 0.15, "4": 0.05}})
    path = save(twin, tmp_path / "model")
    with quiet_libraries():
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(path),
            args=config(tmp_path, loss_type="grpo", temperature=temperature, **told),
            reward_funcs=vote(),
            train_dataset=sums(),
            processing_class=twin.tokenizer,
        )
    rng, size = np.random.default_rng(1), len(twin.tokenizer)
    index = twin.tokenizer.get_vocab()
    norm = math.sqrt(1 / WIDTH + twin.model.config.rms_norm_eps)
    column = twin.model.lm_head.weight[:size, index["="]]
    z = column.detach().numpy() / norm
    answers = rng.choice([index[digit] for digit in "1234"], size=(1, ROLLOUTS))
    rewards = rng.normal(size=(1, ROLLOUTS))

    def log_policy(logits):
        scaled = logits[None] / temperature
        return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))

    old, reference = (log_policy(z + rng.normal(0, 0.6, size)) for _ in range(2))
    update = GRPO(1.0, **told)
    found = update.reused_group_direction(
        Policy.of(log_policy(z)), Policy.of(old), answers, rewards, reference
    )
    advantages = (rewards[0] - rewards[0].mean()) / (rewards[0].std(ddof=1) + 1e-4)
    ratios = np.exp((log_policy(z) - old)[0, answers[0]])
    clipped = np.where(advantages > 0, ratios > 1.3, ratios < 0.85)
    assert 0 < clipped.sum() < ROLLOUTS

    ones = torch.ones(ROLLOUTS, 1, dtype=torch.long)
    inputs = {
        "prompt_ids": ones * index["="],
        "prompt_mask": ones,
        "completion_ids": torch.tensor(answers.T),
        "completion_mask": ones,
        "advantages": torch.tensor(advantages, dtype=torch.float32),
        "old_per_token_logps": torch.tensor(old[0, answers.T], dtype=torch.float32),
        "ref_per_token_logps": torch.tensor(reference[0, answers.T], dtype=torch.float32),
        "num_items_in_batch": torch.tensor(ROLLOUTS),
    }
    trainer.model.eval()
    trainer._compute_loss(trainer.model, inputs).backward()
    gradient = trainer.model.lm_head.weight.grad[:size, index["="]].numpy() * norm
    np.testing.assert_allclose(np.asarray(found)[0] / temperature, -gradient, atol=3e-6)
