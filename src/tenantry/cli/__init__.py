"""The command `tenantry`: one file a command; parsing and printing only."""
