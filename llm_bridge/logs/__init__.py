"""Read the log of a finished or running training and say what is going wrong in it: `read_log(path)` gives a
list of Findings.

Read are our own files, TRL's completions, verl's rollouts, Hugging Face's trainer_state.json, and JSONL or
CSV with common metric names. One reader a file; each turns its input into a `RunLog`, from which the findings
are made. Nothing here loads torch.
"""

from llm_bridge.logs.finding import LEVELS, Finding
from llm_bridge.logs.read import read_log

__all__ = ["LEVELS", "Finding", "read_log"]
