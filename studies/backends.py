"""What the parts of a study run on. Through joblib, so that Dask and other backends leave one machine."""

import contextlib

from sharpening.errors import InputError

BACKENDS = ("loky", "dask")


def check(backend: str) -> None:
    """Raise InputError for an unknown backend, and for one that is not installed."""
    if backend not in BACKENDS:
        raise InputError(
            "backend", backend, f"known backends are {', '.join(BACKENDS)}", "Use --backend loky"
        )
    if backend == "dask":
        try:
            import distributed  # noqa: F401
        except ModuleNotFoundError as error:
            raise InputError(
                "backend", backend, "Dask is not installed", "Install it with `pip install '.[dask]'`"
            ) from error


@contextlib.contextmanager
def running(backend: str, workers: int):
    """Inside, joblib runs on the backend: with "dask" on a local cluster of `workers` processes, one thread each.

    A cluster of your own: enter `joblib.parallel_config(backend="dask")` with a client of it, and call the study's run.
    """
    check(backend)
    if backend == "loky":
        yield
        return
    from distributed import Client, LocalCluster
    from joblib import parallel_config

    with (
        LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster),
        parallel_config(backend="dask"),
    ):
        yield
