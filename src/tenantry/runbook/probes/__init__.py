"""Ways of looking, one file a thing looked at. All are read-only, and none needs another."""
