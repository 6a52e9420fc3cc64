"""Many comparisons in the guarded process: file descriptors, child processes and memory before and after.

    python studies/benchmarks/guard.py [--calls 10000]

Most calls are easy ones that differ each time; every 50th kills the child that waits, and every 500th asks for
work beyond the limit. What counts is that nothing grows: descriptors of this process and of the worker, processes
in the worker's group, resident memory of both; and that no answer changes.
"""

import argparse
import json
import os
import resource
import signal
import time
from pathlib import Path

from llm_bridge.answers.guard import guard

HEAVY = (r"(\sin x+\cos x)^{14}", r"(1+\sin 2x)^7")


def resident(pid) -> float:
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def children(pid) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def state(worker) -> dict:
    """Open descriptors, processes and memory, here and in the worker."""
    pid = worker._process.pid
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "worker_descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "workers": len(children(os.getpid())),
        "children": len(children(pid)),
        "megabytes": round(resident("self"), 1),
        "worker_megabytes": round(resident(pid), 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    calls = parser.parse_args().calls
    worker, ended, wrong = guard("math"), {}, 0
    for place in range(100):
        worker.ask(rf"\{{{place},2\}}", rf"\{{2,{place}\}}")
    before, start = state(worker), time.monotonic()
    for place in range(calls):
        if place % 50 == 25:
            for child in children(worker._process.pid):
                os.kill(child, signal.SIGKILL)
        heavy = place % 500 == 250
        found = worker.outcome(*HEAVY) if heavy else worker.outcome(rf"{place}", rf"\sqrt{{{place**2}}}")
        ended[found.ended] = ended.get(found.ended, 0) + 1
        wrong += (found.result, found.ended) != ((None, "limit") if heavy else (True, None))
    print(
        json.dumps(
            {
                "calls": calls,
                "seconds_each": round((time.monotonic() - start) / calls, 4),
                "before": before,
                "after": state(worker),
                "starts": worker.starts,
                "ended": {str(name): count for name, count in ended.items()},
                "wrong": wrong,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
