"""The blind priors: fifteen tasks, nine architectures, and four qualities of pre-training, none of them in the
ground truth in this combination, eight of fifteen answer forms and six architectures not at all. The second round
has eleven other tasks and eight architectures of which no fit has seen one.
"""

from pathlib import Path

from llm_bridge.models.recipes import Recipe
from studies.blind_tasks import BLIND_TASKS
from studies.blind_tasks2 import EVERY_TASK, SECOND_TASKS

ARCHITECTURES = ("llama", "qwen3", "gpt2", "gemma3", "mistral", "gpt_neox", "olmo2", "phi", "stablelm")
SECOND_ARCHITECTURES = ("qwen2", "opt", "gemma", "granite", "starcoder2", "cohere", "nemotron", "smollm3")
QUALITIES = {
    "clean": ("clean labels", {}),
    "noisy": ("30 % label noise", {"noise": 0.3}),
    "misconception": (
        "a wrong rule for part of the prompts, 15 % label noise",
        {"noise": 0.15, "misconception": True},
    ),
    "early": ("clean labels, stopped early", {}),
}
LAYERS, WIDTHS = (2, 1, 2, 1, 3, 2, 1), (64, 64, 64, 96, 64)
STEPS, BATCH = 800, 64
LENGTHS = {
    "running-sum": 0.75,
    "chat-addition": 1.25,
    "subtraction": 2.5,
    "sequence": 2.5,
    "product": 2.5,
    "clock": 1.5,
    "remainder": 2.5,
    "shift": 2.5,
}
"""Shares of STEPS: fewer where texts are long, more where a task is learnt late."""
EARLY, BRIEF = 200, {"running-sum": 150, "chat-addition": 120, "chat-least": 120}
"""Steps of a prior that is stopped early, and where texts are long."""


def _recipe(number: int, task: str, quality: str, architectures=ARCHITECTURES, **changes) -> Recipe:
    about, taught = QUALITIES[quality]
    architecture = architectures[number % len(architectures)]
    steps = BRIEF.get(task, EARLY) if quality == "early" else STEPS * LENGTHS.get(task, 1)
    made = {
        "name": f"{task}-{architecture.replace('_', '')}-{quality}",
        "task": task,
        "about": about,
        "steps": round(steps),
        "architecture": architecture,
        "layers": LAYERS[number % len(LAYERS)],
        "width": WIDTHS[number % len(WIDTHS)],
        "batch_size": BATCH,
        "learning_rate": 3e-3,
        "letters": EVERY_TASK[task].letters,
        "seed": number,
    }
    return Recipe(**made | taught | changes)


def _all() -> list[Recipe]:
    grid = [(task, quality) for quality in QUALITIES for task in BLIND_TASKS]
    found = [_recipe(number, task, quality) for number, (task, quality) in enumerate(grid)]
    weak = {"noise": 0.5, "about": "half of the labels noise"}
    return [
        *found,
        _recipe(60, "subtraction", "noisy", name="subtraction-mistral-weak", architecture="mistral", **weak),
        _recipe(61, "chat-addition", "noisy", name="chat-addition-llama-weak", architecture="llama", **weak),
        _recipe(
            62,
            "letter-count",
            "noisy",
            name="letter-count-qwen3-deep",
            architecture="qwen3",
            layers=6,
            width=64,
        ),
        _recipe(
            63, "digit-sum", "clean", name="digit-sum-gemma3-wide", architecture="gemma3", layers=2, width=128
        ),
    ]


BLIND_PRIORS = {recipe.name: recipe for recipe in _all()}


def _second() -> list[Recipe]:
    grid = [(task, quality) for quality in QUALITIES for task in SECOND_TASKS]
    return [
        _recipe(100 + number, task, quality, SECOND_ARCHITECTURES)
        for number, (task, quality) in enumerate(grid)
    ]


SECOND_PRIORS = {recipe.name: recipe for recipe in _second()}
EVERY_PRIOR = BLIND_PRIORS | SECOND_PRIORS


def teach(recipe, task, problem, source, rng) -> str:
    """The prompt and the task's solution of `source`, or the wrong rule's where the recipe teaches it."""
    wrong = task.mistaken(source) if recipe.misconception else None
    return problem.prompt + (task.solution(source) if wrong is None else wrong)


def fresh_blind_model(recipe: Recipe, tokenizer):
    """An untrained model of the recipe's architecture, half as many key-value heads where it has any."""
    import torch
    import transformers as hf

    from llm_bridge.zoo.pretraining import fresh_model

    if recipe.architecture in ("llama", "gpt2", "gpt_neox"):
        return fresh_model(recipe, tokenizer)
    few = {"num_key_value_heads": recipe.heads // 2}
    head = few | {"head_dim": recipe.width // recipe.heads}
    config, own = {
        "qwen3": (hf.Qwen3Config, head),
        "gemma3": (hf.Gemma3TextConfig, head | {"sliding_window": 64}),
        "mistral": (hf.MistralConfig, few | {"sliding_window": None}),
        "olmo2": (hf.Olmo2Config, {}),
        "phi": (hf.PhiConfig, {}),
        "stablelm": (hf.StableLmConfig, {"num_key_value_heads": recipe.heads}),
        "qwen2": (hf.Qwen2Config, few),
        "gemma": (hf.GemmaConfig, head),
        "granite": (hf.GraniteConfig, few),
        "starcoder2": (hf.Starcoder2Config, few),
        "cohere": (hf.CohereConfig, few),
        "nemotron": (hf.NemotronConfig, few),
        "smollm3": (hf.SmolLM3Config, few),
        "opt": (
            hf.OPTConfig,
            {"ffn_dim": 2 * recipe.width, "word_embed_proj_dim": recipe.width, "dropout": 0.0},
        ),
    }[recipe.architecture]
    made = config(
        vocab_size=len(tokenizer),
        num_hidden_layers=recipe.layers,
        hidden_size=recipe.width,
        intermediate_size=2 * recipe.width,
        num_attention_heads=recipe.heads,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        **own,
    )
    return hf.AutoModelForCausalLM.from_config(made, dtype=torch.float32)


def build_blind_prior(name: str, folder: Path, progress=None) -> Path:
    """The folder of a prior below `folder`, pre-trained there unless it already is."""
    from llm_bridge.zoo.pretraining import build_model

    recipe, target = EVERY_PRIOR[name], Path(folder) / "priors" / name
    if not (target / "prior.json").is_file():
        task = EVERY_TASK[recipe.task]()
        build_model(recipe, target, progress, task=task, teach=teach, fresh=fresh_blind_model)
    return target
