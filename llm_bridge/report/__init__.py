"""A forecast, a measurement, or both as JSON (schema version 1), terminal tables, figures and one
self-contained HTML page.
"""

from llm_bridge.report.comparison import Distance, distance, voice_distances
from llm_bridge.report.document import (
    comparison_document,
    forecast_document,
    measurement_document,
    simulation_document,
)
from llm_bridge.report.files import report_files
from llm_bridge.report.headline import Headline, comparison_headline, forecast_headline, measurement_headline
from llm_bridge.report.page import render_page
from llm_bridge.report.tables import print_comparison, print_forecast, print_measurement, print_records

__all__ = [
    "Distance",
    "Headline",
    "comparison_document",
    "comparison_headline",
    "distance",
    "forecast_document",
    "forecast_headline",
    "measurement_document",
    "measurement_headline",
    "print_comparison",
    "print_forecast",
    "print_measurement",
    "print_records",
    "render_page",
    "report_files",
    "simulation_document",
    "voice_distances",
]
