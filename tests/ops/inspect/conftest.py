from tests.processes.fixtures import database, place, with_notes

__all__ = ["database", "place", "with_notes"]
