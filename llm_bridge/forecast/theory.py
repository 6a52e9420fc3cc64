"""The voices of theory: what mean fields and the retention radius say of a probed model. Shown for
comparison; they do not speak.
"""

from llm_bridge.forecast.probe import Probe
from llm_bridge.training.settings import RunSettings
from sharpening.trajectory import Trajectory


def step_size(probe: Probe, settings: RunSettings) -> float:
    """Learning rate on answer logits that goes with the probe's kernel."""
    from sharpening.voices import adam_boost

    boost = (
        adam_boost(probe.kernel.gram_ratio, settings.prompts_per_step)
        if settings.optimizer == "adam"
        else 1.0
    )
    return settings.learning_rate * boost


def uncoupled_voice(probe: Probe, settings: RunSettings):
    """Each evaluation prompt trained on its own, visited as often as a data set of its size would be."""
    from sharpening.voices import uncoupled_trajectory

    visits = 1 / (settings.dataset_size or probe.population.num_prompts)
    return uncoupled_trajectory(
        probe.population,
        settings.parsed_reward,
        private=probe.kernel.private,
        learning_rate=step_size(probe, settings),
        num_steps=settings.max_steps,
        visits_per_step=visits,
        eval_every=settings.eval_every,
        optimizer=settings.optimizer,
    )


def coupled_voice(probe: Probe, settings: RunSettings):
    """The mean field with the measured kernel."""
    from sharpening.voices import coupled_trajectory

    return coupled_trajectory(
        probe.population,
        settings.parsed_reward,
        private=probe.kernel.private,
        shared=probe.kernel.shared,
        learning_rate=step_size(probe, settings),
        num_steps=settings.max_steps,
        prompts_per_step=settings.prompts_per_step,
        eval_every=settings.eval_every,
        optimizer=settings.optimizer,
    )


def radius_voice(probe: Probe, settings: RunSettings):
    """The plain baseline: the retention curve, its noise read as learning_rate × step."""
    return probe.radius.trajectory(settings.learning_rate, settings.max_steps, settings.eval_every)


VOICES = {"uncoupled": uncoupled_voice, "coupled": coupled_voice, "radius": radius_voice}


def theory_voices(probe: Probe, settings: RunSettings, names, progress) -> dict[str, Trajectory]:
    """The predicted trajectory of each named voice of theory; other names are left out."""
    asked = [name for name in VOICES if name in names]
    bar = progress.start("voices", len(asked))
    found = {}
    for name in asked:
        found[name] = VOICES[name](probe, settings)
        bar.advance()
    bar.close()
    return found
