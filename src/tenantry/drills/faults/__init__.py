"""The faults, one declaration each, related ones in a file. A file here with `DRILLS` is part of `tenantry drill`."""
