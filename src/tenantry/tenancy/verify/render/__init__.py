"""A report as text, JSON, JUnit and HTML. Pure."""

from __future__ import annotations

from tenantry.tenancy.verify.render.html import html
from tenantry.tenancy.verify.render.junit import junit
from tenantry.tenancy.verify.render.text import text

__all__ = ["html", "junit", "text"]
