"""The ground truth of the studies as the files that `sharpening measure` and `sharpening forecast` write."""

import json
from pathlib import Path

from llm_bridge import RunSettings
from studies.fitting import group_key, probes_by_key
from studies.study import load_result

STUDY = load_result("ground-truth")


def documents(study=STUDY, *, models=None, unlabelled=False) -> tuple[list[dict], list[dict]]:
    """(measurements, forecasts) of a study's runs and probes, of all models or of some."""
    probes = probes_by_key(study)
    wanted = [run for run in study["runs"] if group_key(run) in probes]
    wanted = [run for run in wanted if models is None or run["model"] in models]
    keys = {group_key(run) for run in wanted}
    runs = [
        _head("measurement", run)
        | {"interrupted": False, "collapse": run["collapse"], "curve": run["curve"], "floor": run["floor"]}
        for run in wanted
    ]
    forecasts = [
        _head("forecast", probe)
        | {name: probe[name] for name in ("prior", "coupling")}
        | {"pilot_records": probe["pilots"], "weight_noise": _noise(probe)}
        for key, probe in probes.items()
        if key in keys
    ]
    # The study stays as it is whatever a test does to its copy.
    found = json.loads(json.dumps([runs, forecasts]))
    return tuple([_unlabelled(one) for one in some] if unlabelled else some for some in found)


def _noise(probe: dict) -> dict:
    told = probe["noise"]
    return {"noise": told["noise"], "retention": told["kept"], "num_parameters": probe["num_parameters"]}


def _head(kind: str, record: dict) -> dict:
    settings = RunSettings(**record["settings"]).as_dict()
    return {"schema": 1, "kind": kind, "model": record["model"], "task": record["task"], "settings": settings}


def _unlabelled(document: dict) -> dict:
    """What the same run or probe tells of a task without true answers."""
    if document["kind"] == "forecast":
        for name in ("accuracy", "label_accuracy", "reward_accuracy"):
            del document["prior"][name]
        for pilot in document["pilot_records"]:
            pilot["floor"] = None
            for name in ("accuracy", "label_accuracy", "reward_accuracy"):
                pilot["metrics"].pop(name, None)
        return document
    for name in ("accuracy", "reward_accuracy"):
        document["curve"].pop(name, None)
    for name in ("absolute", "relative", "half_life", "accuracy_peak"):
        document["collapse"][name] = {"step": None, "outcome": "unavailable"}
    return document | {"floor": None}


def write(folder: Path, found: list[dict]) -> list[Path]:
    """One file for each document."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{one['kind']}-{number}.json" for number, one in enumerate(found)]
    for file, one in zip(files, found, strict=True):
        file.write_text(json.dumps(one))
    return files
