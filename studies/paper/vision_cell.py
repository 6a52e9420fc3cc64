"""Runs and forecasts of models that see, and what the runs ended in."""

from pathlib import Path


def sighted(settings: dict, folder: Path) -> dict:
    """As the kind `trained`, on prompts with images; beside it `attractor`, what the greedy answers of the last step
    have in common that those of the first had not, and `told`, the same in words.
    """
    from studies.paper.cells import trained

    record = trained(settings | {"keep_checkpoints": True}, folder)
    return record | ending(settings, folder)


def ending(settings: dict, folder: Path) -> dict:
    """The rules that the last checkpoint's answers follow."""
    from llm_bridge import RunSettings, describe, get_task, load_model
    from llm_bridge.models.pictures import MARK
    from llm_bridge.sampling.cost import Cost
    from llm_bridge.sampling.greedy import greedy_replies
    from llm_bridge.training.prepare import prepared

    run = RunSettings(**settings["run"])
    last = max(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    replies = []
    for name in (settings["model"], str(last)):
        loaded = load_model(name)
        task = prepared(get_task(settings["task"]), loaded, run)
        problems = task.split(run.eval_prompts, run.dataset_size)[1]
        length = run.max_new_tokens or task.max_new_tokens
        replies.append(
            greedy_replies(loaded.model, loaded.tokenizer, task, problems, length, Cost(), grey=True)
        )
    asked = [MARK.sub("", problem.question) for problem in problems]
    rule = describe(asked, replies[1], replies[0])[0]
    return {"attractor": rule.as_dict(), "told": rule.text}


def foretold(settings: dict, folder: Path) -> dict:
    """The forecast of a run: `model`, `task`, `run`, by one pilot for each of `seeds`, which follow one another. Its
    steps, chances and what its pilots fell into.
    """
    from llm_bridge import RunSettings, forecast_model, get_task
    from llm_bridge.forecast.calibration.survival import CALIBRATED

    run = RunSettings(**settings["run"])
    # A reward that no calibration knows has no pilot.
    pilots = len(settings["seeds"]) if run.reward in CALIBRATED else 1
    found = forecast_model(settings["model"], get_task(settings["task"]), run, pilots=pilots)
    return {
        "verdict": found.verdict,
        "forecast": {
            name: {
                "step": step.step,
                "outcome": step.outcome.value,
                "low": step.low,
                "high": step.high,
                "level": step.level,
            }
            for name, step in found.collapse.items()
        },
        "medians": {name: one["median"] for name, one in found.distribution.items()},
        "fates": found.fates,
        "safe_learning_rate": found.safe_learning_rate,
        "pilot_blind": [pilot["metrics"].get("blind_retention", []) for pilot in found.pilot_records],
        "pilot_attractor": [pilot["attractor"][-1:] for pilot in found.pilot_records],
        "unseen": (found.calibration or {}).get("unseen", []),
        "cost": {name: value for name, value in found.cost.items() if name != "seconds"},
        "seconds": found.cost["seconds"],
    }
