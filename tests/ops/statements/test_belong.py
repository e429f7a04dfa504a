"""A statement as it is sent and as pg_stat_statements keeps it come to the same form."""

from __future__ import annotations

import pytest

from tenantry.ops.statements import Belongings, Known
from tenantry.ops.statements.belong import fingerprint
from tenantry.ops.statements.terms import terms

SENT_AND_KEPT = [
    ("select id from notes where a = 'x' limit 20", "select id from notes where a = $1 limit $2"),
    ("SELECT  id\nfrom notes -- all\nwhere a = $1", "SELECT  id\nfrom notes -- all\nwhere a = $1"),
    ("select 1.5e3, -7, +2, a - 1 from t;", "select $1, $2, $3, a - $4 from t"),
    ("select * from t where a in (1, 2, 3)", "select * from t where a in ($1 /*, ... */)"),
    ("select * from t where a in ('x', $1, null, true)", "select * from t where a in ($2, $1, $3, $4)"),
    ("select e'a\\'b', $$body$$, b'01' from \"T\" where \"A b\" = 'x'", 'select $1, $2, $3 from "T" where "A b" = $4'),
    ("select a[1], interval '1 day' from t", "select a[$1], interval $2 from t"),
    ("select 0x1f, 1_000 from t", "select $1, $2 from t"),
]


@pytest.mark.parametrize(("sent", "kept"), SENT_AND_KEPT)
def test_the_same_statement(sent: str, kept: str) -> None:
    assert fingerprint(sent) == fingerprint(kept)


def test_others_are_others() -> None:
    texts = [
        "select a from t",
        "select b from t",
        'select "A" from t',
        'select "a" from t',
        "select a from t where a = 1",
        "delete from t",
    ]
    assert len({fingerprint(text) for text in texts}) == len(texts)


def test_two_procedures_of_one_text_are_both_named() -> None:
    found = Belongings([Known("a.x", "a.py:1", "select 1"), Known("b.y", "b.py:2", "select 2")])
    assert found.name("select $1") == "a.x, b.y"
    assert found.name("select $1 from tenantry.enter($2)") == "(entering the tenant)"
    assert found.name("select stranger") == ""


@pytest.mark.parametrize(
    ("condition", "kinds"),
    [
        ("(n.a = 1)", [("equal", "a", "=")]),
        ("((n.tenant_id = $0) AND ((n.name)::text ~~* '%x%'::text))", [("equal", "tenant_id", "="), ("other", "name", "~~*")]),
        ("((n.a = 1) AND ((n.b > 2) OR (n.c = 3)))", [("equal", "a", "="), ("other", "", "")]),
        ("((n.a IS NULL) AND n.done AND (NOT n.gone))", [("null", "a", "IS NULL"), ("equal", "done", "="), ("equal", "gone", "=")]),
        ("(ROW(n.created_at, n.id) < ROW($1, $2))", [("row", "created_at", "<")]),
        ("(lower(n.email) = $1)", [("other", "", "")]),
        ('(n."Odd ""name" >= 3)', [("range", 'Odd "name', ">=")]),
        ("(n.status = ANY ('{open,late}'::text[]))", [("equal", "status", "=")]),
        ("(n.body ~~ 'it (is) AND '' that%'::text)", [("other", "body", "~~")]),
        ("", []),
    ],
)  # fmt: skip
def test_conditions_are_read(condition: str, kinds: list[tuple[str, str, str]]) -> None:
    assert [(term.kind, term.column, term.operator) for term in terms(condition)] == kinds
