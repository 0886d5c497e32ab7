"""Metrics and spans by OTLP, where the settings ask for it; nothing of OpenTelemetry is imported without."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from penstock.errors import SettingsError
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.observe.metrics import Metrics

_OF_THE_EXTRA = ("opentelemetry", "requests", "google")


def otlp_export(settings: Settings, metrics: "Metrics", *, every_s: float) -> AbstractContextManager[None]:
    """Return what exports within a block; nothing without an endpoint. Raises SettingsError."""
    if settings.observe.otlp_endpoint is None:
        return nullcontext()
    try:
        from penstock.observe.otlp import exporting
    except ModuleNotFoundError as error:
        missing: Any = error.name or ""
        if missing.partition(".")[0] not in _OF_THE_EXTRA:
            raise
        raise SettingsError(
            f"[observe] otlp_endpoint needs the package {missing}; install it with: pip install 'penstock[otel]'"
        ) from None
    return exporting(settings.observe, metrics, name=settings.pipeline.name, every_s=every_s)
