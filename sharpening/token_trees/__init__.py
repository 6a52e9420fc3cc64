"""The parts of `sharpening.trees`: the shape of a tree, passes along its levels, tied logits, statistics, rewards, updates, the loop."""
