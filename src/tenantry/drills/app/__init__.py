"""The application that drills serve: notes of a tenant, and procedures that go wrong on demand."""
