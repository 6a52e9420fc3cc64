"""sweep: the runs of `simulate`, compiled once."""

import logging

import jax
import numpy as np
import pytest

from sharpening import GRPO, CompoundSymmetric, InputError, KLProx, Population, TrueReward, simulate, sweep

PRIOR = Population.synthetic(4, 41, 5, coupling=CompoundSymmetric(1.0, 0.8))
GRID = {
    "dataset_size": [5, 30],
    "num_steps": [3, 10],
    "prompts_per_step": [4, 9],
    "beta": [0, 0.3],
    "learning_rate": [0.5, 1.0],
    "shared": [0.2, 0.8],
}


def assert_the_same(run, population, reward, update, **common):
    once = simulate(population, reward, update, **common)
    assert run.settings == once.settings and run.floor == once.floor
    assert run.step.tolist() == once.step.tolist() and set(run.metrics) == set(once.metrics)
    for name in once.metrics:
        np.testing.assert_allclose(run[name], once[name], rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize(
    "method",
    [
        "sampled",
        pytest.param("mean_field", marks=pytest.mark.thorough),
        pytest.param("exact", marks=pytest.mark.thorough),
    ],
)
def test_a_sweep_is_its_runs_one_by_one_and_compiles_once(method, caplog):
    common = dict(method=method, eval_every=4, key=7, rollouts=4)
    with jax.log_compiles(), caplog.at_level(logging.WARNING, logger="jax"):
        runs = sweep(PRIOR, "majority", GRPO(1.0), GRID, **common)
    compiled = [
        record
        for record in caplog.records
        if "Finished XLA compilation of jit(run_loop)" in record.getMessage()
    ]
    assert len(compiled) == 1 and len(runs) == 64
    assert runs[1].setting == {name: values[0] for name, values in GRID.items()} | {"shared": 0.8}
    for run in (runs[1], runs[46]):
        told = dict(run.setting)
        update = GRPO(told.pop("learning_rate"), beta=told.pop("beta"))
        coupled = PRIOR.replace(coupling=CompoundSymmetric(1.0, told.pop("shared")))
        assert_the_same(run.trajectory, coupled, "majority", update, **told, **common)


def test_names_compile_for_themselves_and_the_order_is_the_grids():
    told = [
        dict(reward="true", update="kl_prox(beta=2)", num_steps=3),
        dict(dataset_size=7, num_steps=4, beta=5.0),
    ]
    weighted = PRIOR.replace(weights=np.arange(1.0, 42.0))
    runs = sweep(weighted, "majority", KLProx(1.0), told, method="mean_field")
    assert [run.setting for run in runs] == told
    assert_the_same(runs[0].trajectory, weighted, TrueReward(), KLProx(2.0), num_steps=3, method="mean_field")


@pytest.mark.parametrize(
    "argument, grid, common",
    [
        ("grid", [], {}),
        ("grid[dataset_size]", {"dataset_size": 32}, {}),
        ("grid[reward]", {"reward": "majority"}, {}),
        ("temprature", {"temprature": [1.0]}, {}),
        ("gamma", {"num_steps": [3]}, {"gamma": 1}),
        ("num_steps", {"beta": [0.1]}, {}),
        ("beta", {"beta": [0.1, -1.0]}, {"num_steps": 3}),
        ("dataset_size", {"dataset_size": [7, 41]}, {"num_steps": 3}),
        ("key", {"key": [1, 2]}, {"num_steps": 3, "key": 0}),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused_before_any_run(argument, grid, common):
    with pytest.raises(InputError) as caught:
        sweep(PRIOR, "majority", GRPO(1.0), grid, **common)
    assert caught.value.argument == argument


@pytest.mark.thorough
def test_a_step_size_too_large_is_blamed_as_in_a_single_run():
    with pytest.raises(InputError, match="not finite"):
        sweep(PRIOR, "true", "natural_gradient", {"learning_rate": [1e308], "num_steps": [9]})
