"""superjson side by side with its npm package: what one writes, the other reads and writes the same."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tenantry import BigInt
from tenantry.rpc import superjson
from tenantry.rpc.superjson import JsError, Map, RegExp, Url
from tests.rpc.test_superjson import EPOCH, survives, values

HERE = Path(__file__).parents[1] / "typescript"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (HERE / "node_modules").exists(), reason="the npm packages are not here"
)


def npm(texts: list[str]) -> Any:
    done = subprocess.run(
        ["node", "superjson.mjs"],
        input=json.dumps(texts),
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_equalities(text: str) -> Any:
    """The npm package also notes which places hold one object; Python writes every place in full."""
    whole = json.loads(text)
    meta = whole.get("meta", {})
    meta.pop("referentialEqualities", None)
    if not meta.get("values"):
        whole.pop("meta", None)
    return whole


SAMPLES: list[Any] = [
    EPOCH, superjson.UNDEFINED, None, math.nan, -math.inf, -0.0, 2**60, BigInt(1), {1, "a"}, frozenset({EPOCH}), {1: EPOCH, 2: BigInt(1)},
    Map({"k": {"at": EPOCH}, EPOCH: 2}), b"\0\xff", Url("https://a.example/b?c=d"), RegExp(r"a\/[b.]", "gi"),
    JsError("TypeError", "no", EPOCH), {"a.b": {"c\\d": EPOCH}, "": -0.0, "0": [{EPOCH}, [2**70]]},
    {"rows": [{"at": datetime(2026, 1, 2, 3, 4, 5, 678000, timezone.utc), "plain": "x", "n": 1.5} for _ in range(3)]},
]  # fmt: skip


def test_the_npm_package_reads_what_python_writes_and_writes_the_same() -> None:
    texts = [superjson.dumps(value).decode() for value in SAMPLES]
    for text, again in zip(texts, npm(texts)["again"], strict=True):
        assert without_equalities(again) == json.loads(text)


def test_python_reads_what_the_npm_package_writes_and_writes_the_same() -> None:
    made = npm([])["made"]
    assert len(made) > 10
    for text in made:
        whole = without_equalities(text)
        found = superjson.loads(text.encode())
        again = superjson.dumps(found)
        # Python's sets have no order, and typed arrays other than of bytes are lists to it.
        assert superjson.loads(again) == found
        values = whole.get("meta", {}).get("values", {})
        if isinstance(values, dict) and not {"set", "words"} & values.keys():
            assert json.loads(again) == whole


keyless = values.filter(survives).filter(lambda value: "\ud800" not in repr(value))


@settings(max_examples=3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(keyless, min_size=60, max_size=60))
def test_any_value_survives_the_npm_package(batch: list[Any]) -> None:
    texts = [superjson.dumps(value).decode() for value in batch if is_for_javascript(value)]
    for text, again in zip(texts, npm(texts)["again"], strict=True):
        # JavaScript puts keys that are numbers first, and 1.0 is 1; so values are compared, not texts.
        assert superjson.loads(again.encode()) == superjson.loads(text.encode())


def is_for_javascript(value: Any) -> bool:
    """JavaScript refuses some texts as URL or pattern, and writes a float beyond 2^53 with fewer digits than the integer has."""
    if isinstance(value, float):
        return abs(value) < 2**53 or math.isinf(value)
    if isinstance(value, (Url, RegExp)):
        return False
    if isinstance(value, dict):
        return all(is_for_javascript(key) and is_for_javascript(member) for key, member in value.items())
    return all(is_for_javascript(item) for item in value) if isinstance(value, (list, set, frozenset)) else True
