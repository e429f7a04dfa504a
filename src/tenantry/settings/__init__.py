"""Settings: every knob in one typed, frozen object, from the environment and `.env`, all faults at once.

`declared.py` lists them; `reading.py` makes and prints them; `dotenv.py` reads the file; `secret.py` keeps what must
not be shown.
"""

from __future__ import annotations

from tenantry.settings.declared import Setting, Settings, Urls
from tenantry.settings.secret import DatabaseUrl, Secret, compose

__all__ = ["DatabaseUrl", "Secret", "Setting", "Settings", "Urls", "compose"]
