"""A study is a list of measured runs and of forecasts; its results are one small JSON file with everything that made it."""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from llm_bridge.settings import RunSettings

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "trl", "jax", "numpy")


@dataclass(frozen=True)
class Run:
    """One measured run: a model, a task and its settings, under a label that groups the seeds."""

    label: str
    model: str
    task: str
    settings: RunSettings


@dataclass(frozen=True)
class Study:
    """Measured runs and forecasts under one name.

    runs: what to train. forecasts: what to forecast (a Run each, its seed is the probe's). workers: runs at a time, one thread each
    (1: all threads for one run). stop_on_collapse: a run ends once its criterion is met, which saves the steps of a dead model.
    prepare: makes the model that a run names, below the folder, before the first run: (name, folder) to what `measure` loads.
    `run` skips whatever `folder` already holds, so that an interrupted study goes on where it stopped.
    """

    name: str
    description: str
    command: str
    runs: Callable[[], list[Run]]
    forecasts: Callable[[], list[Run]] = field(default=lambda: [])
    workers: int = 2
    stop_on_collapse: bool = False
    prepare: Callable[[str, Path], str] = lambda name, folder: name

    def run(self, folder: Path, progress=None) -> dict:
        from joblib import Parallel, delayed

        from llm_bridge.progress import NullProgress

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [(_measure, run) for run in self.runs()] + [(_forecast, run) for run in self.forecasts()]
        models = dict.fromkeys(run.model for _, run in jobs)
        prepared = Parallel(n_jobs=self.workers)(delayed(self.prepare)(name, folder) for name in models)
        loaded = dict(zip(models, prepared, strict=True))
        bar = (progress or NullProgress()).start(self.name, len(jobs))
        records = []
        calls = (delayed(job)(replace(run, model=loaded[run.model]), folder, self.workers == 1, self.stop_on_collapse) for job, run in jobs)
        for record in Parallel(n_jobs=self.workers, return_as="generator")(calls):
            records.append(record)
            bar.advance()
        bar.close()
        result = {
            "study": self.name, "command": self.command, "date": time.strftime("%Y-%m-%d"),
            "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            "runs": [record for record in records if record["kind"] == "measured"],
            "forecasts": [record for record in records if record["kind"] == "forecast"],
        }
        (folder / "result.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
        return result


def load_result(name: str) -> dict:
    """The committed result of a study."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def _folder_of(run: Run, folder: Path) -> Path:
    return folder / f"{run.label}-seed{run.settings.seed}".replace("/", "_").replace(" ", "_")


def _task(name: str):
    from llm_bridge.experiments.known_capitals import KnownCapitals
    from llm_bridge.tasks import get_task

    return KnownCapitals() if name == KnownCapitals.name else get_task(name)


def _prepare(all_threads: bool):
    import torch

    if not all_threads:
        torch.set_num_threads(1)


def _measure(run: Run, folder: Path, all_threads: bool, stop_on_collapse: bool) -> dict:
    _prepare(all_threads)
    from llm_bridge.report.document import measurement_document
    from llm_bridge.train import measure

    target = _folder_of(run, folder)
    found = measure(run.model, _task(run.task), run.settings, output_dir=target, stop_on_collapse=stop_on_collapse)
    document = measurement_document(found)
    return {"kind": "measured", "label": run.label, "task": run.task, **_small(document)}


def _forecast(run: Run, folder: Path, all_threads: bool, _) -> dict:
    _prepare(all_threads)
    from llm_bridge.forecasting import forecast_model
    from llm_bridge.report.document import forecast_document

    target = folder / f"{_folder_of(run, folder).name}.forecast.json"
    if not target.is_file():
        document = forecast_document(forecast_model(run.model, _task(run.task), run.settings))
        target.write_text(json.dumps(document))
    document = json.loads(target.read_text())
    small = {key: document[key] for key in ("verdict", "alignment", "coupling", "prior", "cost", "speaker")}
    voices = {name: voice["collapse"] for name, voice in document["voices"].items()}
    return {"kind": "forecast", "label": run.label, "settings": _changed(document["settings"]), "voices": voices, **small,
            "model": Path(document["model"]).name}


def _small(document: dict) -> dict:
    curve = {name: [None if v is None else round(v, 4) for v in values] for name, values in document["curve"].items()}
    return {"model": Path(document["model"]).name, "settings": _changed(document["settings"]), "floor": document["floor"],
            "collapse": document["collapse"], "curve": curve, "cost": document["cost"]}


def _changed(settings: dict) -> dict:
    """The settings that differ from the defaults, and the seed."""
    defaults = RunSettings().as_dict()
    return {name: value for name, value in settings.items() if name == "seed" or value != defaults[name]}
