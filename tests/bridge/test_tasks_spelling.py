"""A tokenizer that cannot write a task down is refused before any work."""

import pytest

from llm_bridge import TASKS, get_task
from llm_bridge.tasks import spellable
from sharpening import InputError


class Characters:
    """One token a character; others are unknown, dropped, or replaced."""

    def __init__(self, alphabet, unknown="unk"):
        self.alphabet, self.unknown = alphabet, unknown
        self.unk_token_id = 0 if unknown == "unk" else None

    def __call__(self, text, add_special_tokens=True):
        assert add_special_tokens is False
        ids = [self.alphabet.find(character) + 1 for character in text]
        return {"input_ids": [one for one in ids if one] if self.unknown == "drop" else ids}

    def decode(self, ids, skip_special_tokens=False):
        return "".join("?" if one == 0 else self.alphabet[one - 1] for one in ids)


EVERYTHING = "".join(
    sorted(
        {
            character
            for name in TASKS
            for problem in get_task(name).problems
            for character in problem.prompt + get_task(name).solution(problem)
        }
    )
)


@pytest.mark.parametrize("name", TASKS)
def test_a_tokenizer_with_every_character_spells_every_task(name):
    assert spellable(get_task(name), Characters(EVERYTHING)) is None


@pytest.mark.parametrize("unknown", ["unk", "drop", "replace"])
@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("addition", "+"),
        ("addition", "7"),
        ("modmul", "%"),
        ("countdown", ">"),
        ("countdown", "*"),
        ("capitals", "T"),
        ("capitals", "z"),
    ],
)
def test_a_missing_character_is_named_with_its_text(name, missing, unknown):
    with pytest.raises(InputError, match="cannot spell its (prompt|answer)"):
        spellable(get_task(name), Characters(EVERYTHING.replace(missing, ""), unknown))


def test_case_and_spaces_may_change():
    class Lower(Characters):
        def __call__(self, text, add_special_tokens=True):
            return super().__call__(text.lower().replace(" ", ""), add_special_tokens)

    assert spellable(get_task("capitals"), Lower(EVERYTHING.lower() + "'áéíóúășăãâñôçş")) is None


def test_with_a_real_tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    vocabulary = {character: place for place, character in enumerate(["[UNK]", *"0123456789+="])}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    spellable(get_task("addition"), tokenizer)
    with pytest.raises(InputError, match="unknown token"):
        spellable(get_task("modmul"), tokenizer)
