"""Loud numerics, one thread a worker, no network, and the two Hypothesis profiles."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

# Compiled loops are shared by workers, notebooks and commands in subprocesses, and kept for the next run.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Before the package is imported: its shape annotations are checked at every call of a test, and never for users.
sys.path.insert(0, str(Path(__file__).parent))
from shape_checks import SHAPED_MODULES  # noqa: E402

jaxtyping.install_import_hook(SHAPED_MODULES, "shape_checks.shapes_only")

# Set here and not in the environment, so that commands run in a subprocess keep what a user has: float32.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("fast", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "slow", max_examples=2000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_configure(config):
    """Where the shell that started this in the background had Ctrl-C ignored, commands in subprocesses would too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    one_thread()


LONGEST = ("test_corpus.py", "test_notebooks.py")


def pytest_collection_modifyitems(items):
    """What takes a minute in one piece begins first, so that no worker is left with it while the others are done."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def one_thread():
    """Torch reads OMP_NUM_THREADS when it loads; where a plugin loaded it earlier, say it again."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True)
def memories_do_not_outlive_a_patch(request):
    """What a theorem's cached function computed before a patch must not hide it, and what it computed under
    one must not stay.
    """
    if "monkeypatch" in request.fixturenames:
        forget_cached_results()
    yield
    if "monkeypatch" in request.fixturenames:
        forget_cached_results()


def forget_cached_results():
    """Empty the functools caches of all theorem modules."""
    for name, module in list(sys.modules.items()):
        if name.startswith("sharpening.theorems."):
            for value in vars(module).values():
                if getattr(value, "__module__", None) == name and hasattr(value, "cache_clear"):
                    value.cache_clear()
