"""What draws the completions of a model that is not trained yet: our own sampler, `transformers`' continuous batching,
or vLLM.
"""

from importlib.util import find_spec

import numpy as np
import transformers
from transformers import AutoConfig

from llm_bridge.models.names import locate_model
from llm_bridge.models.prompt_ids import check_tokens, prompt_token_ids
from llm_bridge.models.stop_strings import before_stop, stop_strings
from llm_bridge.sampling.continuous import by_continuous_batching
from llm_bridge.sampling.rollouts import Rollouts, sample
from llm_bridge.sampling.seeding import seeded
from sharpening.errors import InputError

ENGINES = ("transformers", "continuous", "vllm")
MEMORY = 0.45
"""Of a device's memory that vLLM may take: the model itself is there a second time, for what only its weights tell."""


def check_engine(engine: str, model: str) -> None:
    """Raise InputError for an engine that there is not, that is not installed, or that does not read such a model."""
    if engine not in ENGINES:
        raise InputError("engine", engine, f"known ones are {', '.join(ENGINES)}")
    if engine == "transformers":
        return
    if engine == "continuous":
        if not hasattr(transformers, "ContinuousBatchingConfig"):
            rule = "its continuous batching tells log-probabilities from version 5.8 on"
            raise InputError(
                "engine", engine, f"transformers {transformers.__version__} is installed; {rule}"
            )
        return
    if find_spec("vllm") is None:
        raise InputError(
            "engine",
            engine,
            "vLLM is not installed",
            "pip install vllm, or ask a server that runs it elsewhere with --server",
        )
    if "gguf_file" in locate_model(model)[1]:
        raise InputError(
            "engine",
            engine,
            f"{model} is a GGUF file, of which vLLM and transformers make different weights",
            "Turn it into a folder with `sharpening zoo import`",
        )


def initial_rollouts(
    loaded, prompts, *, engine: str, rollouts: int, max_new_tokens: int, temperature: float, seed: tuple
) -> Rollouts:
    """Completions of the model as it was loaded, under the law of `llm_bridge.sampling.rollouts.sample`: the plain
    distribution at `temperature`, up to a stop string of the generation config.

    seed: parts of what the draws depend on; engines draw differently from the same seed. Raises: InputError for a model
    that the engine does not run, and for one that continuous batching runs under another law. vLLM loads the weights of
    `loaded.name` itself, in the precision in which they are stored, and gives its memory back.
    """
    if engine == "transformers":
        return sample(
            loaded.model,
            loaded.tokenizer,
            prompts,
            rollouts=rollouts,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            generator=seeded(*seed),
        )
    if engine == "continuous":
        return by_continuous_batching(loaded, prompts, rollouts, max_new_tokens, temperature, seed)
    return _by_vllm(loaded, prompts, rollouts, max_new_tokens, temperature, seed)


def _by_vllm(loaded, prompts, rollouts, max_new_tokens, temperature, seed) -> Rollouts:
    from vllm import LLM, SamplingParams

    model, tokenizer = loaded.model, loaded.tokenizer
    prompt_ids, stop = prompt_token_ids(tokenizer, prompts), tuple(stop_strings(model))
    check_tokens(model, prompt_ids)
    seeds = np.random.SeedSequence(seed).generate_state(len(prompt_ids) + 1, np.uint32).tolist()
    folder, _ = locate_model(loaded.name)
    engine = LLM(
        model=folder,
        # Left to itself it makes 16-bit weights of 32-bit ones.
        dtype=str(AutoConfig.from_pretrained(folder).dtype or "auto").removeprefix("torch."),
        seed=seeds.pop(),
        max_model_len=max(map(len, prompt_ids)) + max_new_tokens,
        max_logprobs=1,
        # Of the distribution that is drawn from, not of the one before the temperature.
        logprobs_mode="processed_logprobs",
        gpu_memory_utilization=MEMORY,
        enable_prefix_caching=True,
    )
    try:
        params = [
            SamplingParams(
                n=rollouts,
                temperature=temperature,
                top_p=1.0,
                top_k=-1,
                max_tokens=max_new_tokens,
                logprobs=0,
                stop=list(stop),
                seed=own,
            )
            for own in seeds
        ]
        found = engine.generate([{"prompt_token_ids": ids} for ids in prompt_ids], params, use_tqdm=False)
    finally:
        _give_back(engine)
    token_ids = [[list(one.token_ids) for one in asked.outputs] for asked in found]
    scores = [
        [
            [told[token].logprob for token, told in zip(one.token_ids, one.logprobs, strict=True)]
            for one in asked.outputs
        ]
        for asked in found
    ]
    texts = [
        [before_stop(text, stop) for text in tokenizer.batch_decode(group, skip_special_tokens=True)]
        for group in token_ids
    ]
    generated = sum(len(ids) for group in token_ids for ids in group)
    return Rollouts(prompt_ids, token_ids, texts, scores, sum(map(len, prompt_ids)) + generated, generated)


def _give_back(engine) -> None:
    """End vLLM's workers, so that the device's memory is free for the weights that gradients need."""
    engine.llm_engine.engine_core.shutdown()
