"""What work on a model costs: tokens and seconds."""

from dataclasses import dataclass


@dataclass
class Cost:
    """Tokens and seconds spent."""

    generated_tokens: int = 0
    forward_tokens: int = 0
    backward_tokens: int = 0
    seconds: float = 0.0

    def add(self, drawn):
        self.generated_tokens += drawn.generated_tokens
        self.forward_tokens += drawn.forward_tokens

    def as_dict(self) -> dict:
        return {
            "generated_tokens": self.generated_tokens,
            "forward_tokens": self.forward_tokens,
            "backward_tokens": self.backward_tokens,
            "seconds": round(self.seconds, 1),
        }
