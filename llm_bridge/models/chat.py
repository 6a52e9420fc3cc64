"""Prompts that are chats: their turns, and the text that a tokenizer's chat template makes of them, once."""

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from llm_bridge.models.pictures import MARK, Picture
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
    pictures: the images that its marks (`llm_bridge.models.pictures`) stand for, in their order. processor: what makes
    token ids of a rendered prompt with images.
    """

    question: str
    messages: tuple[dict[str, str], ...] | None
    options: dict
    rendered: bool
    pictures: tuple[Picture, ...]
    processor: Any

    def __new__(
        cls,
        text: str,
        *,
        question=None,
        messages=None,
        options=None,
        rendered=False,
        pictures=(),
        processor=None,
    ):
        found = super().__new__(cls, text)
        found.question = str(text if question is None else question)
        found.messages = None if messages is None else tuple(messages)
        found.options, found.rendered = dict(options or {}), rendered
        found.pictures, found.processor = tuple(pictures), processor
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
        prompt,
        question=prompt.question,
        messages=prompt.messages,
        options=prompt.options | options,
        pictures=prompt.pictures,
    )


def is_chat(prompt) -> bool:
    """Whether a prompt is a list of messages, TRL's conversational format."""
    return (
        isinstance(prompt, Sequence)
        and not isinstance(prompt, str)
        and len(prompt) > 0
        and all(isinstance(turn, Mapping) for turn in prompt)
    )


def pictures_of(prompt: object) -> tuple[Picture, ...]:
    """The images of a prompt; none of plain text."""
    return getattr(prompt, "pictures", ())


def chat_prompt(messages, *, drop_reply: bool = False, images=None) -> Prompt:
    """The chat of a list of messages, not rendered yet. drop_reply: a last turn of the assistant is left out. images:
    what its parts {"type": "image"} stand for, as `Picture.of` takes them; where no message has such a part they stand
    in front of the first message of a user, as TRL puts them.

    Raises: ValueError, with the reason, for what is no chat that a model can answer, and where images and their places
    do not match.
    """
    if not is_chat(messages):
        raise ValueError('a chat is a list of messages {"role": ..., "content": ...}')
    seen = _Images(images, messages)
    turns = tuple(_turn(number, message, seen) for number, message in enumerate(messages, start=1))
    seen.check()
    if drop_reply and turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    if not turns or all(turn["role"] == "system" for turn in turns):
        raise ValueError("the chat holds no message of a user")
    if turns[-1]["role"] in ("assistant", "system"):
        raise ValueError(
            f"the chat ends with a message of the {turns[-1]['role']}, and nothing asks for a reply"
        )
    found = tuple(picture for turn in turns for picture in seen.in_text(turn["content"]))
    return Prompt(transcript(turns), messages=turns, pictures=found)


class _Images:
    """The images of a chat as its messages are read: those given beside it, and those in its parts."""

    def __init__(self, given, messages):
        self.given = [Picture.of(image) for image in given or ()]
        self.left, self.known = list(self.given), {one.digest: one for one in self.given}
        parts = [
            part
            for message in messages
            if isinstance(message.get("content"), list | tuple)
            for part in message["content"]
        ]
        self.in_front = bool(self.given) and not any(_is_image_part(part) for part in parts)

    def marks(self, part) -> str:
        """What stands for a part of the kind image."""
        inner = next((part[name] for name in ("image", "path") if part.get(name) is not None), None)
        if inner is None:
            if part.get("url") is not None or part.get("base64") is not None:
                raise ValueError(
                    "an image is given by an address or as text, and images are read from files alone"
                )
            if not self.left:
                raise ValueError("there are more places for images than images")
            return self.left.pop(0).mark
        found = Picture.of(inner)
        self.known[found.digest] = found
        return found.mark

    def front(self, role: str) -> str:
        """The marks that stand in front of a message: all, before the first of a user, where no part is theirs."""
        if not self.in_front or role != "user":
            return ""
        self.in_front, marks = False, "".join(one.mark for one in self.left)
        self.left = []
        return marks

    def in_text(self, text: str) -> list[Picture]:
        return [self.known[found] for found in MARK.findall(text) if found in self.known]

    def check(self) -> None:
        if self.left:
            raise ValueError(
                f"{len(self.given)} images are given, and {len(self.left)} of them have no place"
            )


def _turn(number: int, message, seen: _Images) -> dict[str, str]:
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role.strip():
        raise ValueError(f"message {number} has no role")
    if isinstance(content, list | tuple) and content:
        if not all(_is_text_part(part) or _is_image_part(part) for part in content):
            raise ValueError(f"message {number} has parts that are neither text nor image")
        content = "".join(seen.marks(part) if _is_image_part(part) else part["text"] for part in content)
    if not isinstance(content, str):
        raise ValueError(f"message {number} has no text as content")
    content = seen.front(role) + content
    if not content.strip() and role == "user":
        raise ValueError(f"message {number} is empty")
    return {"role": str(role), "content": str(content)}


def _is_text_part(part) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _is_image_part(part) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "image"


def parts_of(prompt: Prompt) -> list[dict]:
    """The messages of a chat with images as a processor's template takes them: parts of text and image."""
    known = {picture.digest for picture in prompt.pictures}
    found = []
    for turn in prompt.turns:
        parts: list[dict] = []
        # Splitting at a group gives texts and digests in turn.
        for place, piece in enumerate(MARK.split(turn["content"])):
            if place % 2 and piece in known:
                parts.append({"type": "image"})
            elif text := f"[image {piece}]" if place % 2 else piece:
                if parts and parts[-1]["type"] == "text":
                    text = parts.pop()["text"] + text
                parts.append({"type": "text", "text": text})
        found.append({"role": turn["role"], "content": parts})
    return found


def shown_messages(prompt: Prompt) -> list[dict]:
    """The messages of a chat with images, each part of the kind image with its own."""
    shown = iter(prompt.pictures)
    return [
        {
            **turn,
            "content": [
                {"type": "image", "image": next(shown).image()} if part["type"] == "image" else part
                for part in turn["content"]
            ],
        }
        for turn in parts_of(prompt)
    ]


def blind(prompt: str) -> str:
    """The same prompt with every image replaced by plain grey of its size; itself where it has none.

    A rendered prompt stays rendered.
    """
    if not pictures_of(prompt):
        return prompt
    assert isinstance(prompt, Prompt)
    grey = {picture.digest: picture.greyed() for picture in prompt.pictures}

    def changed(text: str) -> str:
        return MARK.sub(lambda found: grey[found[1]].mark if found[1] in grey else found[0], text)

    return Prompt(
        changed(prompt),
        question=changed(prompt.question),
        messages=[{**turn, "content": changed(turn["content"])} for turn in prompt.turns],
        options=prompt.options,
        rendered=prompt.rendered,
        pictures=[grey[picture.digest] for picture in prompt.pictures],
        processor=prompt.processor,
    )


def transcript(turns) -> str:
    """A chat as a person reads it: the one message of a user alone, else one paragraph a turn with its role."""
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def has_template(tokenizer) -> bool:
    """Whether the tokenizer brings a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def rendered(tokenizer, prompt: Prompt) -> Prompt:
    """The chat as the model sees it: the tokenizer's own template, applied once, up to where the assistant begins. Of
    a chat with images `tokenizer` is the model's processor, which knows its own template.

    Raises: InputError for a tokenizer without a template, for a chat that the template refuses or of which it leaves
    out the system message, and for a message that is itself such a text.
    """
    if prompt.rendered or prompt.messages is None:
        return prompt
    if prompt.pictures:
        return _with_images(tokenizer, prompt)
    messages: Sequence = prompt.messages
    if hasattr(tokenizer, "image_processor"):
        # Of a vision-language model the processor has the template, which takes parts.
        messages = parts_of(prompt)
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
    text = _apply(tokenizer, prompt, messages)
    _check_system(tokenizer, prompt, text)
    return Prompt(
        text, question=prompt.question, messages=prompt.messages, options=prompt.options, rendered=True
    )


def _with_images(processor, prompt: Prompt) -> Prompt:
    """A chat with images, whose text keeps the marks, so that prompts are told apart by what they show."""
    if not hasattr(processor, "image_processor"):
        raise InputError(
            "model",
            _shown(prompt),
            "the prompt holds an image, and the model reads text alone (it has no image processor)",
            "Give a vision-language model whose folder holds its processor (processor_config.json)",
        )
    if not has_template(processor):
        raise InputError(
            "chat",
            _shown(prompt),
            "the prompt is a chat with images, and the model's processor has no chat template",
            "Give a model whose processor has one",
        )
    return Prompt(
        prompt,
        question=prompt.question,
        messages=prompt.messages,
        options=prompt.options,
        rendered=True,
        pictures=prompt.pictures,
        processor=processor,
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
    if hasattr(tokenizer, "image_processor"):
        others = parts_of(prompt)[1:]
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
