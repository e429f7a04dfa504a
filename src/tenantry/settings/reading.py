"""From names and texts to one `Settings`, with every fault at once; and from `Settings` to what may be printed.

The fields' annotations are the only source of names, types, bounds and docs. A fault is `(name, what is wrong, what to
do)`; it never holds the value of a `Secret` or of a URL.
"""

from __future__ import annotations

import itertools
import os
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from tenantry.errors import SettingsFaulty
from tenantry.settings import dotenv as dotenv_file
from tenantry.settings import sign_in
from tenantry.settings.declared import Setting
from tenantry.settings.secret import DatabaseUrl, Secret

if TYPE_CHECKING:
    from tenantry.settings.declared import Settings

S = TypeVar("S", bound="Settings")
_NOT_SETTINGS = ("sources", "warnings", "oidc_providers")
_LONGEST_INT = 19
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class Fault(NamedTuple):
    """One setting that cannot be used."""

    name: str
    why: str
    cure: str


class Described(NamedTuple):
    """One setting, as the reference page shows it."""

    name: str
    attribute: str
    kind: str
    default: str
    unit: str
    says: str


class Shown(NamedTuple):
    """One setting's value, as it may be printed."""

    name: str
    value: str
    source: str
    says: str
    """Its line of docs; of an application's own setting the text below it."""


class _Field(NamedTuple):
    attribute: str
    setting: Setting
    kind: Any
    is_optional: bool
    default: Any


def load(cls: type[S], environ: Mapping[str, str] | None, dotenv: str | Path | None) -> S:
    """Make a `cls` from the environment and a `.env` file. Raises SettingsFaulty."""
    environ = os.environ if environ is None else environ
    lines, faults = _read_dotenv(None if dotenv is None else Path(dotenv))
    texts = {name: (line.value, f"{dotenv}:{line.line}") for name, line in lines.items()}
    texts |= {name: (value, "environment") for name, value in environ.items()}
    fields = _fields(cls)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for field in fields:
        text, source = texts.get(field.setting.name, ("", ""))
        if not text.strip() and field.setting.fallback:
            text, source = texts.get(field.setting.fallback, ("", ""))
        if not text.strip():  # `NAME=` is how a line of .env is switched off: the same as no line
            if field.default is msgspec.NODEFAULT:
                faults.append(
                    Fault(
                        field.setting.name,
                        "is not set, and has no default",
                        f"Set {field.setting.name} in .env or the environment. {field.setting.says}".rstrip(),
                    )
                )
            continue
        sources[field.setting.name] = source
        try:
            values[field.attribute] = _convert(field, text.strip())
        except ValueError as error:
            faults.append(Fault(field.setting.name, f"({source}) {error}", _cure(field)))
    faults += _contradictions(values)
    values["oidc_providers"], wrong = sign_in.oidc_providers(texts)
    faults += (Fault(*one) for one in (*wrong, *sign_in.faults(cls, values)))
    if faults:
        lines_shown = "\n".join(f"  {f.name} {f.why}\n    {f.cure}" for f in faults)
        raise SettingsFaulty(count=len(faults), lines=lines_shown, faults=[tuple(f) for f in faults])
    values.setdefault("env", "production" if "database_url" in values else "development")
    # Absolute now: a later change of the working folder must not move the database.
    for name in ("home", "migrations"):
        values[name] = Path.cwd() / values.get(name, _default(fields, name))
    return cls(**values, sources=sources, warnings=_unknown(texts, fields))


def describe(cls: type[Settings]) -> list[Described]:
    """Every setting of `cls`, without values."""
    return [
        Described(f.setting.name, f.attribute, _kind_name(f.kind), _default_shown(f), f.setting.unit, f.setting.says)
        for f in _fields(cls)
    ]


def shown(settings: Settings) -> list[Shown]:
    """Every setting of `settings`, secrets masked."""
    rows: list[Shown] = []
    for field in _fields(type(settings)):
        value = getattr(settings, field.attribute)
        text = "" if value is None else {True: "1", False: "0"}[value] if isinstance(value, bool) else str(value)
        rows.append(
            Shown(field.setting.name, text, settings.sources.get(field.setting.name, "default"), field.setting.says)
        )
    return rows


def _fields(cls: type[Settings]) -> list[_Field]:
    hints = get_type_hints(cls, include_extras=True)
    fields: list[_Field] = []
    docs: dict[str, str] | None = None
    for info in msgspec.structs.fields(cls):
        if info.name in _NOT_SETTINGS:
            continue
        kind: Any = hints[info.name]
        setting: Setting | None = None
        if hasattr(kind, "__metadata__"):
            setting = next((m for m in kind.__metadata__ if isinstance(m, Setting)), None)
            kind = get_args(kind)[0]
        if setting is None:  # an application's own: the name in capitals, the text below it is its line of docs
            docs = _docstrings(cls) if docs is None else docs
            setting = Setting(info.name.upper(), docs.get(info.name, ""))
        is_optional = get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)
        if is_optional:
            kind = next(a for a in get_args(kind) if a is not type(None))
        fields.append(
            _Field(
                info.name,
                setting,
                kind,
                is_optional,
                info.default if info.default_factory is msgspec.NODEFAULT else info.default_factory(),
            )
        )
    return fields


def _default(fields: list[_Field], attribute: str) -> Any:
    return next(f.default for f in fields if f.attribute == attribute)


def _read_dotenv(path: Path | None) -> tuple[dict[str, dotenv_file.Line], list[Fault]]:
    if path is None:
        return {}, []
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [
            Fault(str(path), f"cannot be read: {error.strerror}", "Give this user the right to read it, or remove it.")
        ]
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        return {}, [Fault(f"{path}:{line}", "is not UTF-8", "Save the file as UTF-8.")]
    lines, wrong = dotenv_file.parse(text)
    return lines, [Fault(f"{path}:{line}", why, "Write NAME=value, or put a # before the line.") for line, why in wrong]


def _convert(field: _Field, text: str) -> Any:
    kind: Any = field.kind
    if kind is bool:
        return _as_bool(text)
    if kind is int:
        return _as_int(field.setting, text)
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            message = f"is {text!r}"
            raise ValueError(message)
        return text
    if kind is str:
        return text
    if isinstance(kind, type) and issubclass(kind, (Secret, Path)):
        return kind(text)
    try:
        return msgspec.convert(text, cast("type[object]", kind), strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _as_bool(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        message = f"is {text!r}"
        raise ValueError(message)
    return text.lower() in _TRUE


def _as_int(setting: Setting, text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) <= _LONGEST_INT):
        message = f"is {text[:40]!r}, not a whole number"
        raise ValueError(message)
    number = int(text)
    if (setting.least is not None and number < setting.least) or (setting.most is not None and number > setting.most):
        message = f"is {number}, out of bounds"
        raise ValueError(message)
    return number


def _cure(field: _Field) -> str:
    name, setting = field.setting.name, field.setting
    if field.kind is int:
        bounds = "" if setting.least is None else f" from {setting.least} to {setting.most}"
        return f"Give {name} a whole number{bounds}" + (f" ({setting.unit})." if setting.unit else ".")
    if field.kind is bool:
        return f"Give {name} 1 or 0."
    if get_origin(field.kind) is Literal:
        return f"Give {name} one of: {', '.join(get_args(field.kind))}."
    if field.kind is DatabaseUrl:
        return f"Give {name} as postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE (special characters percent-encoded)."
    return f"Correct {name}: {setting.says}" if setting.says else f"Correct {name}."


def _contradictions(values: Mapping[str, Any]) -> list[Fault]:
    """Find values that are good each and wrong together."""
    faults: list[Fault] = []
    if "database_url" not in values:
        faults += [
            Fault(
                name,
                "is set, and DATABASE_URL is not",
                f"Set DATABASE_URL too, or remove {name} to use the embedded server.",
            )
            for name in ("DATABASE_AUTH_URL", "DATABASE_OPS_URL", "DATABASE_ADMIN_URL", "DATABASE_DIRECT_URL")
            if name.lower() in values
        ]
    elif "database_auth_url" in values and values["database_auth_url"].user == values["database_url"].user:
        why = f'signs in as "{values["database_url"].user}", the role of requests'
        faults.append(
            Fault("DATABASE_AUTH_URL", why, "Use tenantry_auth there: handlers' SQL must not be able to make sessions.")
        )
    if "base_path" in values and not (values["base_path"].startswith("/") and not values["base_path"].endswith("/")):
        faults.append(
            Fault(
                "TENANTRY_BASE_PATH", f"is {values['base_path']!r}", "Begin it with / and do not end it with one: /trpc"
            )
        )
    return faults


def _unknown(texts: Mapping[str, tuple[str, str]], fields: list[_Field]) -> tuple[str, ...]:
    import difflib

    names = [f.setting.name for f in fields]
    warnings: list[str] = []
    for name in sorted(texts):
        if not name.startswith(("TENANTRY_", "DATABASE_", "AUTH_")) or name in names or name.startswith("AUTH_OIDC_"):
            continue
        near = difflib.get_close_matches(name, names, 1, 0.75)
        if near or name.startswith("TENANTRY_"):
            warnings.append(
                f"{name} ({texts[name][1]}) is no setting, and nothing reads it."
                + (f" Did you mean {near[0]}?" if near else "")
            )
    return tuple(warnings)


def _kind_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(get_args(kind))
    names = {DatabaseUrl: "URL", Secret: "secret", bool: "0 | 1", int: "integer", str: "text", Path: "path"}
    return names.get(kind, str(getattr(kind, "__name__", kind)))


def _default_shown(field: _Field) -> str:
    if field.setting.shown_default:
        return field.setting.shown_default
    if field.default is msgspec.NODEFAULT:
        return "required"
    if isinstance(field.default, bool):
        return str(int(field.default))
    return "" if field.default is None else str(field.default)


def _docstrings(cls: type[Settings]) -> dict[str, str]:
    """The texts below the fields of an application's own settings; none where the source is not to be had."""
    import ast
    import inspect
    import textwrap

    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] in {"tenantry", "msgspec", "builtins"}:
            continue
        try:
            body = cast("ast.ClassDef", ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]).body
        except (OSError, TypeError, SyntaxError):
            continue
        for field, text in itertools.pairwise(body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(says))):
                    docs[name] = " ".join(says.split())
                case _:
                    pass
    return docs
