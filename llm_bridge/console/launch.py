"""What a launcher (`accelerate launch`, torchrun) tells the processes that it starts."""

import os

SHARED = ("measure",)
"""Commands whose work several processes share; every other one runs in one process."""


def process() -> tuple[int, int]:
    """(the number of this process, how many were started together); (0, 1) without a launcher."""
    told = [os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE")]
    if not all(number.isdecimal() for number in told):
        return 0, 1
    rank, count = map(int, told)
    return (rank, count) if rank < count else (0, 1)


def wants_one_process(words: list[str]) -> str | None:
    """The command among the words of a command line, if several processes were started for it and it runs in one."""
    if process()[1] == 1 or "--help" in words:
        return None
    command = next((word for word in words if not word.startswith("-")), None)
    return command if command not in SHARED else None
