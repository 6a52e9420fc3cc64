"""The voices of theory: what mean fields and the retention radius say of a probed model. Shown for
comparison; they do not speak.
"""

from llm_bridge.forecast.probe import Probe
from llm_bridge.training.settings import RunSettings
from sharpening.voices import adam_boost, coupled_trajectory, uncoupled_trajectory


def step_size(probe: Probe, settings: RunSettings) -> float:
    """Learning rate on answer logits that goes with the probe's kernel."""
    boost = (
        adam_boost(probe.coupling["gram_ratio"], settings.prompts_per_step)
        if settings.optimizer == "adam"
        else 1.0
    )
    return settings.learning_rate * boost


def uncoupled_voice(probe: Probe, settings: RunSettings):
    """Each evaluation prompt trained on its own, visited as often as a data set of its size would be."""
    visits = 1 / (settings.dataset_size or probe.population.num_prompts)
    return uncoupled_trajectory(
        probe.population,
        settings.reward,
        private=probe.coupling["private"],
        learning_rate=step_size(probe, settings),
        num_steps=settings.max_steps,
        visits_per_step=visits,
        eval_every=settings.eval_every,
        optimizer=settings.optimizer,
    )


def coupled_voice(probe: Probe, settings: RunSettings):
    """The mean field with the measured kernel."""
    return coupled_trajectory(
        probe.population,
        settings.reward,
        private=probe.coupling["private"],
        shared=probe.coupling["shared"],
        learning_rate=step_size(probe, settings),
        num_steps=settings.max_steps,
        prompts_per_step=settings.prompts_per_step,
        eval_every=settings.eval_every,
        optimizer=settings.optimizer,
    )


def radius_voice(probe: Probe, settings: RunSettings):
    """The plain baseline: the retention curve, its noise read as learning_rate × step."""
    return probe.radius.trajectory(settings.learning_rate, settings.max_steps, settings.eval_every)
