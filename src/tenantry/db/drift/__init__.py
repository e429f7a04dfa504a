"""Drift: how a database's schema differs from what its migration files make, as words and as SQL in both directions.

`read` the catalogue of both (pure rows afterwards), `compare` them, and `script` a difference. The files' side is made for real, in a
throw-away database on the same server (`scratch`), so that both are told by the same PostgreSQL in the same words.
"""

from __future__ import annotations

from tenantry.db.drift.catalogue import Catalogue, Thing, read
from tenantry.db.drift.compare import Difference, compare
from tenantry.db.drift.scratch import ScratchRefused, scratch
from tenantry.db.drift.script import script
from tenantry.db.drift.unseen import UNSEEN

__all__ = ["UNSEEN", "Catalogue", "Difference", "ScratchRefused", "Thing", "compare", "read", "scratch", "script"]
