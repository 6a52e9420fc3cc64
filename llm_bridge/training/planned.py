"""What a TRL trainer is going to do, read from it before it trains."""

import enum
import math
from dataclasses import dataclass, field

import torch
from transformers import get_scheduler

from llm_bridge.console.numbers import SEEDS
from llm_bridge.training.settings import RunSettings
from sharpening.errors import InputError

TOLD = (
    "loss_type scale_rewards beta epsilon epsilon_high num_iterations steps_per_generation"
    " gradient_accumulation_steps per_device_train_batch_size num_generations learning_rate"
    " lr_scheduler_type warmup_steps warmup_ratio weight_decay adam_beta1 adam_beta2 max_grad_norm optim"
    " temperature top_p top_k min_p repetition_penalty max_completion_length mask_truncated_completions"
    " entropy_coef importance_sampling_level multi_objective_aggregation reward_weights"
    " top_entropy_quantile bf16 fp16 gradient_checkpointing disable_dropout use_vllm num_train_epochs"
).split()
"""Fields of GRPOConfig that a result writes down, whether they were set or are TRL's defaults."""


@dataclass(frozen=True)
class TrainerSettings(RunSettings):
    """The settings of a run that a trainer has planned. `reward` names its reward functions; `trl` holds the
    fields of TRL's configuration that matter, defaults included, and the adapter's under `peft`.

    prompts_per_step: new prompts that an optimizer step uses, on average, at least 1.
    """

    trl: dict = field(default_factory=dict)

    def __post_init__(self):
        self._check_counts()
        self._check_rates()
        self._check_criterion()

    @property
    def asks_rephrasings(self) -> bool:
        return False


def plain_value(value):
    """A field of a configuration as plain data."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, dict):
        return {str(name): plain_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_value(item) for item in (sorted(value) if isinstance(value, set) else value)]
    return str(value)


def config_told(args) -> dict:
    """TOLD of a GRPOConfig as plain data; fields that the installed TRL does not know are left out."""
    return {name: plain_value(getattr(args, name)) for name in TOLD if hasattr(args, name)}


def adapter_told(model) -> dict | None:
    """Type, rank, scale, dropout and targets of the adapter in training; None without one."""
    configs = getattr(model, "peft_config", None)
    if not configs:
        return None
    chosen = configs[getattr(model, "active_adapter", "default")]
    names = ("peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora")
    return {name: plain_value(getattr(chosen, name)) for name in names if hasattr(chosen, name)}


def planned_steps(trainer, rows: int | None = None) -> int:
    """Optimizer steps of the run: `max_steps`, or those of its epochs over the data set."""
    args = trainer.args
    if args.max_steps > 0:
        return args.max_steps
    groups = args.generation_batch_size // trainer.num_generations
    batches = (len(trainer.train_dataset) if rows is None else rows) // groups
    # A batch of generations lasts for steps_per_generation × num_iterations micro-batches.
    micro = batches * args.steps_per_generation * trainer.num_iterations
    each = max(1, -(-micro // args.gradient_accumulation_steps))
    return math.ceil(args.num_train_epochs * each)


def prompts_per_step(trainer) -> float:
    """New prompts that an optimizer step uses, on average; below 1 where several steps reuse one group."""
    args = trainer.args
    groups = args.generation_batch_size / trainer.num_generations
    updates = args.steps_per_generation * trainer.num_iterations / args.gradient_accumulation_steps
    return groups / updates


def planned_rates(trainer, steps: int) -> list[float]:
    """The learning rate of every step, by the trainer's own schedule.

    Raises: InputError for a schedule that depends on what the run measures, one made by hand that is no
    LambdaLR, and one whose rates are all zero.
    """
    args, given = trainer.args, trainer.lr_scheduler
    if given is not None and not hasattr(given, "lr_lambdas"):
        raise InputError(
            "lr_scheduler",
            type(given).__name__,
            "its rates cannot be told before the run: it is no LambdaLR",
            "Pass a LambdaLR, or name the schedule with lr_scheduler_type",
        )
    if given is not None:
        rates = [
            max(base * factor(step) for base, factor in zip(given.base_lrs, given.lr_lambdas, strict=True))
            for step in range(steps)
        ]
    else:
        kind = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
        if kind in ("reduce_lr_on_plateau", "greedy"):
            raise InputError(
                "lr_scheduler_type",
                kind,
                "its rates depend on what the run measures, so they cannot be told before it",
                "Use constant, linear or cosine",
            )
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=args.learning_rate)
        scheduler = get_scheduler(
            args.lr_scheduler_type,
            optimizer=optimizer,
            num_warmup_steps=args.get_warmup_steps(steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )
        rates = []
        for _ in range(steps):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    if not max(rates) > 0:
        raise InputError(
            "learning_rate",
            args.learning_rate,
            "no step of the run has a learning rate above zero, so nothing will move",
            "Give it a positive learning rate",
        )
    return rates


def optimizer_kind(trainer) -> str:
    """ "adam" or "sgd" where the trainer's optimizer is of that kind, else its own name."""
    if trainer.optimizer is not None:
        name = type(trainer.optimizer).__name__.lower()
    else:
        name = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    if "adam" in name:
        return "adam"
    return "sgd" if name == "sgd" else name


def trainer_settings(
    trainer, *, rate: float, steps: int, prompts: int | None, criterion: str, eval_prompts: int
) -> TrainerSettings:
    """The run as a forecast reads it; rate: the highest of its learning rates, prompts: those of its data
    set.
    """
    args = trainer.args
    told = config_told(args)
    if (adapter := adapter_told(trainer.model)) is not None:
        told["peft"] = adapter
    return TrainerSettings(
        reward=" + ".join(trainer.reward_func_names),
        prompts_per_step=max(1, round(prompts_per_step(trainer))),
        rollouts=trainer.num_generations,
        temperature=float(trainer.temperature),
        learning_rate=rate,
        optimizer=optimizer_kind(trainer),
        beta=float(args.beta),
        dataset_size=prompts,
        max_steps=steps,
        seed=args.seed % SEEDS,
        criterion=criterion,
        max_new_tokens=trainer.max_completion_length,
        eval_every=max(1, steps // 20),
        eval_prompts=eval_prompts,
        mask_truncated_completions=bool(args.mask_truncated_completions),
        trl=told,
    )
