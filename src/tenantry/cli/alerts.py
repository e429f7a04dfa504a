"""`tenantry alerts`: the rules, their thresholds, what they would have said, and the same for Prometheus."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenantry.cli.place import say, show, tell
from tenantry.settings import Settings

if TYPE_CHECKING:
    from tenantry.ops.alerts.replay import Expected


def list_(arguments: argparse.Namespace) -> int:
    """Every rule with its thresholds as they are set."""
    from tenantry.ops.alerts import RULES, limits

    home = Settings.load().home
    found, faults = limits.load(home)
    for fault in faults:
        tell(f"warning: {fault}")
    if arguments.json:
        show(
            [
                {
                    "alert": rule.name, "severity": rule.severity, "section": rule.section, "says": rule.words,
                    "hold_seconds": rule.hold_seconds, "keep_seconds": rule.keep_seconds,
                    "thresholds": {
                        name: {"value": found[rule.name][name], "default": t.default, "says": t.says}
                        for name, t in rule.thresholds.items()
                    },
                }
                for rule in RULES
            ]
        )  # fmt: skip
        return 0
    for rule in RULES:
        numbers = "  ".join(
            f"{name}={value:g}{'' if value == rule.thresholds[name].default else ' (set)'}"
            for name, value in found[rule.name].items()
        )
        say(f"{rule.name:<20} {rule.severity:<9} {rule.words}")
        say(f"{'':<30} hold {rule.hold_seconds:.0f} s, keep {rule.keep_seconds:.0f} s  {numbers}".rstrip())
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """One rule in full."""
    from tenantry.ops.alerts import export, limits

    rule = _rule(arguments.alert)
    found, _ = limits.load(Settings.load().home)
    expression = export.filled(rule.promql, rule, found, job="platform-api", tick_seconds=15.0)
    if arguments.json:
        show({"alert": rule.name, "words": rule.words, "promql": expression, "thresholds": found[rule.name]})
        return 0
    say(f"{rule.name} ({rule.severity}): {rule.words}.")
    say(f"Fires when this held for {rule.hold_seconds:.0f} s; is over when it did not for {rule.keep_seconds:.0f} s:")
    for line in expression.strip().splitlines():
        say(f"    {line}")
    for name, threshold in rule.thresholds.items():
        say(f"  {name} = {found[rule.name][name]:g} (default {threshold.default:g}): {threshold.says}")
    say(f"What to do: {rule.runbook}")
    return 0


def set_(arguments: argparse.Namespace) -> int:
    """Change thresholds: all of them are looked at before one is written."""
    from tenantry.ops.alerts import limits

    changes = [limits.parsed(given) for given in arguments.threshold]
    held = limits.save(Settings.load().home, changes)
    if arguments.json:
        show(dict(held))
    else:
        for rule, name, value in changes:
            now = rule.thresholds[name].default if value is None else value
            say(f"{rule.name}.{name} = {now:g}{' (the default)' if value is None else ''}")
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Run a file of cases; 1 if one of them differs."""
    from tenantry.ops.alerts import promql
    from tenantry.ops.alerts import replay as cases

    path = Path(arguments.cases)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise cases.CasesFaulty(file=path.name, why=type(error).__name__) from None
    read = cases.read(text, path.name)
    increase = promql.increase if arguments.prometheus else promql.rises
    told = [cases.run(case, read.interval, path.name, increase=increase) for case in read.cases]
    if arguments.json:
        show(
            [
                {
                    "name": one.name, "ok": one.is_ok, "skipped": one.is_skipped,
                    "missing": _plain(one.missing), "unexpected": _plain(one.unexpected),
                }
                for one in told
            ]
        )  # fmt: skip
    else:
        for one in told:
            if one.is_skipped:
                say(f"{one.name}: ok (only for Prometheus)")
                continue
            say(f"{one.name}: {'ok' if one.is_ok else 'differs'}")
            for sign, changes in (("-", one.missing), ("+", one.unexpected)):
                for change in changes:
                    say(f"  {sign} {change.t:g} s  {change.alert}  {change.to}")
    return 0 if all(one.is_ok for one in told) else 1


def export(arguments: argparse.Namespace) -> int:
    """The rules for another system, on standard output."""
    from tenantry.ops.alerts import export as exports
    from tenantry.ops.alerts import limits

    settings = Settings.load()
    found, faults = limits.load(settings.home)
    for fault in faults:
        tell(f"warning: {fault}")
    if arguments.what == "grafana":
        show(exports.grafana(job=arguments.job))
        return 0
    if arguments.what == "alertmanager":
        made = exports.alertmanager(getattr(settings, "heartbeat_url", None))
    else:
        made = exports.prometheus(found, job=arguments.job, service=arguments.service, with_more=arguments.more)
    if arguments.json:
        show(made)
        return 0
    say(_yaml(made))
    return 0


def _plain(changes: list[Expected]) -> list[dict[str, Any]]:
    return [{"t": change.t, "alert": change.alert, "to": change.to} for change in changes]


def _rule(name: str) -> Any:
    from tenantry.ops.alerts import named
    from tenantry.ops.alerts.limits import ThresholdFaulty

    rule = named(name)
    if rule is None:
        raise ThresholdFaulty(given=name, why="there is no such alert")
    return rule


def _yaml(made: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Texts of several lines as blocks: expressions stay readable."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)  # pyright: ignore[reportUnknownMemberType] - yaml has no types here

    Dumper.add_representer(str, text)
    return yaml.dump(made, Dumper=Dumper, sort_keys=False, width=200, allow_unicode=True).rstrip()
