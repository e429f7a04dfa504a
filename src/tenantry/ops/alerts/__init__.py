"""Alerts: the nine rules of the runbook as data, judged each tick, and exported for those who run Prometheus.

`rules.py` says what they are, `judge.py` (pure) what state they are in, `evaluator.py` keeps that over restarts, `replay.py`
runs written cases through them, `export.py` writes the same rules for Prometheus, Alertmanager and Grafana.
"""

from __future__ import annotations

from tenantry.ops.alerts.evaluator import Evaluator
from tenantry.ops.alerts.history import History, Series
from tenantry.ops.alerts.judge import State, Transition, Verdict
from tenantry.ops.alerts.rules import RULES, Rule, named

__all__ = ["RULES", "Evaluator", "History", "Rule", "Series", "State", "Transition", "Verdict", "named"]
