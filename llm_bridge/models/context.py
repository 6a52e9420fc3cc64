"""Whether a model's context holds prompts and completions, asked before any work."""

from llm_bridge.models.chat import pictures_of
from llm_bridge.models.pictures import MARK
from llm_bridge.models.prompt_ids import prompt_token_ids
from sharpening.errors import InputError


def context_length(model) -> int | None:
    """Positions that the model was made for; None where its configuration sets no limit."""
    text = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    found = getattr(text, "max_position_embeddings", None)
    return found if isinstance(found, int) and found > 0 else None


def fits_context(loaded, problems, max_new_tokens: int) -> None:
    """Raise InputError unless every prompt leaves room for `max_new_tokens` in the model's context."""
    limit = context_length(loaded.model)
    if limit is None:
        return
    # Of prompts that differ in what they show alone one is enough, as long as the images are of one size.
    kinds = {_kind(problem.prompt): problem.prompt for problem in problems}
    prompts = list(kinds.values())
    lengths = [len(ids) for ids in prompt_token_ids(loaded.tokenizer, prompts)] if prompts else [0]
    longest = max(lengths)
    if longest + max_new_tokens > limit:
        room = limit - longest
        raise InputError(
            "max_new_tokens",
            max_new_tokens,
            f"with a prompt of {longest} tokens ({_asks(prompts[lengths.index(longest)])!r}) that makes"
            f" {longest + max_new_tokens}, and the context of {loaded.name} holds {limit}",
            f"Use --max-new-tokens {room} or fewer"
            if room > 0
            else "Leave longer prompts out of the data set",
        )


def _kind(prompt: str):
    pictures = pictures_of(prompt)
    return (MARK.sub("", prompt), tuple(one.size for one in pictures)) if pictures else prompt


def _asks(prompt: str) -> str:
    return getattr(prompt, "question", prompt)[:60]
