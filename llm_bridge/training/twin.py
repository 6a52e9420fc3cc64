"""A throwaway copy of a trainer that has not trained: its own class, rewards and configuration, on weights
that only the copy moves.
"""

import contextlib
import copy
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, TrainerControl, TrainerState


@contextlib.contextmanager
def random_states_kept() -> Iterator[None]:
    """Python's, NumPy's and PyTorch's global random states, those of every CUDA device included, come back as
    they were.
    """
    python, numpy_, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def trained_parameters(model) -> list[torch.nn.Parameter]:
    """The parameters that training moves; of a model with adapters those of the adapters."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def bytes_of(parameters) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)


def twin_model(model):
    """A copy that shares every frozen weight with `model` and has trained ones of its own.

    TRL's fused head is a patch of the forward pass whose inside still calls the model it was made for, so it
    is taken off; `twin_trainer` puts one on that belongs to the copy.
    """
    shared = {id(parameter): parameter for parameter in model.parameters() if not parameter.requires_grad}
    twin = copy.deepcopy(model, shared)
    _take_off_patches(twin)
    return twin


def _take_off_patches(model) -> None:
    """Take off what TRL and accelerate put over forward passes."""
    for module in model.modules():
        patch = getattr(module.__dict__.get("forward"), "__func__", None)
        fused = patch is not None and patch.__code__.co_name == "_fused_forward"
        if fused or "_original_forward" in module.__dict__:
            module.__dict__.pop("forward", None)
            module.__dict__.pop("_original_forward", None)


def restore_weights(twin, model) -> None:
    """Give the trained weights of the copy the values that those of `model` have, bit for bit."""
    with torch.no_grad():
        for mine, theirs in zip(trained_parameters(twin), trained_parameters(model), strict=True):
            mine.copy_(theirs)
            mine.grad = None


def twin_trainer(trainer, model, folder: Path, *, seed: int, steps: int, rows, callback=None):
    """A trainer of the same class and attributes as `trainer`, for `steps` steps on the rows of its data set,
    with weights, state, metrics and optimizer of its own, which writes, logs and reports nothing.

    Its schedule is constant, so that `callback` can set the rate. Callbacks of the user's do not run.
    """
    twin = copy.copy(trainer)
    twin.args = _quiet_arguments(trainer.args, folder, seed, steps)
    twin.create_accelerator_and_postprocess()
    if hasattr(trainer, "_dist"):
        twin._dist = type(trainer._dist)(twin.accelerator)
    twin.model = twin.model_wrapped = model
    twin.optimizer, twin.lr_scheduler = _optimizer_of(trainer, model), None
    twin._created_lr_scheduler = False
    twin.state, twin.control = TrainerState(), TrainerControl()
    twin.callback_handler = CallbackHandler(
        [DefaultFlowCallback(), *([callback] if callback else [])],
        model,
        twin.processing_class,
        twin.optimizer,
        None,
    )
    twin.train_dataset = trainer.train_dataset if rows is None else trainer.train_dataset.select(rows)
    twin.eval_dataset = None
    _fresh_buffers(twin)
    _take_off_patches(model)
    _own_head(twin, model)
    _own_generation(twin)
    twin.reward_funcs = [_bound(function, twin) for function in trainer.reward_funcs]
    return twin


def _quiet_arguments(args, folder: Path, seed: int, steps: int):
    args = copy.copy(args)
    changes = dict(
        output_dir=str(folder),
        report_to=[],
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_first_step=False,
        load_best_model_at_end=False,
        eval_on_start=False,
        push_to_hub=False,
        log_completions=False,
        disable_tqdm=True,
        max_steps=steps,
        seed=seed,
        lr_scheduler_type="constant",
        lr_scheduler_kwargs=None,
        warmup_steps=0,
        resume_from_checkpoint=None,
    )
    for name, value in changes.items():
        # Past the checks and conversions of the class, which have been made once.
        args.__dict__[name] = value
    return args


def _optimizer_of(trainer, model):
    """None where the trainer makes its own optimizer; else one of the same kind on the copy's weights."""
    if trainer.optimizer is None:
        return None
    mine = dict(zip(map(id, trainer.model.parameters()), model.parameters(), strict=True))
    groups = [
        group | {"params": [mine[id(parameter)] for parameter in group["params"]]}
        for group in trainer.optimizer.param_groups
    ]
    return type(trainer.optimizer)(groups)


def _fresh_buffers(twin) -> None:
    """What a trainer collects while it trains, empty."""
    size = twin.args.generation_batch_size
    twin._metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
    twin._logs = {
        name: defaultdict(lambda: deque(maxlen=size))
        if isinstance(found, defaultdict)
        else deque(maxlen=size)
        for name, found in twin._logs.items()
    }
    for name in ("_pending_extra_logs", "_pending_metrics"):
        if hasattr(twin, name):
            setattr(twin, name, defaultdict(list))
    twin._step, twin._buffered_inputs, twin.log_completions = 0, None, False
    twin.current_gradient_accumulation_steps = twin.args.gradient_accumulation_steps


def _own_head(twin, model) -> None:
    """TRL's fused head on the copy, where the installed version has one."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    if getattr(twin.args, "cast_lm_head_to_fp32", False) and head is not None:

        def in_float32(hidden_states):
            bias = None if head.bias is None else head.bias.float()
            return torch.nn.functional.linear(hidden_states.float(), head.weight.float(), bias)

        head.forward = in_float32
    try:
        from trl.trainer.utils import add_fused_lm_head
    except ImportError:
        return
    add_fused_lm_head(
        base,
        temperature=twin.temperature,
        cast_lm_head_to_fp32=getattr(twin.args, "cast_lm_head_to_fp32", False),
        outputs=("log_probs", "entropy"),
    )


def _own_generation(twin) -> None:
    """An engine that serves another copy of the weights cannot serve this one: transformers generates."""
    if not twin.use_vllm:
        return
    # Whoever asks it all the same would be answered by weights that never move.
    twin.vllm_generation = None
    from transformers import GenerationConfig

    tokenizer = twin._tokenizer
    twin.use_vllm, twin.generation_kwargs = (
        False,
        {
            "max_new_tokens": twin.max_completion_length,
            "do_sample": True,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": twin.eos_token_ids,
            "temperature": twin.temperature,
            "top_p": twin.top_p,
            "top_k": twin.top_k,
            "min_p": twin.min_p,
            "repetition_penalty": twin.repetition_penalty,
        },
    )
    twin.generation_config = GenerationConfig(**twin.generation_kwargs, disable_compile=True)


def _bound(function, twin):
    """A reward of this package reads the model in training: for the copy, the copy's."""
    from llm_bridge.training.reward_function import TaskReward

    if not isinstance(function, TaskReward) or function.model_of is None or function.signals is None:
        return function
    tokenizer = function.signals.tokenizer
    mine = copy.copy(function)
    mine.attach(lambda: twin.accelerator.unwrap_model(twin.model), tokenizer)
    return mine
