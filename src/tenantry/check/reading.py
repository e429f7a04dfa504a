# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# Values found by names at run time: no checker follows them.
"""The statements of an application, found in its source without a request.

What is seen: calls of one, maybe, all, run and page on `ctx.db` and on the `tx` of `ctx.transaction()`, in every function of the
modules that hold procedures and of those that are loaded from the same folders, with texts that are constants, `sql(…)`, `+`, `+=`,
`changes(patch)` and a dictionary's, also over an `if`. What is not: texts from `sql.trusted`, statements of other libraries
(`ctx.psycopg()`), fragments that come out of functions.
"""

from __future__ import annotations

import ast
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from tenantry.db import Sql, changes, sql
from tenantry.db.sql import quoted
from tenantry.errors import BuilderError, SqlBuiltAtRunTime, StatementNotRun
from tenantry.source import place

if TYPE_CHECKING:
    from tenantry.app import Tenantry
    from tenantry.rpc import Procedure

Kind = Literal["one", "maybe", "all", "run", "page"]
KINDS = frozenset({"one", "maybe", "all", "run", "page"})
MOST_VARIANTS = 32
"""Of one statement that is put together over several ifs."""
_UNKNOWN = object()
_FOREIGN = frozenset({"site-packages", "node_modules", "venv", "tests", "test"})


class Value(Struct, frozen=True):
    """What stands at one parameter: its source, and its type where an annotation says it."""

    source: str
    kind: Any = None
    is_known: bool = False


class Text(Struct, frozen=True):
    """One form of a statement's text, as `Sql` has it: texts, and the values between them."""

    parts: tuple[str, ...]
    values: tuple[Value, ...] = ()

    def __add__(self, other: Text) -> Text:
        mine, theirs = self.parts, other.parts
        return Text((*mine[:-1], mine[-1] + theirs[0], *theirs[1:]), self.values + other.values)


class Found(Struct, frozen=True):
    """One statement in one of its forms."""

    kind: Kind
    type: Any
    text: Text
    by: str
    procedure: str
    where: str
    read_only: bool


class Unseen(Struct, frozen=True):
    """A statement that cannot be judged without running it, and why."""

    procedure: str
    where: str
    why: str


class Wrong(Struct, frozen=True):
    """What is wrong with a statement before it is prepared, in an error's words."""

    code: str
    procedure: str
    where: str
    says: str
    cure: str

    @classmethod
    def of(cls, error: BuilderError) -> Wrong:
        """`error` has the fields `procedure` and `where`."""
        return cls(error.code, error.fields["procedure"], error.fields["where"], error.message, error.advice)


Seen = Found | Unseen | Wrong


def statements(app: Tenantry[Any]) -> Iterator[Seen]:
    """Every statement of the application's own modules."""
    by_place: dict[tuple[str, int], Procedure[..., Any]] = {}
    modules: dict[str, ModuleType] = {}
    for procedure in app.procedures().values():
        code = procedure.handler.__code__
        module = sys.modules.get(procedure.handler.__module__)
        if module is None or module.__name__.partition(".")[0] == "tenantry":
            continue
        by_place[code.co_filename, code.co_firstlineno] = procedure
        modules[code.co_filename] = module
    modules |= _beside(modules)
    for file, module in modules.items():
        yield from _of_module(Path(file), module, by_place)


def _beside(modules: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Loaded modules of the same folders, and of those below: a statement may stand in a file that has no procedure."""
    folders = {Path(file).parent for file in modules}
    found: dict[str, ModuleType] = {}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or file in modules:
            continue
        path = Path(file)
        inner = next((path.relative_to(folder).parts for folder in folders if path.is_relative_to(folder)), None)
        if inner is not None and not any(part in _FOREIGN or part.startswith(".") for part in inner):
            found[file] = module
    return found


def _of_module(file: Path, module: ModuleType, by_place: dict[tuple[str, int], Procedure[..., Any]]) -> Iterator[Seen]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            procedure = by_place.get((str(file), first))
            yield from _Function(node, file, vars(module), procedure).found()


class _Function:
    """One function: its local texts are followed in order."""

    def __init__(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, file: Path, names: dict[str, Any], procedure: Procedure[..., Any] | None
    ) -> None:  # fmt: skip
        self.node = node
        self.file = file
        self.names = names
        self.name = node.name if procedure is None else procedure.path
        self.read_only = procedure is not None and procedure.type != "mutation"
        self.kinds = self._kinds(procedure)
        self.texts: dict[str, list[Text] | None] = {}
        self.makers: set[str] = set()
        self.built: set[str] = set()
        """Names of texts that are built from values."""
        self.out: list[Seen] = []

    def _kinds(self, procedure: Procedure[..., Any] | None) -> dict[str, Any]:
        """Types of the parameters."""
        handler: Any = procedure.handler if procedure is not None else self.names.get(self.node.name)
        if isinstance(handler, FunctionType):
            try:
                return typing.get_type_hints(handler, include_extras=True)
            except Exception:  # an annotation that cannot be read says nothing
                return {}
        return {}

    def found(self) -> list[Seen]:
        self._body(self.node.body)
        return self.out

    # ------------------------------------------------------------------ following

    def _body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return  # a function of its own
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._calls(value)
                self.texts[name] = self._texts(value)
                (self.built.add if self._is_built(value) else self.built.discard)(name)
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=value):
                self._calls(value)
                before, more = self.texts.get(name), self._texts(value)
                if self._is_built(value):
                    self.built.add(name)
                self.texts[name] = None if before is None or more is None else _joined(before, more)
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=attr, value=maker)) as call) if (
                attr in KINDS and self._makes(maker)
            ):
                self._calls(call)
                where = self._where(call)
                says = f"{self.name} makes a statement ({where}) and never runs it: all of the request would be rolled back."
                self.out.append(Wrong(StatementNotRun.code, self.name, where, says, StatementNotRun.remedy))
            case ast.If(test=test, body=body, orelse=otherwise):
                self._calls(test)
                before = dict(self.texts)
                self._body(body)
                then, self.texts = self.texts, before
                self._body(otherwise)
                self.texts = _merged(then, self.texts)
            case ast.With(items=items, body=body) | ast.AsyncWith(items=items, body=body):
                for item in items:
                    self._calls(item.context_expr)
                    match item:
                        case ast.withitem(
                            context_expr=ast.Call(func=ast.Attribute(attr="transaction")),
                            optional_vars=ast.Name(id=name),
                        ):
                            self.makers.add(name)
                        case _:
                            pass
                self._body(body)
            case _:
                for _, value in ast.iter_fields(node):
                    self._any(value)

    def _any(self, value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                self._any(one)
        elif isinstance(value, ast.stmt):
            self._statement(value)
        elif isinstance(value, ast.expr):
            self._calls(value)
        elif isinstance(value, ast.AST):
            for _, inner in ast.iter_fields(value):
                self._any(inner)

    def _calls(self, node: ast.expr) -> None:
        for one in ast.walk(node):
            match one:
                case ast.Call(func=ast.Attribute(attr=attr, value=maker)) if attr in KINDS and self._makes(maker):
                    self._call(one, attr)
                case _:
                    pass

    def _makes(self, node: ast.expr) -> bool:
        match node:
            case ast.Attribute(attr="db"):
                return True
            case ast.Name(id=name):
                return name in self.makers
            case _:
                return False

    # ------------------------------------------------------------------ one statement

    def _call(self, node: ast.Call, kind: Any) -> None:
        where = self._where(node)
        arguments = list(node.args)
        type_: Any = int
        if kind != "run":
            type_ = self._value(arguments.pop(0)) if arguments else _UNKNOWN
        if type_ is _UNKNOWN or not arguments:
            self.out.append(Unseen(self.name, where, "its type is not known before it runs"))
            return
        texts = self._texts(arguments[0])
        if texts is None and self._is_built(arguments[0]):
            self.out.append(Wrong.of(SqlBuiltAtRunTime(procedure=self.name, where=where)))
            return
        if texts is None:
            self.out.append(Unseen(self.name, where, "its text is not known before it runs"))
            return
        own = tuple(self._given(one) for one in arguments[1:] if not isinstance(one, ast.Starred))
        by = next((k.value.value for k in node.keywords if k.arg == "by" and isinstance(k.value, ast.Constant)), "")
        for text in texts[:MOST_VARIANTS]:
            whole = text if len(text.parts) > 1 else Text(text.parts, own)
            self.out.append(Found(kind, type_, whole, str(by), self.name, where, self.read_only))

    def _where(self, node: ast.Call) -> str:
        return place(self.file, node.lineno)

    def _is_built(self, node: ast.expr) -> bool:
        """Whether a text has a value in it: f"…{x}", "…%s" % x, "…{}".format(x), and what is joined with one."""
        match node:
            case ast.JoinedStr(values=values):
                return any(isinstance(one, ast.FormattedValue) for one in values)
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod()):
                return True
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._is_built(left) or self._is_built(right)
            case ast.Call(func=ast.Attribute(attr="format", value=ast.Constant(value=str()))):
                return True
            case ast.Call(func=function, args=[first, *_]) if self._value(function) is sql:
                return self._is_built(first)
            case ast.Name(id=name):
                return name in self.built
            case _:
                return False

    def _given(self, node: ast.expr) -> Value:
        source = ast.unparse(node)
        if isinstance(node, ast.Name) and node.id in self.kinds:
            return Value(source, self.kinds[node.id], True)
        if isinstance(node, ast.Constant):
            return Value(source, type(node.value), node.value is not None)
        return Value(source)

    def _value(self, node: ast.expr) -> Any:
        """What an expression of global names is; _UNKNOWN where it is anything else."""
        if not all(
            isinstance(
                one,
                (
                    ast.Name,
                    ast.Attribute,
                    ast.Subscript,
                    ast.Tuple,
                    ast.Constant,
                    ast.expr_context,
                    ast.BinOp,
                    ast.operator,
                ),
            )
            for one in ast.walk(node)
        ):
            return _UNKNOWN
        try:
            return eval(compile(ast.Expression(node), "<check>", "eval"), self.names)  # noqa: S307 - names of the application's own source, as it would evaluate them itself
        except Exception:
            return _UNKNOWN

    def _texts(self, node: ast.expr) -> list[Text] | None:
        """The forms that a text may have; None where that is not known."""
        match node:
            case ast.Constant(value=str(text)):
                return [Text((text,))]
            case ast.JoinedStr(values=[ast.Constant(value=str(text))]):
                return [Text((text,))]  # an f-string without a value
            case ast.Name(id=name) if name in self.texts:
                return self.texts[name]
            case ast.Subscript(value=table) if self._value(node) is _UNKNOWN:
                return self._chosen(table)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return _text_of(self._value(node))
            case ast.IfExp(body=one, orelse=other):
                first, second = self._texts(one), self._texts(other)
                return None if first is None or second is None else first + second
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                first, second = self._texts(left), self._texts(right)
                return None if first is None or second is None else _joined(first, second)
            case ast.Call(func=function, args=arguments):
                return self._made(function, arguments)
            case _:
                return None

    def _made(self, function: ast.expr, arguments: list[ast.expr]) -> list[Text] | None:
        maker = self._value(function)
        if maker is changes and len(arguments) == 1:
            return self._changes(arguments[0])
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "file"
            and arguments
            and self._value(function.value) is sql
        ):
            path = self._value(arguments[0])
            try:
                return [Text(((self.file.parent / str(path)).read_text("utf-8"),))]
            except OSError:
                return None
        if maker is not sql or not arguments or not isinstance(arguments[0], ast.Constant):
            return None
        try:
            pieces = _split(str(arguments[0].value))
        except ValueError:
            return None
        if len(pieces) != len(arguments):
            return None
        forms = [Text((pieces[0],))]
        for argument, piece in zip(arguments[1:], pieces[1:], strict=True):
            spliced = self._spliced(argument)
            if spliced is None:
                forms = [form + Text(("", piece), (self._given(argument),)) for form in forms]
            else:
                forms = [form + one + Text((piece,)) for form in forms for one in spliced][:MOST_VARIANTS]
        return forms

    def _chosen(self, table: ast.expr) -> list[Text] | None:
        """`ORDERS[order]`: the form may be that of each entry."""
        entries = self._value(table)
        if not isinstance(entries, dict) or not entries:
            return None
        forms = [_text_of(entry) for entry in entries.values()]
        return None if None in forms else [one for form in forms if form for one in form][:MOST_VARIANTS]

    def _spliced(self, node: ast.expr) -> list[Text] | None:
        """The forms of a fragment that stands at `{}`; None for a value."""
        match node:
            case ast.Name(id=name) if name in self.texts:
                found = self.texts[name]
            case ast.Name(id=name) if name in self.kinds:
                return None
            case ast.Subscript(value=table) if self._value(node) is _UNKNOWN:
                entries = self._value(table)
                is_sql = isinstance(entries, dict) and all(isinstance(one, Sql) for one in entries.values())
                found = self._chosen(table) if is_sql else None
            case ast.Name() | ast.Attribute() | ast.Subscript():
                value = self._value(node)
                return _text_of(value) if isinstance(value, Sql) else None
            case ast.Call() | ast.BinOp():
                found = self._texts(node)
            case _:
                return None
        return found

    def _changes(self, node: ast.expr) -> list[Text] | None:
        """All fields at once: each is a column, of its own type."""
        kind = self.kinds.get(node.id) if isinstance(node, ast.Name) else None
        if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
            return None
        fields = msgspec.structs.fields(kind)
        if not fields:
            return None
        names = [quoted(field.name) for field in fields]
        parts = (f"{names[0]} = ", *(f", {name} = " for name in names[1:]), "")
        return [Text(parts, tuple(Value(f"{kind.__name__}.{field.name}", field.type, True) for field in fields))]


def _split(template: str) -> list[str]:
    """A template at its `{}`."""
    marked = template.replace("{{", "\1").replace("}}", "\2").split("{}")
    if any("{" in one or "}" in one for one in marked):
        raise ValueError
    return [one.replace("\1", "{").replace("\2", "}") for one in marked]


def _text_of(value: Any) -> list[Text] | None:
    if isinstance(value, str):
        return [Text((value,))]
    if isinstance(value, Sql):
        return [Text(value.parts, tuple(Value(repr(one), type(one), True) for one in value.values))]
    return None


def _joined(first: list[Text], second: list[Text]) -> list[Text]:
    return [one + other for one in first for other in second][:MOST_VARIANTS]


def _merged(first: dict[str, list[Text] | None], second: dict[str, list[Text] | None]) -> dict[str, list[Text] | None]:
    merged: dict[str, list[Text] | None] = {}
    for name in first.keys() | second.keys():
        one, other = first.get(name), second.get(name)
        if name not in first or name not in second:
            merged[name] = one or other
        elif one is None or other is None:
            merged[name] = None
        else:
            merged[name] = one + [text for text in other if text not in one]
    return merged


Look = Callable[[Any], Any]
