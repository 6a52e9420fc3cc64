"""Prompts become tokens in one place: one beginning of a sequence, whoever wrote it, and no end behind it."""

import pytest
import torch
from tiny import random_model
from tokenizers.processors import TemplateProcessing

from llm_bridge import Evaluator, get_task
from llm_bridge.models.prompt_ids import check_tokens, embedded_tokens, prompt_token_ids
from llm_bridge.sampling.rollouts import sample
from sharpening import InputError

TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}"


def with_beginning(front="<bos> ", behind=""):
    """A random Llama whose tokenizer puts special tokens around every text."""
    loaded = random_model("llama")
    tokenizer = loaded.tokenizer
    tokenizer.add_special_tokens({"bos_token": "<bos>"})
    loaded.model.resize_token_embeddings(len(tokenizer))
    names = {*front.split(), *behind.split()}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{front}$A{behind}",
        special_tokens=[(name, tokenizer.convert_tokens_to_ids(name)) for name in names],
    )
    tokenizer.chat_template = TEMPLATE
    return loaded


def templated(tokenizer, text):
    return tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)


def test_a_templated_prompt_gets_no_second_beginning():
    tokenizer = with_beginning().tokenizer
    begin = tokenizer.bos_token_id
    assert tokenizer(templated(tokenizer, "1+2="))["input_ids"][:2] == [begin, begin], "or this shows nothing"
    whole, bare = prompt_token_ids(tokenizer, [templated(tokenizer, "1+2="), "1+2="])
    assert whole == bare and whole.count(begin) == 1 and whole[0] == begin


def test_a_beginning_of_two_tokens_is_there_once_too():
    tokenizer = with_beginning(front="<bos> <unk> ").tokenizer
    whole, bare = prompt_token_ids(tokenizer, ["<bos><unk>1+2=", "1+2="])
    assert whole == bare and len(whole) == 2 + 4


def test_no_end_is_put_between_a_prompt_and_its_completion():
    tokenizer = with_beginning(behind=" <eos>").tokenizer
    for ids in prompt_token_ids(tokenizer, ["1+2=", "<bos>1+2="]):
        assert tokenizer.eos_token_id not in ids and ids.count(tokenizer.bos_token_id) == 1 and len(ids) == 5
    assert prompt_token_ids(tokenizer, ["1+2=<eos>"])[0][-1] == tokenizer.eos_token_id, (
        "what the text says stays"
    )


def test_tokens_stay_as_they_are():
    tokenizer = with_beginning().tokenizer
    assert prompt_token_ids(tokenizer, [[25, 25, 4], (5, 6)]) == [[25, 25, 4], [5, 6]]


def test_without_special_tokens_nothing_changes():
    tokenizer = random_model("gpt2").tokenizer
    assert prompt_token_ids(tokenizer, ["1+2=", "9"]) == tokenizer(["1+2=", "9"])["input_ids"]


@pytest.mark.parametrize("prompts", [[""], [[3], []]])
def test_a_prompt_of_nothing(prompts):
    with pytest.raises(InputError, match="prompts.*no token"):
        prompt_token_ids(random_model("gpt2").tokenizer, prompts)


def test_the_sampler_and_the_evaluator_see_one_beginning():
    loaded, task = with_beginning(), get_task("addition")
    drawn = sample(loaded.model, loaded.tokenizer, ["<bos>1+2=", "1+2="], rollouts=2, max_new_tokens=2)
    assert drawn.prompt_ids[0] == drawn.prompt_ids[1]
    seen = []
    loaded.model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"]), with_kwargs=True
    )
    problems = task.split(4)[1]
    for problem in problems:
        object.__setattr__(problem, "prompt", templated(loaded.tokenizer, problem.prompt))
    evaluator = Evaluator(task, problems, loaded.tokenizer, rollouts=2, max_new_tokens=2, initial_rollouts=2)
    evaluator(loaded.model, 0)
    begin = loaded.tokenizer.bos_token_id
    assert (
        seen
        and all((ids == begin).sum(1).max() <= 1 for ids in seen)
        and any((ids == begin).any() for ids in seen)
    )


def test_a_weight_that_deepspeed_holds_elsewhere_has_the_tokens_of_the_whole():
    model = random_model("llama").model
    whole = model.get_input_embeddings().weight
    empty = torch.nn.Parameter(torch.empty(0))
    vars(empty)["ds_shape"] = whole.shape
    model.set_input_embeddings(torch.nn.Embedding.from_pretrained(whole.detach()))
    model.get_input_embeddings().weight = empty
    assert embedded_tokens(model) == len(whole)
    check_tokens(model, [[0, len(whole) - 1]])
    with pytest.raises(InputError, match=f"0 to {len(whole) - 1}"):
        check_tokens(model, [[len(whole)]])
