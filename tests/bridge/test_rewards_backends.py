"""Every reward on torch tensors: the numbers of the NumPy oracle, the types of torch, and no JAX."""

import subprocess
import sys

import numpy as np
import pytest
from reward_oracle import GROUP, group, random_case, token_table
from reward_oracle_exact import EXACT, exact, random_policies

from sharpening import TokenStatistics, get_reward

torch = pytest.importorskip("torch")


@pytest.fixture
def float64():
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(kept)


def tensors(signals, dtype):
    """Arrays as tensors; scalars as they are."""
    made = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in signals.items()
    }
    return {
        name: value.to(dtype) if getattr(value, "dtype", None) == torch.float64 else value
        for name, value in made.items()
    }


def grouped(spec, case, dtype):
    fields = tensors(dict(mask=case.mask, answer_mask=case.answer_mask, **token_table(case)), dtype)
    tokens = TokenStatistics(vocab_size=case.logits.shape[-1], **fields)
    told = tensors(dict(answers=case.answers, is_correct=case.is_correct, **case.signals()), dtype)
    return get_reward(spec).group(**told, tokens=tokens)


@pytest.mark.parametrize("spec", sorted(GROUP))
def test_groups_of_tensors(spec, float64):
    for seed in range(4):
        case = random_case(seed, temperature=(0.7, 1.3)[seed % 2])
        found = grouped(spec, case, torch.float64)
        assert isinstance(found, torch.Tensor) and found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), group(spec, case), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("spec", sorted(GROUP))
def test_groups_in_the_precision_of_training(spec):
    """float32 statistics, torch's default dtype."""
    case = random_case(7)
    found = grouped(spec, case, torch.float32)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), group(spec, case), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("spec", sorted(EXACT))
def test_policies_as_tensors(spec):
    for seed in range(6):
        p = random_policies(seed)
        found = get_reward(spec).exact(
            torch.tensor(p.log_probs), torch.tensor(p.correct), **tensors(p.signals(), torch.float64)
        )
        assert isinstance(found, torch.Tensor) and found.dtype == torch.float64
        np.testing.assert_allclose(found.numpy(), exact(spec, p), rtol=1e-6, atol=1e-12)


def test_statistics_of_tensors():
    p = random_policies(3)
    columns = np.array([[0, 2, 2], [1, 1, 4], [3, 0, 0]])
    found = TokenStatistics.of_categorical(torch.tensor(p.log_probs), torch.tensor(columns))
    expected = TokenStatistics.of_categorical(p.log_probs, columns)
    for name in ("mask", "log_prob", "entropy", "uniform_cross_entropy", "gap"):
        np.testing.assert_allclose(getattr(found, name).numpy(), getattr(expected, name), rtol=1e-12)


def test_training_with_tensors_loads_no_jax():
    code = (
        "import sys, torch; from sharpening.rewards import REWARDS, TokenStatistics; z = torch.zeros(1, 2,"
        " 1); t = TokenStatistics(z == 0, z, z, z, z, 4); REWARDS['self-certainty'].group(None, tokens=t);"
        " REWARDS['majority'].group(torch.tensor([[1, 1]])); print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
