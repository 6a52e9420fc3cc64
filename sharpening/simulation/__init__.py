"""The parts of `sharpening.simulate`: sampling answers, drawing batches, one training step, evaluation, the loop."""
