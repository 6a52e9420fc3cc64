"""TensorBoard's event files and W&B's run files, by the messages of the libraries that wrote them."""

import importlib
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

from llm_bridge.logs.rows import rows_log
from llm_bridge.logs.run_log import RunLog
from sharpening.errors import InputError

EVENTS = "events.out.tfevents"
_WANDB = b":W&B" + struct.pack("<H", 0xBEE1)
_BLOCK, _HEADER, _FULL, _LAST = 32768, 7, 1, 4


def is_events(path: Path) -> bool:
    return EVENTS in path.name


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, or of the one folder below `runs` that has some.

    Raises InputError if several runs lie there.
    """
    own = sorted(path for path in folder.iterdir() if is_events(path) and path.is_file())
    below = sorted(path for path in folder.glob(f"runs/*/*{EVENTS}*") if path.is_file())
    runs = sorted({path.parent for path in below})
    if not own and len(runs) > 1:
        raise InputError(
            "log",
            str(folder),
            f"it holds the TensorBoard files of {len(runs)} runs ({', '.join(run.name for run in runs[:3])})",
            "Give the folder of one of them",
        )
    return own or below


def read_events(files: list[Path], renames: dict[str, str] | None = None) -> RunLog:
    """The scalars of TensorBoard's event files, all of one run."""
    loader = _library("tensorboard.backend.event_processing.event_file_loader", "tensorboard", files[0])
    rows = [row for file in files for row in _scalars(loader, file)]
    return rows_log(lambda: rows, f"TensorBoard ({len(files)} files)", path=files[0], renames=renames)


def _scalars(loader, file: Path) -> Iterator[dict]:
    util = importlib.import_module("tensorboard.util.tensor_util")
    try:
        for event in loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                kind = value.metadata.plugin_data.plugin_name
                if value.HasField("simple_value"):
                    yield {"step": event.step, value.tag: float(value.simple_value)}
                elif value.HasField("tensor") and kind in ("", "scalars"):
                    found = util.make_ndarray(value.tensor)
                    if found.size == 1 and found.dtype.kind in "fiu":
                        yield {"step": event.step, value.tag: float(found.reshape(()))}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            "log", str(file), f"TensorBoard cannot read it ({error})", "Give the file as it was written"
        ) from error


def read_wandb(file: Path, renames: dict[str, str] | None = None) -> RunLog:
    """The history in a `.wandb` file of a W&B run, offline or not."""
    records = _library("wandb.proto.wandb_internal_pb2", "wandb", file)
    rows = list(_history(records, file))
    return rows_log(lambda: rows, f"W&B run {file.name}", path=file, renames=renames)


def _history(records, file: Path) -> Iterator[dict]:
    data = file.read_bytes()
    if data[: len(_WANDB)] != _WANDB:
        raise InputError("log", str(file), "it is no file of a W&B run", "Give the file as it was written")
    for raw in _records(data):
        record = records.Record()
        try:
            record.ParseFromString(raw)
        except Exception as error:  # the class depends on the version of protobuf
            rule = f"wandb cannot read it ({type(error).__name__})"
            raise InputError("log", str(file), rule, "Give the file as it was written") from error
        if record.WhichOneof("record_type") == "history":
            row = {
                "/".join(item.nested_key) or item.key: _cell(item.value_json) for item in record.history.item
            }
            if record.history.HasField("step"):
                row.setdefault("_step", record.history.step.num)
            yield row


def _records(data: bytes) -> Iterator[bytes]:
    """The records of LevelDB's log format; one that is not whole yet ends them."""
    place, parts = len(_WANDB) + 1, []
    while place + _HEADER <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        place += _HEADER
        if place + length > len(data) or kind == 0:
            return
        parts.append(data[place : place + length])
        place += length
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts = []


def _cell(text: str):
    try:
        found = json.loads(text)
    except ValueError:
        return math.nan
    return found if isinstance(found, int | float | str) else "..."


def _library(module: str, name: str, path: Path):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            "log",
            str(path),
            f"it is read by the library {name}, which is not installed",
            f"pip install {name}",
        ) from error
