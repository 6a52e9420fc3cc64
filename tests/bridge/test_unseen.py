"""What a planned run has that no calibrated run had, in words."""

import pytest
from trl import GRPOConfig

from llm_bridge.forecast.clock import CONSTANT
from llm_bridge.forecast.unseen import unseen_kinds
from llm_bridge.training.planned import TrainerSettings, config_told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epsilon": 0.1, "epsilon_high": 0.28}, []),  # one update on a batch: ratios are 1
        ({"num_iterations": 2}, ["2 updates on one batch of completions"]),
        (
            {"num_iterations": 2, "epsilon_high": 0.28},
            ["2 updates on one batch of completions, ratios clipped at 1 - 0.2 and 1 + 0.28"],
        ),
        (
            {"steps_per_generation": 4, "epsilon": 3e-4},
            ["4 updates on one batch of completions, ratios clipped at 1 - 0.0003 and 1 + 0.0003"],
        ),
    ],
)
def test_clipped_ratios_are_told_where_they_have_a_say(changes, told, tmp_path):
    plain = dict(weight_decay=0.0, max_grad_norm=1.0, use_cpu=True, bf16=False, report_to=[])
    config = GRPOConfig(str(tmp_path), **(plain | changes))
    settings = TrainerSettings(trl=config_told(config))
    found = unseen_kinds(settings, num_parameters=1000, clock=CONSTANT, reward_known=True)
    assert found == told
