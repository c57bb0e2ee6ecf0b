"""The ASGI application, its middleware and telemetry."""
