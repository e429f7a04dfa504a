"""`tenantry top`: what goes on right now, as one picture. `view.py` makes figures of two samplings, `picture.py` draws them."""

from __future__ import annotations

from tenantry.ops.top.picture import draw
from tenantry.ops.top.view import Statement, Tops, View, view

__all__ = ["Statement", "Tops", "View", "draw", "view"]
