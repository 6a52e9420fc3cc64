"""A live stop in verl: a checkpoint callback that reads the run's own log at every save and ends it at a collapse.

    python -m verl.trainer.main_ppo ... \\
        trainer.checkpoint_callback_class=llm_bridge.logs.verl.StopAtCollapse \\
        trainer.rollout_data_dir=rollouts trainer.save_freq=10 '+trainer.collapse_level=critical'

verl (from 0.9 on, with its trainer v1) makes the object in its driver and calls `on_save` after each checkpoint. What
is read is `trainer.rollout_data_dir` and the file of verl's logger "file"; both end one step before the checkpoint.
"""

import json
import logging
import os
from pathlib import Path

from llm_bridge.logs.finding import LEVELS, Finding, is_at_least
from llm_bridge.logs.read import judge, run_log
from llm_bridge.logs.run_log import merge
from sharpening.errors import InputError

log = logging.getLogger(__name__)
STOPPED = "collapse_stop.json"


class StopAtCollapse:
    """verl's `trainer.checkpoint_callback_class`: `config` is verl's whole configuration.

    `trainer.collapse_level` (critical) is the level from which a finding ends the run, `trainer.collapse_pattern` how
    answers are read (see `read_log`). The run ends after the step that was saved, as if it had been its last but
    for the last validation; why stands in `collapse_stop.json` beside the checkpoints. What cannot be read is
    logged, and the training goes on.

    Raises: InputError at once for an unknown level, and where verl keeps no log that can be read.
    """

    def __init__(self, config=None):
        settings = config.trainer
        self.level = settings.get("collapse_level", None) or "critical"
        self.pattern = settings.get("collapse_pattern", None)
        self.folder = Path(settings.default_local_dir)
        if self.level not in LEVELS:
            rule = f"known levels are {', '.join(LEVELS)}"
            raise InputError("trainer.collapse_level", self.level, rule, "Use critical")
        rollouts = settings.get("rollout_data_dir", None)
        loggers = settings.get("logger", None) or []
        named = "file" in ([loggers] if isinstance(loggers, str) else list(loggers))
        self.sources = [Path(rollouts)] if rollouts else []
        self.sources += [_logger_file(settings)] if named else []
        if not self.sources:
            rule = "without it verl keeps neither completions nor metrics in a file"
            raise InputError("trainer.rollout_data_dir", rollouts, rule, "Set it to a folder")

    def findings(self) -> list[Finding]:
        """What the log says now, the worst first; none where nothing is written yet."""
        logs = [run_log(path, answer_pattern=self._pattern(path)) for path in self.sources if _begun(path)]
        return judge(merge(logs)) if logs else []

    def _pattern(self, path: Path) -> str | None:
        return self.pattern if path.is_dir() else None

    def on_save(self, trainer, global_step: int, checkpoint_dir: str, async_save: bool = False, **_) -> None:
        """Ends the run where a finding has reached the level: verl's loop runs to `total_training_steps`."""
        try:
            found = self.findings()
        except Exception as error:
            log.warning("The log could not be read at step %s, and training goes on: %s", global_step, error)
            return
        reached = [finding for finding in found if is_at_least(finding.level, self.level)]
        if not reached:
            return
        advice = [finding for finding in found if finding.name in ("stop", "keep_checkpoint")]
        told = [*reached, *(finding for finding in advice if finding not in reached)]
        self.folder.mkdir(parents=True, exist_ok=True)
        document = {"step": global_step, "findings": [finding.as_dict() for finding in told]}
        (self.folder / STOPPED).write_text(json.dumps(document, indent=1) + "\n")
        log.warning("Ended at step %s: %s%s", global_step, told[0].message, self._kept(advice))
        trainer.total_training_steps = global_step

    def _kept(self, advice: list[Finding]) -> str:
        """Which of verl's checkpoints is the one to keep."""
        keep = next((finding.step for finding in advice if finding.name == "keep_checkpoint"), None)
        if keep is None:
            return ""
        steps = [_number(path) for path in self.folder.glob("global_step_*")]
        usable = [step for step in steps if step is not None and step <= keep]
        if usable:
            return f" Keep global_step_{max(usable)}."
        return f" No checkpoint of step {keep} or before is left: raise trainer.max_actor_ckpt_to_keep."


def _logger_file(settings) -> Path:
    """Where verl's logger "file" writes."""
    if path := os.getenv("VERL_FILE_LOGGER_PATH"):
        return Path(path)
    root = Path(os.path.expanduser(os.getenv("VERL_FILE_LOGGER_ROOT", ".")))
    return root / settings.project_name / f"{settings.experiment_name}.jsonl"


def _begun(path: Path) -> bool:
    return any(path.glob("*.jsonl")) if path.is_dir() else path.is_file() and path.stat().st_size > 0


def _number(folder: Path) -> int | None:
    text = folder.name.removeprefix("global_step_")
    return int(text) if text.isdecimal() else None
