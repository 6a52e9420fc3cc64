"""The prompts that a monitor asks, as the trainer it watches gives its own to the model."""

import logging
from dataclasses import replace

from llm_bridge.models.chat import messages_of, rendered, with_options
from llm_bridge.tasks.form import raw_text_note

log = logging.getLogger(__name__)


def put_prompts(evaluator, args) -> None:
    """Chats become what the model sees, by the template and the options of the trainer; its stop strings are the
    evaluator's.

    Raises: InputError for chats that the template cannot render.
    """
    options, reader = getattr(args, "chat_template_kwargs", None) or {}, evaluator.tokenizer
    tokenizer = getattr(reader, "tokenizer", reader)
    generation = getattr(args, "generation_kwargs", None) or {}
    if evaluator.stop is None and generation.get("stop_strings"):
        stops = generation["stop_strings"]
        evaluator.stop = (stops,) if isinstance(stops, str) else tuple(stops)
    texts = [problem.prompt for problem in evaluator.problems if not messages_of(problem.prompt)]
    for note in raw_text_note(tokenizer, texts) if texts else ():
        log.warning(note)
    evaluator.problems = [
        replace(problem, prompt=rendered(reader, with_options(problem.prompt, options)))
        if messages_of(problem.prompt)
        else problem
        for problem in evaluator.problems
    ]
    evaluator.tokenizer = tokenizer
