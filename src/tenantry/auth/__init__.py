"""Who calls: the credential of a request. Sign-in itself comes on top of this."""

from __future__ import annotations

from tenantry.auth.credential import find_credential, is_cross_site, session_cookie

__all__ = ["find_credential", "is_cross_site", "session_cookie"]
