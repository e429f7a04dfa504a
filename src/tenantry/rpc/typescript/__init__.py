"""Procedures as TypeScript, pure: `declarations` gives the text of `app-router.d.ts`, `AUTH_MODULE` that of `auth.ts`."""

from __future__ import annotations

from tenantry.rpc.typescript.program import Transformer, declarations, texts_of
from tenantry.rpc.typescript.session import AUTH_MODULE

__all__ = ["AUTH_MODULE", "Transformer", "declarations", "texts_of"]
