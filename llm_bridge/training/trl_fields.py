"""A run by TRL's own names: which fields there are, which of them have a short name here, and a configuration
made of both.
"""

import contextlib
import dataclasses
import difflib
import io
import re

from llm_bridge.console.launch import process
from sharpening.errors import InputError

SHORT = {
    "learning_rate": "learning_rate",
    "temperature": "temperature",
    "beta": "beta",
    "max_steps": "max_steps",
    "seed": "seed",
    "num_generations": "rollouts",
    "max_completion_length": "max_new_tokens",
    "mask_truncated_completions": "mask_truncated_completions",
}
"""Fields of GRPOConfig that are settings of a run here, and the settings' names."""

BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation")
"""Fields that say how many completions a step learns from, in how many parts."""

OURS = (
    "output_dir report_to run_name project logging_dir logging_steps logging_strategy logging_first_step"
    " save_strategy save_steps save_total_limit save_only_model eval_strategy eval_steps eval_on_start"
    " per_device_eval_batch_size push_to_hub hub_model_id hub_strategy hub_private_repo log_completions"
    " num_completions_to_print log_unique_prompts disable_tqdm shuffle_dataset remove_unused_columns"
    " dataloader_num_workers dataloader_pin_memory ddp_timeout ddp_find_unused_parameters use_vllm vllm_mode"
    " vllm_gpu_memory_utilization vllm_tensor_parallel_size vllm_server_base_url vllm_server_host"
    " vllm_server_port vllm_server_timeout vllm_max_model_length vllm_enable_sleep_mode overwrite_output_dir"
    " do_train do_eval dataset_train_split dataset_test_split dataset_config model_init_kwargs"
    " dtype attn_implementation bnb_4bit_quant_type use_bnb_nested_quant bnb_4bit_quant_storage"
    " ignore_bias_buffers"
).split()
"""Fields that a run of this package decides itself: what is written where, how often, by which engine, and how
weights are loaded (as they are stored).
"""

ADAPTER = (
    "use_peft lora_r lora_alpha lora_dropout lora_target_modules lora_target_parameters"
    " lora_modules_to_save lora_task_type use_rslora use_dora"
).split()
"""Fields of ModelConfig that make an adapter."""

CHOSEN = ("loss_type", "scale_rewards", "importance_sampling_level", "multi_objective_aggregation")
"""Fields that hold one of a few words, which TRL names in their help."""

REFUSED = {
    "model_revision": "a model is loaded from a folder, a file, or as the hub has it",
    "load_in_8bit": "weights in 8 bits need a loader of their own",
    "load_in_4bit": "weights in 4 bits need a loader of their own",
    "trust_remote_code": "code that comes with a model is never run",
    "reward_model_name_or_path": "rewards of this command are named with --reward",
    "deepspeed": "a run of this command has whole weights in every process",
    "fsdp": "a run of this command has whole weights in every process",
    "resume_from_checkpoint": "a run is resumed by giving the same command again",
    "dataset_streaming": "prompts are chosen from the whole data set",
}
"""Fields that change a run and cannot be had here, and why; in a script of one's own they can."""


def known_fields() -> dict[str, str]:
    """Every field that `trl grpo --config` reads, and the class that has it."""
    from trl import GRPOConfig, ModelConfig
    from trl.scripts.grpo import GRPOScriptArguments

    return {
        field.name: kind.__name__
        for kind in (GRPOScriptArguments, ModelConfig, GRPOConfig)
        for field in dataclasses.fields(kind)
        if field.init
    }


def check_names(given: dict, argument: str) -> None:
    """Raise InputError for a name that TRL does not know, and for a field that a run here cannot have."""
    known = known_fields()
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, *SHORT.values()], 1)
            raise InputError(
                argument,
                name,
                "TRL's GRPOConfig, ModelConfig and script arguments have no such field",
                f"Did you mean {close[0]}?" if close else "Remove it, or correct its name",
            )
    for name, why in REFUSED.items():
        if given.get(name) and (name, given[name]) != ("model_revision", "main"):
            raise InputError(
                argument,
                f"{name}: {given[name]}",
                why,
                "Leave it out, or forecast the trainer of your own script with llm_bridge.forecast_trainer",
            )


def check_choices(given: dict, argument: str) -> None:
    """Raise InputError for a word that TRL would refuse only once the run has begun."""
    from trl import GRPOConfig

    for field in dataclasses.fields(GRPOConfig):
        if field.name in CHOSEN and isinstance(value := given.get(field.name), str):
            known = set(re.findall(r"[`'\"]+(\w+)[`'\"]+", field.metadata.get("help", ""))) | {field.default}
            if value not in known:
                raise InputError(
                    argument,
                    f"{field.name}: {value}",
                    f"TRL knows {', '.join(sorted(map(str, known)))}",
                    "Choose one of these",
                )


def typed(given: dict, argument: str) -> dict:
    """The fields with values of the types that TRL's own parser gives them.

    Raises: InputError for a value that TRL refuses, alone or beside the others.
    """
    from trl import GRPOConfig, ModelConfig, TrlParser
    from trl.scripts.grpo import GRPOScriptArguments

    check_names(given, argument)
    check_choices(given, argument)
    parser = TrlParser((GRPOScriptArguments, GRPOConfig, ModelConfig))  # type: ignore[arg-type]
    parser.set_defaults_with_config(**device_fields(given) | given)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args_into_dataclasses(args=[])
    except SystemExit as error:
        told = said.getvalue().strip().splitlines()[-1:] or ["a value has the wrong type"]
        raise _refused(given, argument, told[0].partition("error: ")[2] or told[0]) from error
    except (ValueError, TypeError, NotImplementedError) as error:
        raise _refused(given, argument, str(error)) from error
    return {
        name: next(getattr(one, name) for one in parsed if hasattr(one, name)) for name in given
    } | _as_given(given)


def _as_given(given: dict) -> dict:
    """Fields that TRL's check turns into something else, as they were given."""
    return {name: given[name] for name in ("steps_per_generation", "generation_batch_size") if name in given}


def _refused(given, argument, told) -> InputError:
    named = ", ".join(given) or "nothing"
    return InputError(argument, named[:200], f"TRL refuses it: {' '.join(told.split())[:300]}", "Correct it")


def device_fields(given: dict) -> dict:
    """What a machine without an accelerator needs to be told, where it is not."""
    import torch

    if torch.accelerator.is_available():
        return {}
    plain = {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    return {name: value for name, value in plain.items() if name not in given}


def short_settings(given: dict, argument: str) -> tuple[dict, dict, list[str]]:
    """(settings of RunSettings by their short names, the other fields, those that are not used here).

    Where a field of BATCH is given, prompts_per_step follows from them as TRL counts: completions of a
    micro-batch × gradient_accumulation_steps × processes over num_generations.
    """
    short = {SHORT[name]: value for name, value in given.items() if name in SHORT}
    if short.get("max_steps", 0) <= 0:
        short.pop("max_steps", None)
    rest = {name: value for name, value in given.items() if name not in SHORT and name not in OURS}
    for name in ("model_name_or_path", "dataset_name", "reward_funcs", "num_train_epochs", "optim"):
        rest.pop(name, None)
    optim = given.get("optim")
    if optim is not None:
        name = str(getattr(optim, "value", optim))
        if name in ("adamw_torch", "adamw_torch_fused", "sgd"):
            short["optimizer"] = "sgd" if name == "sgd" else "adam"
        else:
            rest["optim"] = name
    if any(name in given for name in BATCH):
        size, parts = given.get(BATCH[0], 8), given.get(BATCH[1], 1)
        group = given.get("num_generations", 8)
        if size * parts % group:
            raise InputError(
                argument,
                f"{BATCH[0]} {size} × {BATCH[1]} {parts}",
                f"a step must hold whole groups of num_generations = {group} completions",
                "Choose a batch that num_generations divides",
            )
        short["prompts_per_step"] = size * parts // group * process()[1]
        rest |= {BATCH[0]: size, BATCH[1]: parts}
    return short, rest, [name for name in given if name in OURS]
