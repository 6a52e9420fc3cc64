"""Ask a language model whether answers are right: one forward pass, the probability of yes against that of no
as the next token.
"""

from dataclasses import dataclass

from llm_bridge.models.prompt_ids import prompt_token_ids
from sharpening.errors import InputError

QUESTION = (
    "{prompt}\n\nProposed answer: {answer}\n\nIs the proposed answer correct? Reply with one word, yes or no."
)


@dataclass(frozen=True)
class Form:
    """How a model is asked: a template with {prompt} and {answer}, and the words that mean yes and no, read
    by their first tokens.
    """

    template: str
    yes: tuple[str, ...]
    no: tuple[str, ...]


WORDS = Form(QUESTION + "\nReply:", ("yes", "Yes", " yes", " Yes"), ("no", "No", " no", " No"))
"""For models that know words; with a chat template the question is the user's message."""
DIGITS = Form(">{prompt}{answer}:", ("1",), ("0",))
"""For tokenizers without letters: ">37+48=85:" is to be continued with 1 or 0, as `addition-checker` was
taught.
"""


def form_for(tokenizer) -> Form | None:
    """WORDS if the tokenizer can spell them, else DIGITS if it can spell those, else None."""
    return next((form for form in (WORDS, DIGITS) if _spells(tokenizer, form)), None)


def _spells(tokenizer, form: Form) -> bool:
    texts = (form.template.replace("{prompt}", "").replace("{answer}", ""), form.yes[0], form.no[0])
    ids = [token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    unknown = getattr(tokenizer, "unk_token_id", None)
    return (unknown is None or unknown not in ids) and set(_first_tokens(tokenizer, form.yes)).isdisjoint(
        _first_tokens(tokenizer, form.no)
    )


def _first_tokens(tokenizer, words) -> list[int]:
    heads = [tokenizer(word, add_special_tokens=False)["input_ids"][:1] for word in words]
    return sorted({head[0] for head in heads if head})


def question(tokenizer, form: Form, prompt: str, answer: str) -> list[int]:
    """The tokens of one verification question; a chat model sees it as the user's message."""
    # The answer is untrusted text, so it is put in last: no brace of it is read.
    if form is WORDS and getattr(tokenizer, "chat_template", None):
        message = QUESTION.replace("{prompt}", prompt).replace("{answer}", answer)
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], add_generation_prompt=True, tokenize=False
        )
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    text = form.template.replace("{prompt}", prompt).replace("{answer}", answer)
    return prompt_token_ids(tokenizer, [text])[0]


def yes_shares(model, tokenizer, form: Form, pairs, *, chunk: int = 64):
    """P(yes) / (P(yes) + P(no)) of the next token for each (prompt, answer) text, (pairs,), and the positions
    run through the network.

    Raises: InputError if yes and no begin with the same token.
    """
    import torch

    from llm_bridge.sampling.forward import next_token_logits

    yes, no = (_first_tokens(tokenizer, words) for words in (form.yes, form.no))
    if not set(yes).isdisjoint(no):
        raise InputError(
            "verifier",
            form.yes[0],
            "yes and no begin with the same token, so its probability says nothing",
            "Use another model",
        )
    questions = [question(tokenizer, form, prompt, answer) for prompt, answer in pairs]
    shares = []
    for start in range(0, len(questions), chunk):
        logits = next_token_logits(model, tokenizer, questions[start : start + chunk])
        shares.append(torch.sigmoid(logits[:, yes].logsumexp(-1) - logits[:, no].logsumexp(-1)))
    return torch.cat(shares) if shares else torch.zeros(0), sum(map(len, questions))
