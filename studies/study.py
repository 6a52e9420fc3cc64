"""A study is a list of measured runs and of forecasts; its results are one small JSON file with everything
that made it.
"""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from llm_bridge import RunSettings
from sharpening.trajectory import write_json
from studies.probing import probe_record, probe_runs

RESULTS = Path(__file__).parent / "results"
TRAINING = ("torch", "transformers", "trl")
PACKAGES = (*TRAINING, "jax", "numpy")


@dataclass(frozen=True)
class Run:
    """One measured run: a model, a task and its settings, under a label that groups the seeds."""

    label: str
    model: str
    task: str
    settings: RunSettings

    def folder(self, folder: Path) -> Path:
        """Where the run is kept below the study's folder."""
        return folder / f"{self.label}-seed{self.settings.seed}".replace("/", "_").replace(" ", "_")


@dataclass(frozen=True)
class Study:
    """Measured runs and forecasts under one name.

    runs: what to train. forecasts: what to forecast (a Run each, its seed is the probe's). workers: runs at a
    time, one thread each (1: all threads for one run). stop_on_collapse: a run ends once its criterion is
    met, which saves the steps of a dead model.
    prepare: makes the model that a run names, below the folder, before the first run: (name, folder) to what
    `measure` loads.
    probed: whether each model is probed too, once for all learning rates and seeds. metrics: the curves that
    the result keeps (None: all). `run` skips whatever `folder` already holds, so that an interrupted study
    goes on where it stopped; `collect` makes the result of what is finished.
    """

    name: str
    description: str
    command: str
    runs: Callable[[], list[Run]]
    forecasts: Callable[[], list[Run]] = field(default=lambda: [])
    workers: int = 2
    stop_on_collapse: bool = False
    prepare: Callable[[str, Path], str] = lambda name, folder: name
    probed: bool = False
    metrics: tuple[str, ...] | None = None

    def run(self, folder: Path, progress=None) -> dict:
        from joblib import Parallel, delayed

        from llm_bridge.console.progress import NullProgress

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        jobs = self._jobs()
        models = dict.fromkeys(run.model for _, run in jobs)
        prepared = Parallel(n_jobs=self.workers)(delayed(self.prepare)(name, folder) for name in models)
        loaded = dict(zip(models, prepared, strict=True))
        bar = (progress or NullProgress()).start(self.name, len(jobs))
        records = []
        calls = (
            delayed(job)(
                replace(run, model=loaded[run.model]), folder, self.workers == 1, self.stop_on_collapse
            )
            for job, run in jobs
        )
        for record in Parallel(n_jobs=self.workers, return_as="generator")(calls):
            records.append(record)
            bar.advance()
        bar.close()
        return self._write(records, folder)

    def collect(self, folder: Path) -> dict:
        """The result of the runs, forecasts and probes that `folder` holds finished; nothing is computed.

        Raises: InputError where there is none.
        """
        from sharpening import InputError

        folder = Path(folder)
        done = [
            (job, replace(run, model=self.prepare(run.model, folder)))
            for job, run in self._jobs()
            if _is_done(job, run, folder)
        ]
        records = [job(run, folder, False, self.stop_on_collapse) for job, run in done]
        if not records:
            raise InputError(
                "output",
                str(folder),
                f"it holds no finished run of the study {self.name}",
                "Run the study first",
            )
        return self._write(records, folder)

    def _jobs(self) -> list:
        runs = self.runs()
        probes = probe_runs(runs) if self.probed else {}
        return (
            [(_measure, run) for run in runs]
            + [(_forecast, run) for run in self.forecasts()]
            + [(partial(_probe, rates), run) for run, rates in probes.items()]
        )

    def _write(self, records, folder: Path) -> dict:
        for record in records:
            if self.metrics is not None and "curve" in record:
                record["curve"] = {
                    name: values
                    for name, values in record["curve"].items()
                    if name in ("step", *self.metrics)
                }
        made = made_with(self.name, self.command)
        result = {
            **made,
            "versions": made["versions"] | {"python": platform.python_version()},
            "runs": [record for record in records if record["kind"] == "measured"],
            "forecasts": [record for record in records if record["kind"] == "forecast"],
        }
        if self.probed:
            result["probes"] = [record for record in records if record["kind"] == "probe"]
        (folder / "result.json").write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
        return result


def made_with(study: str, command: str, packages=PACKAGES) -> dict:
    """What a result says of its making: study, command, date and versions."""
    return {
        "study": study,
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "versions": {name: version(name) for name in packages},
    }


def load_result(name: str) -> dict:
    """The committed result of a study."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def task_of(name: str):
    """A task of the studies alone, or a built-in one."""
    from llm_bridge import get_task
    from studies.blind_tasks2 import EVERY_TASK
    from studies.continents import Continents
    from studies.known_capitals import KnownCapitals

    own = EVERY_TASK | {task.name: task for task in (KnownCapitals, Continents)}
    return own[name]() if name in own else get_task(name)


def _prepare(all_threads: bool):
    import torch

    if not all_threads:
        torch.set_num_threads(1)


def _measure(run: Run, folder: Path, all_threads: bool, stop_on_collapse: bool) -> dict:
    _prepare(all_threads)
    return measured_record(run, folder, stop_on_collapse)


def measured_record(run: Run, folder: Path, stop_on_collapse: bool) -> dict:
    """A run below the study's folder, trained or read back, as the plain data that a result holds of it."""
    from llm_bridge import measure
    from llm_bridge.report.document import measurement_document

    target = run.folder(folder)
    found = measure(
        run.model, task_of(run.task), run.settings, output_dir=target, stop_on_collapse=stop_on_collapse
    )
    document = measurement_document(found)
    return {"kind": "measured", "label": run.label, "task": run.task, **_small(document)}


def _forecast(run: Run, folder: Path, all_threads: bool, _) -> dict:
    _prepare(all_threads)
    from llm_bridge import forecast_model
    from llm_bridge.report.document import forecast_document

    target = folder / f"{run.folder(folder).name}.forecast.json"
    if not target.is_file():
        document = forecast_document(forecast_model(run.model, task_of(run.task), run.settings))
        write_json(target, document)
    document = json.loads(target.read_text())
    small = {key: document[key] for key in ("verdict", "alignment", "coupling", "prior", "cost", "speaker")}
    voices = {name: voice["collapse"] for name, voice in document["voices"].items()}
    return {
        "kind": "forecast",
        "label": run.label,
        "settings": _changed(document["settings"]),
        "voices": voices,
        **small,
        "model": Path(document["model"]).name,
    }


def _probe(rates: tuple[float, ...], run: Run, folder: Path, all_threads: bool, _) -> dict:
    _prepare(all_threads)
    record = probe_record(run, rates, task_of(run.task), _probe_file(run, folder))
    return {
        "kind": "probe",
        "label": run.label,
        "task": run.task,
        "model": Path(run.model).name,
        "settings": _changed(run.settings.as_dict()),
        **record,
    }


def _probe_file(run: Run, folder: Path) -> Path:
    return folder / f"{run.folder(folder).name}.json"


def _is_done(job, run: Run, folder: Path) -> bool:
    if job is _measure:
        return (run.folder(folder) / "cost.json").is_file()
    return (folder / f"{run.folder(folder).name}.{'forecast.' if job is _forecast else ''}json").is_file()


def _small(document: dict) -> dict:
    curve = {
        name: [None if v is None else round(v, 4) for v in values]
        for name, values in document["curve"].items()
    }
    return {
        "model": Path(document["model"]).name,
        "settings": _changed(document["settings"]),
        "floor": document["floor"],
        "collapse": document["collapse"],
        "curve": curve,
        "cost": document["cost"],
    }


def _changed(settings: dict) -> dict:
    """The settings that differ from the defaults, and the seed; what TRL made of them is left to the run's folder."""
    defaults = RunSettings().as_dict()
    return {name: settings[name] for name in defaults if name == "seed" or settings[name] != defaults[name]}
