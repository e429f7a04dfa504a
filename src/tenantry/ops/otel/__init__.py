"""OpenTelemetry over OTLP/HTTP, as an extra (`pip install tenantry[otel]`): what the metrics count, and a span a call.

`requests.py` measures whole HTTP requests, `metrics.py` puts this process's counts into OTLP's form and sends them now and then,
`spans.py` tells of calls after they are over. All of it only where `TENANTRY_OTLP_ENDPOINT` is set, and fails soft.
"""

from __future__ import annotations

from tenantry.ops.otel.export import Telemetry

__all__ = ["Telemetry"]
