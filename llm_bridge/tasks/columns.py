"""Where a data set keeps prompts and true answers: the fields of JSONL lines and of the rows that a trainer reads."""

from collections.abc import Iterable, Mapping

from llm_bridge.models.chat import Prompt, chat_prompt

PROMPTS = ("prompt", "messages", "question")
"""Fields that can hold the prompt, the first that is there."""
ANSWERS = ("answer", "solution", "ground_truth", "label", "reward_model.ground_truth")
"""Fields that can hold the true answer, the first that is there; a dot goes into a field that is an object."""
ABSENT = object()


def prompt_field(row: Mapping) -> str | None:
    """The field of the row that holds its prompt; None without any."""
    return next((name for name in PROMPTS if name in row), None)


def read_prompt(name: str, value, images=None) -> Prompt | object:
    """The prompt in a field: a list of messages is a chat, anything else stays as it is. Of `messages` a last turn of
    the assistant is the reply, not part of the prompt. images: those of the row; with them a text is a chat too, the
    message of a user.

    Raises: ValueError, with the reason, for a list that is no chat, and for images that cannot be read or have no
    place.
    """
    if images and isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        return value
    return chat_prompt(value, drop_reply=name == "messages", images=images)


def images_in(row: Mapping) -> list:
    """The images of a row as TRL reads them: its field `images`, else `image`; none without either."""
    if row.get("images") is not None:
        return list(row["images"])
    return [] if row.get("image") is None else [row["image"]]


def has_reply(name: str, value) -> bool:
    """Whether `read_prompt` leaves a last turn out."""
    return (
        name == "messages"
        and isinstance(value, list)
        and bool(value)
        and value[-1].get("role") == "assistant"
    )


def answer_field(row: Mapping) -> tuple[str | None, object]:
    """(field, value) of the row's true answer, (None, ABSENT) without any. Beside `answer`, a field that is null or
    true or false holds none.
    """
    for name in ANSWERS:
        value = _value(row, name)
        if value is not ABSENT and (name == "answer" or not (value is None or isinstance(value, bool))):
            return name, value
    return None, ABSENT


def answers_of(rows: Iterable[Mapping], column: str | None = None) -> tuple[list, list[str]]:
    """(the true answer of every row, None where it has none; the fields that hold them). column: the field to read, a
    dot goes into one that is an object; None reads each row's `answer_field`. Of a list of one its element is the
    answer.
    """
    found: list = []
    fields: dict[str, None] = {}
    for row in rows:
        name, value = (column, _value(row, column)) if column is not None else answer_field(row)
        if name is None or value is ABSENT or value is None:
            found.append(None)
            continue
        fields[name] = None
        found.append(only(value))
    return found, list(fields)


def only(value):
    """Of a list of one its element; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _value(row, name: str):
    if isinstance(row, Mapping) and name in row:
        return row[name]
    for part in name.split("."):
        if not isinstance(row, Mapping) or part not in row:
            return ABSENT
        row = row[part]
    return row
