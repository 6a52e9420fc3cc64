"""Rewards and updates of `sharpening` on real transformers: forecast collapse, measure it, watch live runs.

Public names are imported when first used, so `import llm_bridge` loads neither torch nor transformers.
"""

import lazy_loader

from sharpening.moved import Moved

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "exact": ("ExactModel", "ExactTraining"),
        "forecast.attractors": ("Attractor", "describe"),
        "forecast.calibration.outcome": ("Chance", "Rise"),
        "forecast.calibration.survival": ("Calibration", "FailureTime", "load_calibration"),
        "forecast.gradient_products": ("CountSketch", "sketched_gram"),
        "forecast.kernel": ("Kernel",),
        "forecast.model": ("forecast_model",),
        "forecast.pilot": ("Pilot", "run_pilot"),
        "forecast.prior": ("Prior",),
        "forecast.result": ("ForecastStep", "ModelForecast"),
        "forecast.schedule": ("ModelSchedule", "schedule_model"),
        "forecast.trainer": ("forecast_trainer",),
        "forecast.served": ("ServedForecast", "forecast_served", "served_population"),
        "logs": ("read_log",),
        "models.built_in": ("built_in_folder", "list_models"),
        "models.loading": ("LoadedModel", "load_model"),
        "sampling.served_answers": ("ServedAnswers", "served_answers"),
        "tasks": ("Problem", "TASKS", "Task", "get_task"),
        "training.evaluation": ("Evaluator",),
        "training.mcs": ("ModelCollapseStep", "mcs_settings", "measure_mcs", "model_collapse_step"),
        "training.measure": ("measure",),
        "training.measurement": ("Measurement",),
        "training.monitor": ("CollapseMonitor",),
        "training.reward_function": ("TaskReward", "majority_reward"),
        "training.settings": ("RunSettings",),
        "verifiers": ("Verifier", "get_verifier", "register_verifier"),
    },
)

Moved.install(
    {
        f"llm_bridge.{former}": tuple(f"llm_bridge.{home}" for home in homes)
        for former, homes in {
            "attractors": ("forecast.attractors",),
            "calibration.outcome": ("forecast.calibration.outcome",),
            "calibration.survival": ("forecast.calibration.survival",),
            "calibration": ("forecast.calibration",),
            "forecasting": ("forecast.model",),
            "monitor": ("training.monitor",),
            "pilot": ("forecast.pilot",),
            "projections": ("forecast.gradient_products",),
            "results": ("forecast.result", "training.measurement", "report.words"),
            "rewards": ("training.reward_function",),
            "served": ("forecast.served", "sampling.served_answers", "sampling.server"),
            "served_forecast": ("forecast.served",),
            "settings": ("training.settings",),
            "train": ("training.measure", "training.trainer"),
        }.items()
    }
)
