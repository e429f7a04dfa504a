"""`make fixture-auth PORT=4200`: a Tenantry that is set up as the sign-in kit asks, in the foreground, with its KIT_* lines.

Sign-up is open, limits are off, mails land in a folder and are listed at KIT_OUTBOX_URL. The provider is the kit's own
(`node kit/idp.mjs`, or the kit's tests, which start it), on IDP_PORT.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(base: str, idp: str, home: Path, outbox: Path, secret: str, **more: str) -> dict[str, str]:
    """What `tenantry serve` is started with."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AUTH_", "NEXTAUTH_", "DATABASE_", "TENANTRY_"))}
    return {
        **kept,
        "AUTH_URL": base,
        "AUTH_SECRET": secret,
        "AUTH_GOOGLE_ISSUER": f"{idp}/google",
        "AUTH_GOOGLE_ID": "kit-google",
        "AUTH_GOOGLE_SECRET": "kit-google-secret-0123456789abcdef",
        "AUTH_MICROSOFT_ENTRA_ID_ISSUER": f"{idp}/common/v2.0",
        "AUTH_MICROSOFT_ENTRA_ID_ID": "kit-microsoft",
        "AUTH_MICROSOFT_ENTRA_ID_SECRET": "kit-microsoft-secret-0123456789abcdef",
        "AUTH_SIGN_UP": "open",
        "AUTH_RATE_LIMITS": "off",
        "AUTH_EMAIL_SERVER": f"dir:{outbox}",
        "AUTH_EMAIL_FROM": "Tenantry <login@tenantry.example>",
        "TENANTRY_HOME": str(home),
        **more,
    }


def list_outbox(folder: Path) -> ThreadingHTTPServer:
    """A listener that gives the mails as a JSON list."""

    class Outbox(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mails = [json.loads(p.read_text("utf-8")) for p in sorted(folder.glob("[0-9]*.json"))]
            body = json.dumps(mails).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Outbox)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def kit_lines(base: str, secret: str, outbox: ThreadingHTTPServer, superuser: str, idp_port: str) -> dict[str, str]:
    """What the kit reads."""
    return {
        "BASE_URL": base,
        "IDP_PORT": idp_port,
        "KIT_SECRET": secret,
        "KIT_OUTBOX_URL": f"http://127.0.0.1:{outbox.server_address[1]}/",
        "KIT_EXPIRE": f'"{sys.executable}" "{Path(__file__).resolve()}" --age "$1" --url "{superuser}"',
        "KIT_STRICT": "1",
    }


def age(url: str, seconds: int) -> int:
    """What KIT_EXPIRE does; psql need not be there."""
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("update public.auth_sessions set expires = expires - make_interval(secs => %s)", (seconds,))
    return 0


def free_port() -> int:
    """A port that nothing listens on. Below those that the system gives to connections: one of these would take it before we do."""
    while True:
        port = secrets.randbelow(12_000) + 20_000
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 0))
    parser.add_argument(
        "--age", type=int, help="only make every session so many seconds older, in the database of --url"
    )
    parser.add_argument("--url")
    asked_for = parser.parse_args()
    if asked_for.age is not None:
        return age(asked_for.url, asked_for.age)
    port = asked_for.port or free_port()
    base, idp_port = f"http://127.0.0.1:{port}", os.environ.get("IDP_PORT", "9400")
    place = Path(tempfile.mkdtemp(prefix="tenantry-fixture-"))
    place.chmod(0o755)  # the embedded server's own account must get in
    home = Path(os.environ.get("FIXTURE_HOME") or place / "home")
    outbox = place / "outbox"
    outbox.mkdir(mode=0o700)
    secret = secrets.token_urlsafe(33)
    tenantry = [sys.executable, "-m", "tenantry.cli.main"]
    env = environment(base, f"http://127.0.0.1:{idp_port}", home, outbox, secret, PORT=str(port))
    serving = subprocess.Popen([*tenantry, "serve", "notes:app"], env=env, cwd=ROOT / "examples" / "notes")
    signal.signal(signal.SIGTERM, lambda *_: serving.terminate())
    try:
        until = time.monotonic() + 120
        while serving.poll() is None and time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{base}/api/auth/providers", timeout=2).read()
                break
            except OSError:
                time.sleep(0.1)
        asked = [*tenantry, "db", "url", "--role", "postgres"]
        found = subprocess.run(
            asked, env=env, cwd=ROOT / "examples" / "notes", capture_output=True, text=True, check=True
        )
        for name, value in kit_lines(base, secret, list_outbox(outbox), found.stdout.strip(), idp_port).items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        return serving.wait()
    except KeyboardInterrupt:
        return serving.wait()
    finally:
        if serving.poll() is None:
            serving.terminate()
            serving.wait()
        subprocess.run(
            [*tenantry, "db", "stop"], env=env, cwd=ROOT / "examples" / "notes", capture_output=True, check=False
        )


if __name__ == "__main__":
    sys.exit(main())
