"""Where theorem meets network: a small transformer's exact answer distribution, and exact updates of it
without sampling.

>>> from llm_bridge.exact import ExactModel, ExactTraining, numerals
>>> from llm_bridge.models.loading import load_model
>>> from llm_bridge.tasks import get_task
>>> from sharpening import SoftmaxGradient
>>> exact = ExactModel(load_model("addition-uncertain"), get_task("addition"), numerals(200))
>>> exact.trie.labels[int(exact.policy(["37+48="]).argmax())]
'85'
>>> step = ExactTraining(exact, "majority", SoftmaxGradient(1e-4)).step(["37+48="])
>>> bool(step.after.max() > step.before.max())
True
"""

from llm_bridge.exact.distribution import OTHER, ExactModel
from llm_bridge.exact.kernel import jacobian, pull_back, push_forward
from llm_bridge.exact.trie import AnswerTrie, numerals
from llm_bridge.exact.updates import ExactStep, ExactTraining, fit, project

__all__ = [
    "OTHER",
    "AnswerTrie",
    "ExactModel",
    "ExactStep",
    "ExactTraining",
    "fit",
    "jacobian",
    "numerals",
    "project",
    "pull_back",
    "push_forward",
]
