"""Prompts that are chats: their turns, and the text that a tokenizer's chat template makes of them, once."""

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

from sharpening.errors import InputError

NO_TEMPLATE_FIX = (
    "Give a model whose tokenizer has a chat template (an instruct model), or --no-chat for plain text: the"
    " messages' contents, joined by blank lines"
)
_PROBE = "\N{SYMBOL FOR NULL}"
_known: WeakKeyDictionary = WeakKeyDictionary()


class Prompt(str):
    """A prompt that knows what it was made of. As a text: what the model sees, or the transcript of a chat that no
    template has rendered yet.

    question: what the data asks, without system message, examples and template. messages: the turns of a chat, each
    {"role", "content"}; None for plain text. options: what its template is told beside them, such as
    `enable_thinking`. rendered: nothing more is to be put around the text, not even a beginning of a sequence.
    """

    question: str
    messages: tuple[dict[str, str], ...] | None
    options: dict
    rendered: bool

    def __new__(cls, text: str, *, question=None, messages=None, options=None, rendered=False):
        found = super().__new__(cls, text)
        found.question = str(text if question is None else question)
        found.messages = None if messages is None else tuple(messages)
        found.options, found.rendered = dict(options or {}), rendered
        return found

    @property
    def turns(self) -> tuple[dict[str, str], ...]:
        """The turns of a chat; empty for plain text."""
        return self.messages or ()


def messages_of(prompt: object) -> tuple[dict[str, str], ...] | None:
    """The turns of a prompt that is a chat; None for plain text."""
    return getattr(prompt, "messages", None)


def with_options(prompt: Prompt, options: dict) -> Prompt:
    """A chat that is not rendered yet, whose template is told these options too."""
    if prompt.rendered or not options:
        return prompt
    return Prompt(
        prompt, question=prompt.question, messages=prompt.messages, options=prompt.options | options
    )


def is_chat(prompt) -> bool:
    """Whether a prompt is a list of messages, TRL's conversational format."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, str)
        and len(prompt) > 0
        and all(isinstance(turn, Mapping) for turn in prompt)
    )


def chat_prompt(messages, *, drop_reply: bool = False) -> Prompt:
    """The chat of a list of messages, not rendered yet. drop_reply: a last turn of the assistant is left out.

    Raises: ValueError, with the reason, for what is no chat that a model can answer.
    """
    if not is_chat(messages):
        raise ValueError('a chat is a list of messages {"role": ..., "content": ...}')
    turns = tuple(_turn(number, message) for number, message in enumerate(messages, start=1))
    if drop_reply and turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    if not turns or all(turn["role"] == "system" for turn in turns):
        raise ValueError("the chat holds no message of a user")
    if turns[-1]["role"] in ("assistant", "system"):
        raise ValueError(
            f"the chat ends with a message of the {turns[-1]['role']}, and nothing asks for a reply"
        )
    return Prompt(transcript(turns), messages=turns)


def _turn(number: int, message) -> dict[str, str]:
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role.strip():
        raise ValueError(f"message {number} has no role")
    if isinstance(content, list) and content and all(_is_text_part(part) for part in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise ValueError(f"message {number} has no text as content")
    if not content.strip() and role == "user":
        raise ValueError(f"message {number} is empty")
    return {"role": str(role), "content": str(content)}


def _is_text_part(part) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def transcript(turns) -> str:
    """A chat as a person reads it: the one message of a user alone, else one paragraph a turn with its role."""
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def has_template(tokenizer) -> bool:
    """Whether the tokenizer brings a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def rendered(tokenizer, prompt: Prompt) -> Prompt:
    """The chat as the model sees it: the tokenizer's own template, applied once, up to where the assistant begins.

    Raises: InputError for a tokenizer without a template, for a chat that the template refuses or of which it leaves
    out the system message, and for a message that is itself such a text.
    """
    if prompt.rendered or prompt.messages is None:
        return prompt
    if not has_template(tokenizer):
        raise InputError(
            "chat",
            _shown(prompt),
            "the prompt is a chat, and the model's tokenizer has no chat template",
            NO_TEMPLATE_FIX,
        )
    if looks_rendered(tokenizer, prompt.messages[-1]["content"]):
        raise InputError(
            "prompts",
            _shown(prompt),
            "it already holds what the chat template writes, and the template would be applied a second time",
            "Give the messages themselves, or leave --chat out, so that the text is taken as it is",
        )
    text = _apply(tokenizer, prompt, prompt.messages)
    _check_system(tokenizer, prompt, text)
    return Prompt(
        text, question=prompt.question, messages=prompt.messages, options=prompt.options, rendered=True
    )


def _apply(tokenizer, prompt: Prompt, messages) -> str:
    try:
        return tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, **prompt.options
        )
    except Exception as error:
        from llm_bridge.models.names import first_line

        system = messages[0]["role"] == "system"
        fix = (
            "Leave the system message (--system) out, or put its text into the question"
            if system
            else ("Write the messages as this model's template expects them, or use --no-chat")
        )
        roles = ", ".join(turn["role"] for turn in messages)
        raise InputError(
            "system" if system else "prompts",
            (messages[0]["content"] if system else str(prompt))[:60],
            f"the model's chat template refuses messages of the roles {roles} ({first_line(error)})",
            fix,
        ) from error


def _check_system(tokenizer, prompt: Prompt, text: str) -> None:
    """A template that leaves a system message out would change the question in silence."""
    first, *others = prompt.turns
    if first["role"] != "system" or first["content"].strip() in text:
        return
    if _apply(tokenizer, prompt, others) == text:
        raise InputError(
            "system",
            first["content"][:60],
            "the model's chat template leaves the system message out",
            "Put its text into the question, or give a model whose template has a place for it",
        )


def looks_rendered(tokenizer, text: str) -> bool:
    """Whether a text already holds what the chat template writes: one of its special tokens, or how it ends."""
    marks, tail = _marks(tokenizer)
    return any(mark in text for mark in marks) or (not marks and bool(tail) and text.rstrip().endswith(tail))


def _marks(tokenizer) -> tuple[list[str], str]:
    """The special tokens that the template writes around a message, and what it writes behind one."""
    if not has_template(tokenizer):
        return [], ""
    template = str(tokenizer.chat_template)
    if _known.get(tokenizer, ("", None))[0] != template:
        _known[tokenizer] = (template, _found_marks(tokenizer))
    return _known[tokenizer][1]


def _found_marks(tokenizer) -> tuple[list[str], str]:
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": _PROBE}], tokenize=False, add_generation_prompt=True
        )
    except Exception:
        return [], ""
    special = {
        *tokenizer.all_special_tokens,
        *(str(token) for token in tokenizer.added_tokens_decoder.values()),
    }
    return sorted(token for token in special if len(token) > 2 and token in text), text.rpartition(_PROBE)[
        2
    ].strip()


def _shown(prompt: str) -> str:
    return " ".join(getattr(prompt, "question", prompt).split())[:60]
