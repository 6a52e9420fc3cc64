"""The one place where prompts become token ids, and what a tokenizer puts around them."""

from llm_bridge.models.chat import Prompt, chat_prompt, is_chat, pictures_of, rendered
from sharpening.errors import InputError

_NEUTRAL = "0"


def prompt_token_ids(tokenizer, prompts) -> list[list[int]]:
    """Token ids of each prompt, a text that the model is to continue or a chat (a list of messages) that it is to
    answer.

    A chat is rendered by the tokenizer's chat template, once, and nothing is put around what the template wrote. What
    the tokenizer puts in front of every text (such as a beginning-of-sequence token) is put there once: a text that
    already begins with it, as those of `apply_chat_template` do, gets no second one. What it puts behind every text
    (such as an end-of-sequence token) is left away, since the completion follows there. A prompt that is a list of
    token ids stays as it is. Of a prompt with images they are `llm_bridge.models.vision.SeenIds`.

    Raises: InputError for no prompts, for a prompt without any token, and for a chat that cannot be rendered
    (`llm_bridge.models.chat`).
    """
    prompts = [_rendered(tokenizer, prompt) for prompt in prompts]
    if not prompts:
        raise InputError("prompts", prompts, "there is nothing to continue", "Give at least one prompt")
    if any(map(pictures_of, prompts)):
        from llm_bridge.models.vision import seen_token_ids

        prompts = [seen_token_ids(prompt) if pictures_of(prompt) else prompt for prompt in prompts]
    whole = [prompt for prompt in prompts if getattr(prompt, "rendered", False)]
    plain = [
        prompt for prompt in prompts if isinstance(prompt, str) and not getattr(prompt, "rendered", False)
    ]
    # A processor reads texts by its tokenizer.
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    exact = iter(tokenizer(whole, add_special_tokens=False)["input_ids"] if whole else ())
    texts = iter(_of_texts(tokenizer, plain) if plain else ())
    found = [
        list(next(exact if getattr(prompt, "rendered", False) else texts))
        if isinstance(prompt, str)
        else prompt
        if hasattr(prompt, "fields")
        else list(prompt)
        for prompt in prompts
    ]
    for prompt, ids in zip(prompts, found, strict=True):
        if not ids:
            raise InputError(
                "prompts",
                prompt,
                "it holds no token, and nothing follows nothing",
                "Give a prompt of at least one character",
            )
    return found


def _rendered(tokenizer, prompt):
    if is_chat(prompt):
        try:
            prompt = chat_prompt(prompt)
        except ValueError as error:
            raise InputError("prompts", str(prompt)[:80], str(error), "Correct the messages") from error
    return rendered(tokenizer, prompt) if isinstance(prompt, Prompt) else prompt


def _of_texts(tokenizer, prompts) -> list[list[int]]:
    whole = [list(ids) for ids in tokenizer(prompts)["input_ids"]]
    front, behind = _added(tokenizer)
    if not front and not behind:
        return whole
    bare = [list(ids) for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]]
    return [
        ids if ids[: len(front)] == front and front else full[: len(full) - behind]
        for ids, full in zip(bare, whole, strict=True)
    ]


def _added(tokenizer) -> tuple[list[int], int]:
    """What the tokenizer puts in front of a text, and how many tokens it puts behind it."""
    whole = list(tokenizer(_NEUTRAL)["input_ids"])
    bare = list(tokenizer(_NEUTRAL, add_special_tokens=False)["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], len(whole) - start - len(bare)
    return [], 0


def padding_id(tokenizer) -> int:
    """A token to fill what the attention mask hides: padding, else the end of a sequence, else the first."""
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return next(token for token in ids if token is not None)


def embedded_tokens(model) -> int:
    """How many tokens the model has embeddings for."""
    weight = model.get_input_embeddings().weight
    # Between forward passes DeepSpeed's ZeRO-3 holds an empty tensor in place of a weight.
    return getattr(weight, "ds_shape", weight.shape)[0]


def check_tokens(model, token_ids) -> None:
    """Raise InputError for a token id that the model has no embedding for."""
    rows = embedded_tokens(model)
    beyond = next((token for ids in token_ids for token in ids if not 0 <= token < rows), None)
    if beyond is not None:
        raise InputError(
            "prompts",
            f"a text with token {beyond}",
            f"the model has embeddings for the tokens 0 to {rows - 1}",
            "Leave that token out, or use the tokenizer that belongs to the model",
        )
