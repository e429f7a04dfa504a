"""Desk's own test, as its team writes it."""

import pytest
from desk import NotePatch, add, create, search, update

from tenantry import NotFound
from tenantry.testing import Tenants


async def test_a_note_stays_in_its_tenant(tenants: Tenants) -> None:
    acme, globex = await tenants.new("acme"), await tenants.new("globex")
    ann, eve = await acme.person("admin"), await globex.person("owner")
    project = await ann.call(create, name="Launch")
    note = await ann.call(add, project_id=project.id, body="Book the hall")
    assert [n.id for n in (await ann.call(search, project_id=project.id)).items] == [note.id]
    with pytest.raises(NotFound):
        await eve.call(update, id=note.id, patch=NotePatch(status="done"))
