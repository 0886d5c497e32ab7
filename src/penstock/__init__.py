"""Keep OpenSearch indexes in step with DocumentDB and MongoDB collections.

What may be relied on from outside is in docs/public-api.md: from Python, only the names in `__all__`.
"""

__all__ = ["__version__"]

__version__: str
"""The installed version, looked up when it is asked for."""


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 (slower than all else here, and rarely needed)

        return version("penstock")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
