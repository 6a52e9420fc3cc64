"""`python -m llm_bridge.cli` is `sharpening`."""

from llm_bridge.cli import main

main()
