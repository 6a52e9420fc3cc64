"""Models: what a name can mean, the tiny transformers that ship with the package, and how one is loaded."""
