"""The pilot: the run's own updates, larger and larger, on a copy."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_bridge import Pilot, RunSettings, get_task, load_model, run_pilot
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.pilot import HELD
from llm_bridge.forecast.probe import Cost
from llm_bridge.sampling.greedy import greedy_replies

TASK = get_task("addition")
SETTINGS = {"eval_prompts": 16, "prompts_per_step": 8, "rollouts": 4}


@quiet_libraries()
def pilot(loaded, first_rate=1e-4, steps=5, **changes):
    cost = Cost()
    return run_pilot(
        loaded,
        TASK,
        RunSettings(**SETTINGS | changes),
        first_rate=first_rate,
        steps=steps,
        growth=2.0,
        prompts=16,
        cost=cost,
    ), cost


@pytest.fixture(scope="module")
def model():
    return load_model("addition-uncertain")


@pytest.fixture(scope="module")
def found(model):
    return pilot(model)


def test_nothing_of_the_model_is_changed_and_the_same_seed_gives_the_same(model, found):
    before = [p.clone() for p in model.model.parameters()]
    again, _ = pilot(model)
    assert all(torch.equal(old, new) for old, new in zip(before, model.model.parameters(), strict=True))
    assert again.as_dict() == found[0].as_dict()


def test_displacement_is_the_sum_of_the_rates(found):
    """Each doubles, and doubles twice while nearly all answers stand; five doublings end at 31 first rates,
    and nothing goes on beyond.
    """
    displacement, kept = found[0].displacement, found[0].metrics["retention"]
    rates = np.diff(displacement)
    assert rates[0] == pytest.approx(1e-4)
    np.testing.assert_allclose(rates[1:] / rates[:-1], np.where(kept[1:-1] >= HELD, 4, 2))
    assert len(rates) <= 5 and (displacement[:-1] < 31e-4 * (1 - 1e-9)).all()
    assert len(rates) == 5 or displacement[-1] >= 31e-4 * (1 - 1e-9)


def weights_along(monkeypatch, loaded, *args, **changes):
    """The throwaway copy's weights whenever its greedy answers are read: at the start and after each step,
    one flat row each.
    """
    rows = []

    def read(model, *rest):
        rows.append(torch.cat([p.detach().reshape(-1) for p in model.parameters()]).double())
        return greedy_replies(model, *rest)

    monkeypatch.setattr("llm_bridge.forecast.pilot.greedy_replies", read)
    found, _ = pilot(loaded, *args, **changes)
    return found, torch.stack(rows)


def test_adams_steps_move_no_weight_further_than_the_displacement_and_most_of_them_as_far_as_the_first(
    model, monkeypatch
):
    found, rows = weights_along(monkeypatch, model)
    moved = (rows - rows[0]).abs()
    assert len(rows) == len(found.displacement) and not found.silent
    assert 0.5e-4 < moved[1].square().mean().sqrt()
    # An Adam step with β₁ = .9, β₂ = .999 is at most the rate on the first, and 7.3 rates in the long run;
    # rates grow, so little of that is seen.
    assert (
        moved[1].max() <= 1e-4 * (1 + 1e-3)
        and (moved.square().mean(dim=1).sqrt().numpy() <= found.displacement * 1.5 + 1e-12).all()
    )


def test_under_sgd_the_first_movement_is_proportional_to_the_rate(model, monkeypatch):
    rows = [weights_along(monkeypatch, model, rate, steps=1, optimizer="sgd")[1] for rate in (1e-3, 3e-3)]
    small, large = ((row[1] - row[0]).norm() for row in rows)
    assert float(large) == pytest.approx(3 * float(small), rel=1e-3)


def test_it_reads_the_rollouts_of_its_steps_and_answers_after_them(found):
    one, cost = found
    steps = len(one.displacement) - 1
    assert len(one.metrics["retention"]) == steps + 1 and one.metrics["retention"][0] == 1
    for name in ("reward_accuracy", "accuracy", "label_accuracy", "majority_ratio", "entropy"):
        assert len(one.metrics[name]) == steps, name
    assert cost.backward_tokens > 0 and cost.generated_tokens > 5 * 8 * 4 and cost.seconds > 0


def test_plain_data_and_back(found):
    again = Pilot.from_dict(json.loads(json.dumps(found[0].as_dict())))
    np.testing.assert_allclose(again.displacement, found[0].displacement, rtol=1e-4)
    assert again.radius == pytest.approx(found[0].radius, rel=1e-4) or math.isinf(again.radius)


def made(retention) -> Pilot:
    displacement = np.concatenate([[0.0], np.geomspace(1e-4, 1e-2, len(retention) - 1)])
    return Pilot(displacement, {"retention": np.array(retention)}, None)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.floats(0.01, 0.99))
def test_reach_lies_where_the_level_is_first_crossed(values, level):
    one = made([1.0, *values])
    reached, curve = one.reach("retention", level), one.metrics["retention"]
    below = np.flatnonzero(curve <= level)
    if not below.size:
        assert math.isinf(reached)
    else:
        j = int(below[0])
        assert (
            one.displacement[max(j - 1, 1)] * (1 - 1e-9)
            <= reached
            <= one.displacement[max(j, 1)] * (1 + 1e-9)
        )


def test_a_hundredfold_pilot_on_a_power_law_finds_its_radius():
    grid = np.concatenate([[0.0], np.geomspace(1e-5, 1e-1, 400)])
    one = Pilot(grid, {"retention": np.exp(-((grid / 0.003) ** 1.5))}, None)
    assert one.radius == pytest.approx(0.003 * math.log(2) ** (2 / 3), rel=1e-3)
