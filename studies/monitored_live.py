"""The callback on the runs of `studies.monitored`: trained once more with a CollapseMonitor that sees no label.

    python -m studies.monitored_live FOLDER PART [NUMBER ...]     # resumable; LIVE beside the run's own record

The callback evaluates WATCHED prompts that are neither trained on nor among those whose accuracy is the outcome, every
EVERY steps. It draws by seeds of its own, so the run is the same: where it had been trained before, its accuracy is
compared with what was kept.
"""

import json
import random
import sys
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


def monitor_of(spec, task, tokenizer, folder: Path):
    """A CollapseMonitor without labels that stops nothing."""
    from llm_bridge import CollapseMonitor

    return CollapseMonitor(
        prompts=[problem.prompt for problem in watched_problems(task, spec)],
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


def watched(spec, folder: Path) -> dict:
    """One run with its callback, trained or read back: {"rows", "same"}; same: whether accuracy is what it had been."""
    own = Path(folder) / spec.label
    if (own / LIVE).is_file():
        return json.loads((own / LIVE).read_text())
    before = json.loads((own / RESULT).read_text())["accuracy"] if (own / RESULT).is_file() else None
    monitors = []

    def live(*about):
        monitors.append(monitor_of(spec, *about))
        return monitors[0]

    record = train(spec, folder, live)
    found = {"rows": monitors[0].rows, "same": None if before is None else before == record["accuracy"]}
    (own / LIVE).write_text(json.dumps(found) + "\n")
    return found


if __name__ == "__main__":
    chosen = set(map(int, sys.argv[3:]))
    for one in (*specs(), *strangers()):
        if one.part == sys.argv[2] and (not chosen or one.number in chosen):
            print(one.label, watched(one, Path(sys.argv[1]))["same"], flush=True)
