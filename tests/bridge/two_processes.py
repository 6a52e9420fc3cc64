"""Two real processes that train together, by DDP and by FSDP2, as `torchrun` starts them: run as a script, which
imports everything once and forks a pair for each scenario it is asked for.

    python two_processes.py FOLDER SCENARIO...    # each process writes FOLDER/SCENARIO-RANK.json
"""

import hashlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

SECONDS = 90
"""After which a pair is taken for hung, and killed."""


def number(text):
    return text.strip() if text.strip().isdigit() else None


def trainer(folder, *, sharded=False, steps=12, rate=5e-3, lora=False, **options):
    """A collapsing run of half a batch a process; sharded: by FSDP2, which accelerate leaves out on a CPU unless its
    state says so.
    """
    import trl_runs
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    made = trl_runs.trainer_of(
        folder,
        per_device_train_batch_size=16,
        learning_rate=rate,
        lr_scheduler_type="constant",
        max_steps=steps,
        peft=trl_runs.lora() if lora else None,
        ddp_backend="gloo",
        **options,
    )
    if sharded:
        state = made.accelerator.state
        state.distributed_type = DistributedType.FSDP
        state.fsdp_plugin = FullyShardedDataParallelPlugin(fsdp_version=2, cpu_ram_efficient_loading=False)
        made.is_fsdp_enabled = True
    return made


def monitor(**options):
    from llm_bridge import CollapseMonitor

    prompts = [f"{a}+{b}=" for a in range(20, 80, 9) for b in range(21, 80, 19)][:9]
    plain = dict(extract=number, max_new_tokens=4, eval_every=1, rollouts=4, initial_rollouts=16)
    # A run that ends by advice is over before the weights have moved far enough to compare.
    plain["criterion"] = "mode_retention"
    return CollapseMonitor(prompts=prompts, **(plain | options))


def told(trained, watch) -> dict:
    """What a test compares between processes."""
    return {
        "step": trained.state.global_step,
        "off": watch.off,
        "rows": watch.rows,
        "collapsed": watch.collapsed and watch.collapsed.step,
        "kept": str(watch.kept),
        "failures": [[one.step, one.rank, one.message] for one in watch.failures],
        "weights": digest(trained.model),
        "log": [row for row in trained.state.log_history if "collapse/failed_evaluations" in row],
        "kinds": sorted({type(weight).__name__ for weight in trained.model.parameters()}),
    }


def digest(model) -> str:
    """Of the whole weights, sharded or not."""
    found = hashlib.sha256()
    for weight in model.parameters():
        whole = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
        found.update(whole.detach().numpy().tobytes())
    return found.hexdigest()


class _Fails:
    """An `extract` that raises in one process at its n-th call."""

    def __init__(self, rank: int, call: int):
        self.left = call if int(os.environ["RANK"]) == rank else None

    def __call__(self, text):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyError("on purpose")
        return number(text)


def stops(folder, **kind):
    watch = monitor(load_kept_at_end=True)
    trained = trainer(
        folder, rate=5e-4, steps=40, save_strategy="steps", save_steps=1, save_total_limit=1, **kind
    )
    trained.add_callback(watch)
    trained.train()
    return told(trained, watch)


def fails_once(folder, **kind):
    """One process cannot read an answer of its second evaluation."""
    each = 5 * 4 if os.environ["RANK"] == "0" else 4 * 4
    watch = monitor(extract=_Fails(1, 4 * (16 + 8) + each + 3), stop=False)
    trained = trainer(folder, steps=3, **kind)
    trained.add_callback(watch)
    trained.train()
    return told(trained, watch)


def fails_at_first(folder, **kind):
    watch = monitor(extract=_Fails(1, 70))
    trained = trainer(folder, steps=2, **kind)
    trained.add_callback(watch)
    trained.train()
    return told(trained, watch)


def strict(folder, **kind):
    trained = trainer(folder, steps=2, **kind)
    trained.add_callback(monitor(extract=_Fails(1, 70), strict=True))
    try:
        trained.train()
    except Exception as error:
        return {"raised": f"{type(error).__name__}: {error}"}
    return {"raised": None}


def undisturbed(folder, **kind):
    """The same run with and without the monitor."""
    found = {}
    for name, watch in (("alone", None), ("watched", monitor(stop=False))):
        trained = trainer(folder / name, steps=2, **kind)
        if watch is not None:
            trained.add_callback(watch)
        trained.train()
        found[name] = digest(trained.model)
    return found | {"rows": watch.rows}


class _Kills:
    """Progress that sends this process a signal at its n-th step."""

    def __init__(self, rank: int, step: int):
        self.left = step if int(os.environ["RANK"]) == rank else None

    def start(self, description, total=None):
        return self

    def say(self, sentence):
        pass

    def advance(self, n=1):
        if self.left is not None:
            self.left -= n
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    def close(self):
        pass


def measured(folder, **_):
    """A run of our own, whole; the same broken off by a signal to the second process, and gone on with; and one whose
    prompts cannot be shared out.
    """
    from llm_bridge import RunSettings, get_task, measure
    from sharpening import InputError

    task = get_task("addition")
    settings = RunSettings(max_steps=6, eval_every=2, prompts_per_step=4, eval_prompts=6, rollouts=4)
    found = {}
    for name, progress in (("whole", None), ("broken", _Kills(1, 3)), ("broken", None)):
        run = measure("addition-uncertain", task, settings, output_dir=folder / name, progress=progress)
        found[f"{name}{len(found)}"] = {
            "curve": {key: values.tolist() for key, values in run.trajectory.metrics.items()},
            "steps": run.trajectory.step.tolist(),
            "cost": {key: value for key, value in run.cost.items() if key != "seconds"},
            "interrupted": run.interrupted,
            "files": sorted(path.name for path in (folder / name).iterdir()),
        }
    try:
        measure("addition-uncertain", task, RunSettings(prompts_per_step=3), output_dir=folder / "odd")
    except InputError as error:
        found["refused"] = str(error)
    return found


SHARDED = {"sharded": True}
SCENARIOS = {
    f"{name}-{work.__name__}": (work, kind)
    for name, kind in (("ddp", {}), ("fsdp", SHARDED), ("fsdp-lora", SHARDED | {"lora": True}))
    for work in (stops, fails_once, fails_at_first, strict, undisturbed)
} | {"measured": (measured, {})}


def process(name: str, rank: int, port: int, folder: Path) -> None:
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
    work, kind = SCENARIOS[name]
    try:
        found = work(folder / name, **kind)
    except BaseException:
        found = {"died": traceback.format_exc()}
    (folder / f"{name}-{rank}.json").write_text(json.dumps(found))


def pair(name: str, folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in (0, 1):
        if (child := os.fork()) == 0:
            process(name, rank, port, folder)
            sys.stdout.flush()
            os._exit(0)
        children.append(child)
    end = time.monotonic() + SECONDS
    while children and time.monotonic() < end:
        children = [child for child in children if os.waitpid(child, os.WNOHANG)[0] == 0]
        time.sleep(0.05)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    torch.set_num_threads(1)
    import trl_runs  # noqa: F401

    import llm_bridge

    _ = llm_bridge.CollapseMonitor
    for asked in sys.argv[2:]:
        begun = time.monotonic()
        pair(asked, Path(sys.argv[1]))
        print(asked, round(time.monotonic() - begun, 1), "seconds")
