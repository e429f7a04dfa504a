"""The test of notes: pytest -o tenantry_app=notes:app -o asyncio_mode=auto"""

import notes

from tenantry.testing import Tenants


async def test_each_tenant_sees_its_own(tenants: Tenants) -> None:
    ann = await (await tenants.new("acme")).person()
    eve = await (await tenants.new("globex")).person()
    note = await ann.call(notes.add, body="Book the hall")
    assert (await ann.call(notes.recent)).items == [note]
    assert (await eve.call(notes.recent)).items == []
