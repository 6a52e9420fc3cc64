"""The callback on the runs of `studies.monitored`: trained once more with a CollapseMonitor that sees no label.

    python -m studies.monitored_live FOLDER PART [--labels]     # resumable; LIVE beside the run's own record

With --labels, and a folder of its own, the callback is given the true answers of its prompts.

The callback evaluates WATCHED prompts that are neither trained on nor among those whose accuracy is the outcome, every
EVERY steps. It draws by seeds of its own, so the run is the same: where it had been trained before, its accuracy is
compared with what was kept.
"""

import argparse
import json
import random
from pathlib import Path

from studies.monitored import EVERY, RESULT, ROLLOUTS, problems_of, specs, strangers, train

WATCHED = 64
LIVE = "live.json"


def watched_problems(task, spec) -> list:
    """WATCHED problems of the task, drawn at random, that the run neither trains on nor is scored by."""
    used = {problem.prompt for some in problems_of(task, spec) for problem in some}
    free = [problem for problem in task.problems if problem.prompt not in used]
    free = free if len(free) >= WATCHED else list(task.problems)
    return random.Random(f"watched {spec.label}").sample(free, min(WATCHED, len(free)))


def monitor_of(spec, labels: bool, task, tokenizer, folder: Path):
    """A CollapseMonitor that stops nothing."""
    from llm_bridge import CollapseMonitor

    problems = watched_problems(task, spec)
    return CollapseMonitor(
        prompts=[problem.prompt for problem in problems],
        answers=[task.extract(task.solution(problem)) for problem in problems] if labels else None,
        extract=task.extract,
        tokenizer=tokenizer,
        eval_every=EVERY,
        rollouts=ROLLOUTS,
        max_new_tokens=task.max_new_tokens,
        seed=spec.seed,
        stop=False,
        strict=True,
        folder=folder,
        tell=lambda sentence: None,
    )


def watched(spec, folder: Path, labels: bool = False) -> dict:
    """One run with its callback, trained or read back: {"rows", "same"}; same: whether accuracy is what it had been."""
    own = Path(folder) / spec.label
    if (own / LIVE).is_file():
        return json.loads((own / LIVE).read_text())
    before = json.loads((own / RESULT).read_text())["accuracy"] if (own / RESULT).is_file() else None
    monitors = []

    def live(*about):
        monitors.append(monitor_of(spec, labels, *about))
        return monitors[0]

    record = train(spec, folder, live)
    found = {"rows": monitors[0].rows, "same": None if before is None else before == record["accuracy"]}
    (own / LIVE).write_text(json.dumps(found) + "\n")
    return found


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    given.add_argument("folder", type=Path)
    given.add_argument("part")
    given.add_argument("--labels", action="store_true")
    asked = given.parse_args()
    for one in (*specs(), *strangers()):
        if one.part == asked.part:
            print(one.label, watched(one, asked.folder, asked.labels)["same"], flush=True)
