"""A served application over a database of its own: for every folder of tests that starts the processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenantry.db.migrate import Migration
from tests.conftest import Cluster, Database
from tests.processes.place import NOTES, Place, placed


@pytest.fixture(scope="session")
def with_notes(cluster18: Cluster) -> str:
    return cluster18.make_template("served", [Migration("notes.sql", NOTES, "application")])


@pytest.fixture
def database(cluster: Cluster, with_notes: str) -> Iterator[Database]:
    with cluster.database(with_notes) as made:
        yield made


@pytest.fixture
def place(database: Database) -> Iterator[Place]:
    with placed(database) as made:
        yield made
