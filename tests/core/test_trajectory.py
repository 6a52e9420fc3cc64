"""Laws of the Trajectory: what is saved comes back to the last bit, a failed write harms nothing, nonsense is
refused.
"""

import json
import math
import os
import pickle
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharpening import METRICS, InputError, Trajectory
from sharpening.trajectory import early_steps, is_evaluated, write_json
from sharpening.trajectory_text import sparkline

values = st.floats(allow_infinity=False, width=64)
names = st.sampled_from([*METRICS, "train_accuracy"])


class TestEvaluatedSteps:
    @given(st.integers(1, 500))
    def test_early_steps_grow_and_never_leave_a_larger_gap(self, every):
        """Each is at most twice, from 3 on at most 5/3 of the one before, and no two are more than `every` apart."""
        steps = [step for step in range(1, 2001) if is_evaluated(step, every, early=True)]
        gaps = np.diff([0, *steps])
        assert max(gaps) <= every
        first = [step for step in steps if step <= early_steps(every)[-1]]
        assert tuple(first) == early_steps(every)
        assert all(after <= 5 / 3 * before or before < 3 for before, after in pairwise(first))
        assert all(step % every == 0 for step in steps[len(first) :])

    def test_the_first_of_them(self):
        steps = [step for step in range(1, 281) if is_evaluated(step, 40, early=True)]
        assert steps == [1, 2, 3, 5, 8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 200, 240, 280]
        assert [step for step in range(1, 10) if is_evaluated(step, 4)] == [4, 8]


@st.composite
def trajectories(draw):
    step = np.cumsum([0, *draw(st.lists(st.integers(1, 500), max_size=6))])
    metrics = draw(st.dictionaries(names, arrays(np.float64, len(step), elements=values), max_size=5))
    floor = draw(st.none() | st.floats(0, 1))
    settings = draw(
        st.dictionaries(
            st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(max_size=5), max_size=3
        )
    )
    return Trajectory(
        step, metrics, floor, draw(st.sampled_from(["simulated", "measured", "predicted"])), settings
    )


def assert_same(one, two):
    assert (one.floor, one.source, one.settings) == (two.floor, two.source, two.settings)
    assert one.step.tolist() == two.step.tolist() and list(one.metrics) == list(two.metrics)
    for name in one.metrics:
        np.testing.assert_array_equal(one[name], two[name], strict=True)


@given(trajectories())
def test_what_is_saved_comes_back_to_the_last_bit(tmp_path_factory, trajectory):
    path = tmp_path_factory.mktemp("saved") / "run.json"
    assert trajectory.save(path) == path
    assert_same(Trajectory.load(path), trajectory)
    assert os.listdir(path.parent) == ["run.json"]
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@given(trajectories())
def test_pickling_keeps_everything(trajectory):
    assert_same(pickle.loads(pickle.dumps(trajectory)), trajectory)


@given(trajectories())
def test_curves_and_frames_hold_the_same_numbers(trajectory):
    pandas = pytest.importorskip("pandas")
    curve, frame = trajectory.curve(), trajectory.to_pandas()
    assert curve["step"] == trajectory.step.tolist() == frame.index.tolist() and frame.index.name == "step"
    assert set(curve) == {"step", *trajectory.metrics} and set(frame.columns) == set(trajectory.metrics)
    for name in trajectory.metrics:
        assert trajectory.has(name)
        assert [math.nan if value is None else value for value in curve[name]] == pytest.approx(
            trajectory[name].tolist(), nan_ok=True, rel=0, abs=0
        )
        pandas.testing.assert_series_equal(
            frame[name], pandas.Series(trajectory[name], index=frame.index, name=name)
        )
    assert len(trajectory) == len(frame) and trajectory.horizon == frame.index[-1]


def test_to_xarray_carries_units_or_says_what_to_install():
    trajectory = Trajectory([0, 5], {"entropy": [1.0, 0.5]}, 0.2)
    try:
        import xarray  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="pip install xarray"):
            trajectory.to_xarray()
    else:
        data = trajectory.to_xarray()
        assert (
            data["entropy"].attrs["units"] == "nats"
            and data["entropy"].sel(step=5) == 0.5
            and data.attrs["floor"] == 0.2
        )


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([], {}), "step"),
        (([0.0, 1.0], {}), "integers"),
        (([1, 2], {}), "starts with step 0"),
        (([0, 2, 2], {}), "increase strictly"),
        (([0, 3, 2], {}), "increase strictly"),
        (([0, 1], {"accuracy": [1.0]}), "accuracy"),
        (([0], {"kl": [math.inf]}), "infinite"),
        (([0], {}, 1.5), "floor"),
        (([0], {}, math.nan), "floor"),
        (([0], {}, None, "dreamt"), "source"),
    ],
    ids=lambda value: str(value),
)
def test_nonsense_is_refused_at_construction(arguments, named):
    with pytest.raises(InputError, match=named):
        Trajectory(*arguments)


def test_a_trajectory_cannot_be_changed_by_accident():
    source = np.array([0.5, 0.25])
    trajectory = Trajectory(np.array([0, 1]), {"accuracy": source})
    source[0] = 9
    assert trajectory["accuracy"][0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        trajectory["accuracy"][0] = 1
    with pytest.raises(TypeError):
        trajectory.metrics["kl"] = source
    with pytest.raises(InputError, match="accuracy"):
        trajectory["kl"]


def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    Trajectory([0], {"accuracy": [0.5]}).save(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="JSON"):
        Trajectory([0], {}, settings={"model": object()}).save(path)
    with pytest.raises(InputError, match="JSON"):
        write_json(path, {"x": math.nan})

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        Trajectory([0], {"accuracy": [0.1]}).save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.json"]
    with pytest.raises(InputError, match="cannot be written"):
        Trajectory([0], {}).save(tmp_path / "missing" / "run.json")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "{}", '{"schema": 99, "curve": {"step": [0]}}', '{"schema": 1, "curve": {}}'],
    ids=repr,
)
def test_a_broken_file_is_named(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InputError, match="broken.json"):
        Trajectory.load(path)
    with pytest.raises(InputError, match="nowhere.json"):
        Trajectory.load(tmp_path / "nowhere.json")


def test_the_glossary_is_complete():
    votes = (
        "accuracy label_accuracy reward_accuracy majority_ratio mode_retention distinct_answers tie_rate"
        " no_answer_rate undecided_rate blind_retention blind_accuracy mode_mass"
    )
    others = (
        "entropy kl excess_kl perplexity mean_length repetition truncated lm_loss true_reward pseudo_reward"
    )
    assert set(METRICS) == {*votes.split(), *others.split()}
    assert {name for name, metric in METRICS.items() if metric.needs_labels} == {
        "accuracy",
        "label_accuracy",
        "reward_accuracy",
        "true_reward",
        "blind_accuracy",
    }
    assert all(metric.unit and metric.meaning for metric in METRICS.values())


def test_the_package_opens_lazily():
    """`import sharpening` loads nothing heavy, no public name is a submodule's too, and an unknown name is an
    AttributeError.
    """
    code = (
        "import sys, sharpening\n"
        "assert not {'jax', 'numpy', 'torch'} & set(sys.modules), 'heavy'\n"
        "import sharpening.simulation.run\n"
        "assert callable(sharpening.simulate) and not hasattr(sharpening, 'nothing_of_the_kind')\n"
        "from sharpening.simulation.run import simulate\n"
        "from sharpening import *\n"
        "assert sharpening.simulate is simulate and set(sharpening.__all__) <= set(dir(sharpening))\n"
        "import pkgutil\n"
        "inside = {m.name for m in pkgutil.iter_modules(sharpening.__path__)}\n"
        "assert inside & set(sharpening.__all__) == {'plots', 'testing'}\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestShown:
    @given(trajectories())
    def test_one_line_a_metric_and_no_page_of_numbers(self, trajectory):
        lines = repr(trajectory).splitlines()
        assert len(lines) == 1 + len(trajectory.metrics) and all(len(line) < 200 for line in lines)
        for line, name in zip(lines[1:], trajectory.metrics, strict=True):
            assert line.split()[0] == name

    @given(arrays(np.float64, st.integers(1, 80), elements=st.floats(-1e6, 1e6) | st.just(math.nan)))
    def test_bars_keep_the_order_of_the_values(self, values):
        bars = sparkline(values, width=80)
        assert len(bars) == len(values)
        known = [(value, bar) for value, bar in zip(values, bars, strict=True) if not math.isnan(value)]
        assert [bar for value, bar in sorted(known)] == sorted(bar for _, bar in known)
        assert all(bar == " " for value, bar in zip(values, bars, strict=True) if math.isnan(value))

    def test_long_curves_keep_their_ends(self):
        assert sparkline(np.linspace(0, 1, 1000)) == "▁▁▁▂▂▂▃▃▃▄▄▄▅▅▅▆▆▆▇▇▇███"
        assert sparkline([0.0] * 999 + [1.0])[-1] == "█" and sparkline([2.0, 2.0]) == "▁▁"

    def test_a_notebook_gets_a_table_in_which_names_are_text(self):
        shown = Trajectory([0, 1], {"<b>": [0.25, 0.5]})._repr_html_()
        assert "&lt;b&gt;" in shown and "<b>" not in shown and "0.25" in shown
