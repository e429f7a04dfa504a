"""The command's side: which workers there are, and a question to one of them."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from msgspec import Struct

from tenantry.errors import StartError
from tenantry.ops.inspect.folder import doors, is_private, pid_of

ANSWER_SECONDS = 60.0
MOST_BYTES = 256 << 20


class InspectFailed(StartError):
    """A running worker could not be looked into."""

    code = "INSPECT_FAILED"
    says = "{what}: {why}."
    remedy = "{cure}"


class Worker(Struct, frozen=True):
    """A worker that answers at its door."""

    pid: int
    door: Path


def workers(home: Path) -> list[Worker]:
    """Who is there, by process id. Raises InspectFailed when the folder is somebody else's."""
    folder = doors(home)
    if not folder.exists():
        return []
    if not is_private(folder):
        raise InspectFailed(
            what="Looking for workers", why=f"{folder} belongs to another account, or others may look into it",
            cure="Run it as the account that serves (sudo -u …).",
        )  # fmt: skip
    found: list[Worker] = []
    for door in folder.glob("inspect-*.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(1.0)
            try:
                knocking.connect(str(door))
            except OSError:
                continue  # it has ended, or ends
        found.append(Worker(pid_of(door), door))
    return sorted(found, key=lambda one: one.pid)


def ask(worker: Worker, want: str, *, patience: float = ANSWER_SECONDS, **question: Any) -> dict[str, Any]:
    """Its answer, within `patience` seconds. Raises InspectFailed."""
    line = json.dumps({"want": want, **question}).encode() + b"\n"
    what = f"Worker {worker.pid}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(patience)
            asking.connect(str(worker.door))
            asking.sendall(line)
            answer = bytearray()
            while not answer.endswith(b"\n"):
                piece = asking.recv(1 << 20)
                if not piece or len(answer) > MOST_BYTES:
                    raise InspectFailed(what=what, why="it hung up", cure="Was it replaced? Try again: tenantry status")
                answer += piece
    except TimeoutError:
        raise InspectFailed(
            what=what, why=f"no answer within {patience:g} s",
            cure="Its loop may be blocked: tenantry profile shows where, and kill -USR1 writes its stack to the log.",
        ) from None  # fmt: skip
    except OSError as error:
        raise InspectFailed(what=what, why=error.strerror or str(error), cure="See: tenantry status") from None
    told: dict[str, Any] = json.loads(answer)
    if "refused" in told:
        raise InspectFailed(what=what, why=told["refused"], cure="See: tenantry heap --help, tenantry profile --help")
    return told
