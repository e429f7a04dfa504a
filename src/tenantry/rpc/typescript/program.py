"""Procedures as the text of `app-router.d.ts`: pure, and the same text for the same procedures.

What is emitted, and no more: types of `@trpc/server`, the application's models, its errors, and the router (the pattern and
its proof: tests/typescript).
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from tenantry.errors import NameClash, Problem
from tenantry.rpc.answer import Answer
from tenantry.rpc.names import camel
from tenantry.rpc.procedure import Procedure
from tenantry.rpc.schema import is_body
from tenantry.rpc.typescript import docs
from tenantry.rpc.typescript.models import MISSING, Field
from tenantry.rpc.typescript.naming import names_of
from tenantry.rpc.typescript.reading import Named, Reader, stream_of
from tenantry.rpc.typescript.shapes import (
    UNKNOWN,
    VOID,
    Apply,
    Member,
    Mode,
    NameOf,
    Object,
    Shape,
    Word,
    comment,
    key,
    literal,
    object_text,
    text_of,
    union,
)

Transformer = Literal["superjson"]
Tree = dict[str, "Procedure[..., Any] | Tree"]

HEADER = """\
// Written by `tenantry typescript` from the server's procedures. Do not edit: run it again.
/* eslint-disable */
"""
COMMON = (
    Member("issues", Word("Issue[]"), True, "Faults of the input, all at once."),
    Member("requestId", Word("string"), True, "Of an internal error: the same as in the server's log."),
    Member("outcome", Word("'unknown'"), True, "The mutation may have been done: look before you try again."),
    Member("help", Word("string"), True, "In development: a builder's mistake, and its cure."),
)


def declarations(
    procedures: Mapping[str, Procedure[..., Any]],
    *,
    transformer: Transformer | None = None,
    problems: Iterable[type[Problem]] = (),
    error_data: Any = None,
) -> str:
    """`app-router.d.ts`. `problems` are the typed errors, `error_data` the type of what an error formatter adds.

    Raises NameClash where one name is a procedure and a router.
    """
    reader, errors = Reader(is_superjson=transformer is not None), Reader(is_superjson=False)
    # Errors are plain JSON whatever the transformer; without one they share the models.
    errors = reader if transformer is None else errors
    signatures = {path: _signature(reader, procedure) for path, procedure in sorted(procedures.items())}
    common = [*COMMON, *_formatted(errors, error_data)]
    arms = [_problem(errors, one) for one in sorted(problems, key=lambda p: (p.__name__, p.__module__))]
    named = {**errors.named, **reader.named}
    for what, one in errors.named.items():
        if errors is not reader and what in reader.named:
            named[what].shapes = {**one.shapes, **reader.named[what].shapes}
    names = names_of(named)

    def name_of(what: Any, mode: Mode) -> str:
        return names[what, mode]

    tree = text_of_tree(tree_of(procedures), signatures, name_of)
    parts = [
        HEADER + _imports(procedures),
        _errors(common, arms, name_of),
        _root(transformer) + _wrappers(procedures),
        _models(named, names, name_of, uses_tracked=reader.uses_tracked),
        f"// ---- the router\n\nexport type Procedures = {tree};\n\n"
        "export type AppRouter = TRPCBuiltRouter<Root, Procedures>;\n\nexport {};\n",
    ]
    return "\n".join(part for part in parts if part)


def texts_of(procedure: Procedure[..., Any]) -> tuple[str, str, str]:
    """One procedure's input and output as TypeScript, and the models that they name: for people to read."""
    reader = Reader(is_superjson=False)
    signature = _signature(reader, procedure)
    names = names_of(reader.named)

    def name_of(what: Any, mode: Mode) -> str:
        return names[what, mode]

    models = _models(reader.named, names, name_of, uses_tracked=reader.uses_tracked)
    return text_of(signature.input, name_of), text_of(signature.output, name_of), models


# ------------------------------------------------------------------ procedures


class Signature:
    """A procedure's type: its wrapper, input, output, and docs."""

    __slots__ = ("docs", "input", "output", "wrapper")

    def __init__(self, wrapper: str, given: Shape, output: Shape, words: str) -> None:
        self.wrapper = wrapper
        self.input = given
        self.output = output
        self.docs = words


def _signature(reader: Reader, procedure: Procedure[..., Any]) -> Signature:
    hints = typing.get_type_hints(procedure.handler, include_extras=True)
    parameters = list(inspect.signature(procedure.handler).parameters.values())[1:]
    wrapper = procedure.type.capitalize()
    return Signature(
        wrapper, _input(reader, procedure, parameters, hints), _output(reader, procedure), _docs(procedure)
    )


def _input(
    reader: Reader, procedure: Procedure[..., Any], parameters: list[inspect.Parameter], hints: dict[str, Any]
) -> Shape:
    match procedure.input.kind:
        case "none":
            return VOID
        case "form":
            return Word("FormData")
        case "octets":
            return Word("Blob | Uint8Array | File")
        case "whole":
            kind = hints[parameters[0].name]
            shape = reader.shape(kind, "input")
            return shape if parameters[0].default is MISSING else union([shape, VOID])
        case "object":
            fields = _fields(procedure, parameters, hints)
            members = Object(tuple(reader.member(field, "input") for field in fields))
            return members if any(field.default is MISSING for field in fields) else union([members, VOID])


def _fields(procedure: Procedure[..., Any], parameters: list[inspect.Parameter], hints: dict[str, Any]) -> list[Field]:
    wire = dict(zip(procedure.input.names, procedure.input.wire, strict=True))
    return [Field(wire[p.name], hints[p.name], p.default) for p in parameters if not is_body(hints[p.name])]


def _output(reader: Reader, procedure: Procedure[..., Any]) -> Shape:
    if procedure.is_generator:
        return stream_of(reader.shape(procedure.yields, "output"))
    kind = procedure.result_type
    if hasattr(get_origin(kind), "__tenantry_statement__"):
        kind = get_args(kind)[0]
    if get_origin(kind) is Annotated and get_args(kind)[0] is Answer:
        kind = next((mark for mark in get_args(kind)[1:] if isinstance(mark, type)), Any)
    if kind is Answer:
        return UNKNOWN
    shape = reader.shape(kind, "output")
    # A result that comes later as a whole is awaited with the call.
    return shape.arguments[0] if isinstance(shape, Apply) and shape.name == "Promise" else shape


def _docs(procedure: Procedure[..., Any]) -> str:
    tags: list[str] = []
    if procedure.input.kind == "form":
        tags.append(f"@remarks {_form_words(procedure)}")
    if procedure.need not in (None, "member"):
        kind = "permission" if "." in (procedure.need or "") else "role"
        tags.append(f"@remarks Needs the {kind} `{procedure.need}`.")
    tags.extend(f"@throws {one.__name__} ({one.trpc})" for one in raised_by(procedure.handler))
    return docs.joined(docs.procedure_docs(procedure.handler, procedure.docs), tags)


def _form_words(procedure: Procedure[..., Any]) -> str:
    names = [f"`{name}`" for name in procedure.input.wire]
    name = procedure.input.stream or "file"
    own = name if procedure.as_written else camel(name)
    return f"The form's fields: {', '.join(names)}, then the file `{own}`." if names else f"The form: `{own}`."


def raised_by(handler: Any) -> list[type[Problem]]:
    """The typed errors that a handler's own code names."""
    code, scope = handler.__code__, handler.__globals__
    found = [scope.get(name) for name in code.co_names]
    found += [cell.cell_contents for cell in handler.__closure__ or () if _is_filled(cell)]
    problems = {one for one in found if isinstance(one, type) and issubclass(one, Problem) and one is not Problem}
    return sorted(problems, key=lambda one: one.__name__)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - raises while it is empty
    except ValueError:
        return False
    return True


def tree_of(procedures: Mapping[str, Procedure[..., Any]]) -> Tree:
    """Dotted paths as routers in routers."""
    tree: Tree = {}
    for path, procedure in sorted(procedures.items()):
        *routers, name = path.split(".")
        place = tree
        for router in routers:
            inner = place.setdefault(router, {})
            if not isinstance(inner, dict):
                raise NameClash(name=inner.path, first=inner.where, second=procedure.where)
            place = inner
        if name in place:
            other = place[name]
            first = other.where if isinstance(other, Procedure) else f"the router {path}"
            raise NameClash(name=path, first=first, second=procedure.where)
        place[name] = procedure
    return tree


def text_of_tree(tree: Tree, signatures: Mapping[str, Signature], name_of: NameOf, indent: str = "") -> str:
    """The router's record: nested object types, since an interface has no index signature."""
    inside = indent + "  "
    lines: list[str] = []
    for name, item in sorted(tree.items()):
        if isinstance(item, dict):
            lines.append(f"{inside}{key(name)}: {text_of_tree(item, signatures, name_of, inside)};\n")
            continue
        one = signatures[item.path]
        output = one.output
        if one.wrapper == "Subscription" and isinstance(output, Apply):
            output = output.arguments[0]
        types = ", ".join(text_of(shape, name_of, inside) for shape in (one.input, output))
        lines.append(f"{comment(one.docs, inside)}{inside}{key(name)}: {one.wrapper}<{types}>;\n")
    return "{\n" + "".join(lines) + indent + "}"


# ------------------------------------------------------------------ errors


def _formatted(reader: Reader, error_data: Any) -> list[Member]:
    if error_data is None:
        return []
    shape = reader.shape(error_data, "output")
    named = reader.named.get(error_data)
    inner = named.shapes["output"] if named is not None else shape
    if named is not None:
        del reader.named[error_data]  # its keys stand in the error data itself
    return list(inner.members) if isinstance(inner, Object) else []


def _problem(reader: Reader, problem: type[Problem]) -> tuple[str, Object]:
    hints = typing.get_type_hints(problem, include_extras=True)
    own = docs.field_docs(problem)
    fields = [Field(camel(name), hints[name], docs=own.get(name, "")) for name in problem.names]
    members = [Member("code", literal(problem.trpc)), Member("reason", literal(problem.__name__))]
    words = docs.class_docs(problem) or f"{problem.says}"
    return words, Object((*members, *(reader.member(field, "output") for field in fields)))


def _errors(common: list[Member], arms: list[tuple[str, Object]], name_of: NameOf) -> str:
    text = (
        "/** One fault of an input: where it is (keys and indexes), its kind, and words for people. */\n"
        "export interface Issue { path: (string | number)[]; code: string; message: string }\n\n"
        f"/** What the `data` of any error may have. */\nexport interface CommonErrorData extends TRPCDefaultErrorData "
        f"{object_text(common, name_of, is_open=True)}\n\n"
    )
    text += comment(
        "The `data` of an error. `reason` tells the application's own errors apart:"
        " `if (error.data?.reason === 'TooMany') error.data.limit`."
    )
    if not arms:
        return text + (
            "export type ErrorData = CommonErrorData & { reason?: undefined };\n\n"
            "export interface ErrorShape extends TRPCDefaultErrorShape { data: ErrorData }\n"
        )
    text += "export type ErrorData =\n  | (CommonErrorData & { reason?: undefined })\n"
    for words, shape in arms:
        text += comment(words, "  ") + f"  | (CommonErrorData & {text_of(shape, name_of, '  ')})\n"
    text = text.removesuffix("\n") + ";\n\n"
    return text + "export interface ErrorShape extends TRPCDefaultErrorShape { data: ErrorData }\n"


# ------------------------------------------------------------------ the frame


def _types_used(procedures: Mapping[str, Procedure[..., Any]]) -> list[str]:
    return sorted({procedure.type.capitalize() for procedure in procedures.values()})


def _imports(procedures: Mapping[str, Procedure[..., Any]]) -> str:
    names = ["TRPCBuiltRouter", "TRPCDefaultErrorData", "TRPCDefaultErrorShape"]
    names += [f"TRPC{one}Procedure" for one in _types_used(procedures)]
    return "import type {\n" + "".join(f"  {name},\n" for name in sorted(names)) + "} from '@trpc/server';\n"


def _root(transformer: Transformer | None) -> str:
    words = "superjson: every link needs `transformer: superjson`" if transformer else "plain JSON, no transformer"
    flag = "true" if transformer else "false"
    return (
        f"/** {words}. */\n"
        f"export interface Root {{ ctx: object; meta: object; errorShape: ErrorShape; transformer: {flag} }}\n"
    )


def _wrappers(procedures: Mapping[str, Procedure[..., Any]]) -> str:
    output = {"Subscription": "AsyncIterable<O, void>"}
    return "".join(
        f"type {one}<I, O> = TRPC{one}Procedure<{{ input: I; output: {output.get(one, 'O')}; meta: unknown; errorShape: ErrorShape }}>;\n"
        for one in _types_used(procedures)
    )


def _models(
    named: Mapping[Any, Named], names: Mapping[tuple[Any, Mode], str], name_of: NameOf, *, uses_tracked: bool
) -> str:
    texts: dict[str, str] = {}
    for what, one in named.items():
        for mode, shape in one.shapes.items():
            texts[names[what, mode]] = _model(one, names[what, mode], shape, name_of)
    if uses_tracked:
        texts["Tracked"] = (
            "/** An event with the id that a client sends back to go on after it. */\n"
            "export interface Tracked<T> { id: string; data: T }\n"
        )
    if not texts:
        return ""
    return "// ---- models\n\n" + "\n".join(text for _, text in sorted(texts.items()))


def _model(one: Named, name: str, shape: Shape, name_of: NameOf) -> str:
    head = comment(one.docs) + "export "
    full = name + (f"<{', '.join(one.parameters)}>" if one.parameters else "")
    if isinstance(shape, Object) and shape.members:
        return f"{head}interface {full} {object_text(shape.members, name_of, is_open=True)}\n"
    return f"{head}type {full} = {text_of(shape, name_of)};\n"
