"""What SmolLM2-135M-Instruct falls into where a learning rate kills it: the studied runs of critical rates
again, up to the fall.

    python -m studies.endings      # about ten minutes; writes results/endings.json
"""

import tempfile
from dataclasses import replace
from pathlib import Path

from llm_bridge import describe, load_model
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.sampling.cost import Cost
from llm_bridge.sampling.greedy import greedy_replies
from llm_bridge.training.trainer import grpo_trainer, schedule
from sharpening.trajectory import write_json
from studies.capitals import MODEL
from studies.critical import settings
from studies.study import RESULTS, TRAINING, made_with, task_of

RUNS = (
    ("capitals", 2.48e-5, 0, 20),
    ("capitals", 2.06e-5, 1, 15),
    ("capitals", 9.95e-6, 2, 10),
    ("continents", 1.43e-5, 1, 10),
)
"""(task, learning rate, seed, steps after which it is asked)"""


def ending(task_name: str, rate: float, seed: int, steps: int) -> dict:
    """What the greedy answers on the evaluation prompts have in common after these steps, that those before
    did not.
    """
    task, chosen = task_of(task_name), settings(rate, seed)
    with quiet_libraries(), tempfile.TemporaryDirectory() as folder:
        loaded = load_model(MODEL)
        train, evaluation = schedule(task, chosen)
        problems = evaluation[: chosen.eval_prompts]

        def replies():
            return greedy_replies(
                loaded.model, loaded.tokenizer, task, problems, chosen.max_new_tokens, Cost()
            )

        before = replies()
        trainer, _ = grpo_trainer(
            loaded, task, replace(chosen, max_steps=steps), train, Path(folder), saves=False
        )
        trainer.train()
        rules = describe([problem.prompt for problem in problems], replies(), before)
    return {
        "task": task_name,
        "learning_rate": rate,
        "seed": seed,
        "steps": steps,
        "attractor": [rule.as_dict() for rule in rules],
        "told": str(rules[0]),
    }


def main():
    rows = []
    for run in RUNS:
        rows.append(ending(*run))
        print(rows[-1]["told"], flush=True)
    write_json(
        RESULTS / "endings.json", made_with("endings", "python -m studies.endings", TRAINING) | {"rows": rows}
    )


if __name__ == "__main__":
    main()
