"""Keep third-party chatter off the terminal while one of our commands runs; a user's own scripts are left
alone.
"""

import contextlib
import logging as standard
import os
import warnings


@contextlib.contextmanager
def quiet_libraries():
    """Silence progress bars, deprecation notices and log lines of transformers, datasets and TRL; errors
    still show.
    """
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    import datasets
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    dataset_bars, trl = datasets.are_progress_bars_disabled(), standard.getLogger("trl")
    level = trl.level
    # Among others three lines for each completion that only votes.
    trl.setLevel(standard.ERROR)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|trl|torch")
            warnings.filterwarnings(
                "ignore", category=UserWarning, module="transformers|trl|torch|accelerate"
            )
            yield
    finally:
        logging.set_verbosity(verbosity)
        trl.setLevel(level)
        if bars:
            logging.enable_progress_bar()
        if not dataset_bars:
            datasets.enable_progress_bars()
