"""The sections, one file each. A file here with a `SECTION` is part of the runbook; its number in the name is its place."""
