"""`/_dev`: the builder's page while developing. Procedures with their types and a form each, as whom, the last requests with their statements.

`app` loads this room where TENANTRY_ENV is development, and nowhere else: in production it is neither imported nor reachable. It answers
callers on this machine alone, asked by a loopback name.
"""

from __future__ import annotations

from tenantry.dev.desk import Desk
from tenantry.dev.record import Recorder
from tenantry.dev.waiting import stand_in

__all__ = ["Desk", "Recorder", "stand_in"]
