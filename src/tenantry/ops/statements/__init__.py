"""`tenantry slow`: the server's own count of statements, with the procedure that each belongs to, its plan, and the index that it wants.

`read` asks pg_stat_statements; `known` remembers what statements the workers have; `belong` matches both (pure); `plan` plans as a
tenant; `advise` judges a plan (pure but for the catalogue that it is given).
"""

from __future__ import annotations

from tenantry.ops.statements.advise import Advice, advise
from tenantry.ops.statements.belong import Belongings
from tenantry.ops.statements.known import Known, keep_known, read_known
from tenantry.ops.statements.plan import Plan, PlanFailed, plan_as
from tenantry.ops.statements.read import Counts, StatementsMissing, read, reset

__all__ = [
    "Advice", "Belongings", "Counts", "Known", "Plan", "PlanFailed", "StatementsMissing", "advise", "keep_known", "plan_as",
    "read", "read_known", "reset",
]  # fmt: skip
