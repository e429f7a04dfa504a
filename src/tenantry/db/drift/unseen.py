"""What a comparison does not see: said with every answer, so that "no difference" is not read as more than it is."""

from __future__ import annotations

UNSEEN = (
    "rows, but for what tenantry.protect(), share() and tenantry.allowed_definer hold",
    "schema tenantry itself (tenantry verify and db push look after it) and what extensions made",
    "a rename: it is a thing gone and another one come, and its SQL would lose the data",
    "the order of columns; names of not-null constraints; options of identity columns; values of sequences",
    "aggregates, range and base types, operators, casts, collations, text search, foreign tables, publications, event triggers",
    "settings of roles and of the database, tablespaces, storage and statistics targets of columns, roles and their memberships",
)
