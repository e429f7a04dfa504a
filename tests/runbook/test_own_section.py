"""The guide's example of a section of one's own, as it stands there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tenantry import runbook
from tenantry.runbook import Place, chosen, diagnose, sections
from tests.conftest import Database

GUIDE = Path(__file__).parent.parent.parent / "docs/guides/doctor.md"


def test_the_guides_section_is_looked_at(database: Database):
    found = re.search(r"<!-- example -->\n```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    try:
        for _ in range(2):  # a module may be imported anew
            exec(compile(found[1], str(GUIDE), "exec"), {"__name__": "mail"})
        wanted = chosen(sections(), symptom="There are no mails")
        assert [one.slug for one in wanted] == ["mail"]

        async def work() -> runbook.Diagnosis:
            return await diagnose(Place(database.settings(), database.urls, superuser=database.superuser), wanted)

        (finding,) = asyncio.run(work()).findings
        assert (finding.cause, finding.says) == ("mailer-gone", "No mailer is connected to the database.")
        assert finding.remedy is not None
        assert finding.remedy.command == "systemctl start mailer"
    finally:
        runbook._added.clear()
