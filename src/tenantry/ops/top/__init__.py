"""`tenantry top`: what goes on right now, as one picture. `view.py` makes figures of two samplings, `picture.py` draws them,
and is imported by who draws: a terminal's library costs the doctor a tenth of its time."""

from __future__ import annotations

from tenantry.ops.top.view import Statement, Tops, View, view

__all__ = ["Statement", "Tops", "View", "view"]
