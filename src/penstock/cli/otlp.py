"""Metrics and spans by OTLP, where the settings ask for it; nothing of OpenTelemetry is imported without."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from penstock.runtime.extras import not_installed
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
        raise not_installed(
            error, "[observe] otlp_endpoint", extra="otel", packages=_OF_THE_EXTRA, parts=("penstock.observe.otlp",)
        ) from None
    return exporting(settings.observe, metrics, name=settings.pipeline.name, every_s=every_s)
