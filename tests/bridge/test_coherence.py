"""The coherence law: what it solves, and that reading it leaves the model as it was."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import get_task, load_model
from llm_bridge.training.prepare import prepared
from studies.coherence import SETTINGS, _Moved, coherence, frozen_updates, shaped_radius, told_step


@given(st.floats(1.1, 1e3), st.floats(1e-6, 1.0))
def test_the_step_solves_the_law_and_lies_between_drift_and_diffusion(ratio, rho):
    step = told_step(ratio, rho, 1.0)
    assert step * (1 + (step - 1) * rho) == pytest.approx(ratio**2, rel=1e-6)
    assert ratio * (1 - 1e-9) <= step <= ratio**2 * (1 + 1e-9)


def test_its_slope_runs_from_two_to_one():
    def slope(rho):
        return np.log(told_step(1.0, rho, 1e-3) / told_step(1.0, rho, 1.1e-3)) / np.log(1.1)

    assert slope(0.0) == slope(-0.1) == pytest.approx(2.0) and slope(1.0) == pytest.approx(1.0)
    assert 1.0 < slope(1e-4) < 2.0


def test_reading_it_moves_no_weight_and_sees_the_run_s_own_updates():
    loaded, task = load_model("addition-weak"), get_task("addition")
    prepared(task, loaded, SETTINGS)
    before = [weight.detach().clone() for weight in loaded.model.parameters()]
    updates, moved = frozen_updates(loaded, task), _Moved(loaded.model)
    # Adam divides each weight's gradient by its own size.
    sizes = updates.square().mean(0)
    assert torch.allclose(sizes[sizes > 0], torch.ones(()), atol=1e-3) and (sizes > 0).float().mean() > 0.9
    assert not torch.equal(updates[0], updates[1])

    prompt = torch.tensor([loaded.tokenizer("12+30=")["input_ids"]])

    def log_probs():
        with torch.no_grad():
            return loaded.model(prompt).logits[0, -1].log_softmax(-1)

    radius = shaped_radius(updates, moved, lambda: [str(int(log_probs().argmax()))])
    assert radius is None or radius > 0
    same = torch.stack([updates[0]] * len(updates))
    assert coherence(same, moved, 1e-3, log_probs) == pytest.approx(1.0)
    assert abs(coherence(updates, moved, 1e-3, log_probs)) <= 1.0
    for weight, original in zip(loaded.model.parameters(), before, strict=True):
        assert torch.equal(weight, original)
