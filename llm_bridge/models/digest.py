"""What a model is, told by its files: digests that change with any weight and with anything its tokenizer
reads. Needs no torch.
"""

import hashlib
from pathlib import Path

from llm_bridge.models.names import locate_model, model_commit

WEIGHTS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
)

TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "*.model",
    "*.tiktoken",
    "processor_config.json",
    "preprocessor_config.json",
)


def model_digests(name: str) -> dict[str, str]:
    """`weights` and `tokenizer`, 16 hexadecimal digits each, or the commit where a hub id names the model.

    Weights: the safetensors or GGUF files and the configuration; a file is read in pieces, whatever its size.

    Raises: InputError as `locate_model` does.
    """
    source, options = locate_model(name)
    if "gguf_file" in options:
        return {"weights": _digest([Path(source) / options["gguf_file"]]), "tokenizer": "in the GGUF file"}
    if not Path(source).is_dir():
        commit = f"commit {model_commit(source)}"
        return {"weights": commit, "tokenizer": commit}
    return {
        "weights": _digest(_matching(source, WEIGHTS)),
        "tokenizer": _digest(_matching(source, TOKENIZER)),
    }


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _matching(folder: str, patterns) -> list[Path]:
    return sorted({path for pattern in patterns for path in Path(folder).glob(pattern) if path.is_file()})


def _digest(paths: list[Path]) -> str:
    told = "".join(f"{path.name}\0{file_digest(path)}\n" for path in paths)
    return hashlib.sha256(told.encode()).hexdigest()[:16]
