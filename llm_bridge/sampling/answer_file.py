"""Completions kept as they arrive, so that a later sitting draws only what is missing."""

import json
import math
import os
import threading
import time
from pathlib import Path

from llm_bridge.sampling.cost import Cost
from sharpening.errors import InputError

ANSWERS_FILE = "served_answers.jsonl"


class AnswerFile:
    """Completions by prompt, kept in memory and, with a folder, in a JSONL file that a later sitting goes on
    with.

    identity: what the answers depend on; a file of other answers is refused. A last line that was cut off is
    dropped.
    """

    def __init__(self, folder: str | os.PathLike | None, identity: dict):
        self.path = None if folder is None else Path(folder) / ANSWERS_FILE
        self.identity, self.cost = identity, Cost()
        self.chat: bool | None = None
        self._texts: dict[tuple[str, int], list[str]] = {}
        self._lock, self._last, self._closed = threading.Lock(), time.monotonic(), False
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._read(self.path, folder)

    def _read(self, path: Path, folder) -> None:
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        try:
            if data and not whole:
                raise ValueError("a cut-off first line tells not whose file it is")
            head, *rows = [json.loads(line) for line in whole.splitlines()] or [None]
            if head is not None and head["identity"] != self.identity:
                other = {
                    name: head["identity"].get(name)
                    for name in (
                        *self.identity,
                        *(name for name in head["identity"] if name not in self.identity),
                    )
                    if head["identity"].get(name) != self.identity.get(name)
                }
                raise InputError(
                    "folder",
                    str(folder),
                    f"its answers were drawn with {other}",
                    "Use another folder, or the same settings",
                )
            self.chat = None if head is None else head["chat"]
            for row in rows:
                _check(row)
                self._keep(
                    (row["prompt"], row["copy"]),
                    row["texts"],
                    row["prompt_tokens"],
                    row["completion_tokens"],
                    row["seconds"],
                )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "folder",
                str(folder),
                f"{ANSWERS_FILE} in it is not what this command writes",
                "Use another folder",
            ) from error
        if len(whole) < len(data):
            os.truncate(path, len(whole))

    def _keep(self, key, texts, prompt_tokens, completion_tokens, seconds) -> None:
        self._texts.setdefault(key, []).extend(texts)
        self.cost.generated_tokens += completion_tokens
        self.cost.forward_tokens += prompt_tokens + completion_tokens
        self.cost.seconds += seconds

    def texts(self, key: tuple[str, int]) -> list[str]:
        """The completions so far of a prompt's first, second, … occurrence."""
        return self._texts.get(key, [])

    def add(self, key: tuple[str, int], drawn: tuple[list[str], int, int], chat: bool) -> None:
        """Keep the texts and tokens of one request, unless `close` came first; what is on disk is whole
        lines.
        """
        with self._lock:
            if self._closed:
                return
            now = time.monotonic()
            seconds, self._last = now - self._last, now
            names = ("prompt", "copy", "texts", "prompt_tokens", "completion_tokens", "seconds")
            lines = [dict(zip(names, (*key, *drawn, round(seconds, 3)), strict=True))]
            if self.chat is None:
                self.chat = chat
                lines.insert(0, {"identity": self.identity, "chat": chat})
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.write("".join(json.dumps(line) + "\n" for line in lines))
            self._keep(key, *drawn, seconds)

    def close(self) -> None:
        """Keep nothing that still arrives: another sitting may have begun to draw the same."""
        with self._lock:
            self._closed = True


def _check(row) -> None:
    """TypeError for a line that says something else than `add` writes."""
    counts = [row["prompt_tokens"], row["completion_tokens"], row["copy"]]
    if not (
        isinstance(row["prompt"], str)
        and isinstance(row["texts"], list)
        and all(isinstance(text, str) for text in row["texts"])
        and all(type(count) is int and count >= 0 for count in counts)
        and type(row["seconds"]) in (int, float)
        and 0 <= row["seconds"] < math.inf
    ):
        raise TypeError("not a line of answers")
