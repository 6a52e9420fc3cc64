"""Whether a trainer is one whose run can be forecast, asked before any work."""

from sharpening.errors import InputError


def check_trainer(trainer) -> None:
    """Raise InputError unless `trainer` is a TRL GRPOTrainer that has not trained, runs in one process on
    whole weights, and continues texts or chats of a data set that can be indexed.
    """
    from trl import GRPOTrainer

    if not isinstance(trainer, GRPOTrainer):
        raise InputError(
            "trainer",
            type(trainer).__name__,
            "a forecast reads TRL's GRPOTrainer or a subclass of it",
            "Pass the trainer itself, not its model or configuration; other trainers cannot be forecast",
        )
    if trainer.state.global_step or getattr(trainer, "_step", 0) or _has_moved(trainer.optimizer):
        raise InputError(
            "trainer",
            f"at step {trainer.state.global_step}",
            "it has trained, and a forecast is about the run from its beginning",
            "Call forecast_trainer before trainer.train(), on a new trainer",
        )
    _check_processes(trainer)
    _check_data(trainer)
    if trainer.use_vllm and trainer.rollout_func is not None:
        raise InputError(
            "rollout_func",
            getattr(trainer.rollout_func, "__name__", "given"),
            "with use_vllm it draws from an engine that serves the trainer's weights, and a forecast trains a copy",
            "Forecast the run with use_vllm=False, or without the rollout function",
        )


def _has_moved(optimizer) -> bool:
    return optimizer is not None and bool(getattr(optimizer, "state", None))


def _check_processes(trainer) -> None:
    count = trainer.accelerator.num_processes
    sharded = [
        name
        for name, on in (
            ("FSDP", getattr(trainer, "is_fsdp_enabled", False)),
            ("DeepSpeed", getattr(trainer, "is_deepspeed_enabled", False)),
        )
        if on
    ]
    if count > 1 or sharded:
        told = " with ".join([f"{count} processes", *sharded])
        raise InputError(
            "trainer",
            told,
            "a forecast runs in one process on whole weights",
            "Make the forecast in a process of its own, started without a launcher, with"
            f" per_device_train_batch_size times {count}, and train with the launcher afterwards",
        )


def _check_data(trainer) -> None:
    from datasets import Dataset

    if not isinstance(trainer.train_dataset, Dataset):
        raise InputError(
            "train_dataset",
            type(trainer.train_dataset).__name__,
            "a forecast asks chosen prompts of it, and a stream cannot be indexed",
            "Load it without streaming, or take its first rows: Dataset.from_list(list(stream.take(2000)))",
        )
    if getattr(trainer, "_is_vlm", False) and not hasattr(trainer.processing_class, "image_processor"):
        raise InputError(
            "processing_class",
            type(trainer.processing_class).__name__,
            "a forecast reads texts, chats and images, and this one takes something else",
            "Forecast a run on texts or images",
        )
    environments = getattr(trainer, "environment_factories", None)
    if getattr(trainer, "tools", None) or environments:
        raise InputError(
            "tools",
            "given",
            "an answer is read from one completion, and with tools or environments it takes several turns",
            "Forecast a run without them",
        )
