"""What codes and voices are called on tables and pages, and what others measured."""

VOICES = {
    "uncoupled": (
        "each prompt sharpens alone (He et al. 2026, Theorem 1, from the measured prior); "
        "nothing can bring it below the share of aligned prompts"
    ),
    "coupled": (
        "prompts share parameters: private and shared pulls, measured from the model's own gradients, drive a"
        " mean field"
    ),
    "pilot": (
        "a few steps of the run itself on a throwaway copy, ever larger; its curves, dated by failure times"
        " fitted on measured runs"
    ),
    "radius": (
        "a plain baseline: how much weight noise the answers survive, over how far the optimizer moves a"
        " weight per step"
    ),
}


VERDICTS = {
    "improves": ("good", "It should improve, and hold"),
    "stable": ("good", "It should hold"),
    "rise_then_fall": ("caution", "It should improve first, then collapse"),
    "uncertain": ("caution", "It is too close to call"),
    "collapse": ("bad", "It should collapse"),
    "no_signal": ("caution", "No signal was seen: whether it collapses cannot be told"),
}
"""Verdict codes (what `ModelForecast.verdict` holds and the JSON shows) -> (tone, headline)."""


FATES = {
    "improves": "ends better than it began",
    "rises_then_falls": "rises, then falls",
    "dies": "falls without a rise",
    "stays": "stays as it is",
}
"""Fates of a run (`ModelForecast.fates`) in words."""


OTHERS = "What others measured, on other models: for orientation, not a forecast"


REFERENCES = (
    (
        "He et al. 2026 (arXiv 2603.08660) trained for 600 steps of 32 prompts on data sets of 32, 128, 512,"
        " 2,048, 8,192 and 16,384: those of 32 and 128 never collapsed, those of 512 and more did."
    ),
    (
        "Their seven models reached the model collapse step (MCS: reward accuracy below 1 %) between step 34"
        " (OLMo-2-1124-7B) and 383 (Qwen3-8B-Base)."
    ),
    (
        'Two rules of thumb go further than that: "MCS above 10,000 steps is stable" lies beyond every model'
        ' they measured, and "safe up to 1,000 examples" beyond the 128 that held.'
    ),
)
"""Shown beside a forecast under the title OTHERS, never used by it."""
