"""A report is of a forecast, of a measurement, or of both: which of them is there."""

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.training.measurement import Measurement


def first_given(*results: ModelForecast | Measurement | None) -> ModelForecast | Measurement:
    """The first of these that is there. Raises: ValueError where none is."""
    for result in results:
        if result is not None:
            return result
    raise ValueError("a report needs a forecast, a measurement, or both")
