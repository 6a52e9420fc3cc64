"""What a model's name can mean, decided without loading torch: a built-in name, a folder, a GGUF file or a
hub id.
"""

from pathlib import Path

from llm_bridge.models.built_in import built_in_folder, names
from llm_bridge.models.folder import check_config, check_folder
from sharpening.errors import InputError

MODEL_FIX = (
    "Give a folder or hub id in Hugging Face format with safetensors weights and a tokenizer, a .gguf file, "
    "or a built-in name (`sharpening zoo list`)"
)


def locate_model(name: str) -> tuple[str, dict]:
    """Where `from_pretrained` finds the model: (folder or hub id, extra options). Weights are not read.

    Raises:
        InputError: no such model, a folder without config or safetensors weights, a hub that does not know
        the name.
    """
    if name in names():
        return str(built_in_folder(name)), {}
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError("model", name, "there is no such GGUF file", MODEL_FIX)
        return str(path.parent), {"gguf_file": path.name}
    if path.is_dir():
        check_folder(name, path)
        return str(path), {}
    if (
        path.exists()
        or path.is_absolute()
        or name.startswith((".", "~"))
        or name.count("/") > 1
        or "/" not in name
    ):
        raise InputError(
            "model",
            name,
            f"it is neither a folder, a GGUF file nor a built-in name ({', '.join(names())})",
            MODEL_FIX,
        )
    model_commit(name)
    return name, {}


def model_commit(name: str) -> str:
    """The commit that a hub id means now, or the one in the cache where the hub cannot be reached.

    Raises: InputError if there is neither.
    """
    from huggingface_hub import hf_hub_download

    try:
        config = hf_hub_download(name, "config.json")
    except Exception as error:
        raise InputError(
            "model", name, f"the hub has no such model or cannot be reached ({first_line(error)})", MODEL_FIX
        ) from error
    check_config(name, Path(config))
    return Path(config).parent.name


def check_model_name(name: str) -> None:
    """Raise InputError now, without loading weights or torch, if `name` cannot be a model."""
    locate_model(name)


def first_line(error: Exception) -> str:
    """The first line of an error's text, at most 160 characters; its type where it says nothing."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text if len(text) <= 160 else text[:157] + "..."
