"""A profile as a tree of text, as collapsed stacks, for speedscope, and as a page with a flame graph. Pure.

The page stands by itself: no script from elsewhere, names escaped, a click zooms, the field searches.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

Stacks = dict[tuple[str, ...], int]
LEAST_SHARE = 0.0005
"""A block that would be thinner than that is not drawn."""


class Node:
    """A function, seen from its callers: samples in it and beneath it, and in itself alone."""

    __slots__ = ("children", "name", "own", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self.own = 0
        self.children: dict[str, Node] = {}

    def sorted(self) -> list[Node]:
        """Its callees, the widest first."""
        return sorted(self.children.values(), key=lambda one: (-one.total, one.name))


def tree(stacks: Stacks) -> Node:
    """All stacks as one tree, from the root."""
    root = Node("all")
    for stack, count in stacks.items():
        root.total += count
        node = root
        for name in stack:
            node = node.children.setdefault(name, Node(name))
            node.total += count
        node.own += count
    return root


def lines(root: Node, *, least: float = 0.02, deepest: int = 40) -> Iterator[str]:
    """The tree as text: what takes at least that share."""

    def below(node: Node, depth: int) -> Iterator[str]:
        for child in node.sorted():
            if child.total < least * root.total or depth >= deepest:
                continue
            # A chain of single callees is one thing: only its ends say where the time goes.
            yield f"{child.total / root.total:7.1%} {'  ' * depth}{child.name}"
            yield from below(child, depth + 1)

    yield from below(root, 0)


def hottest(stacks: Stacks, count: int = 15) -> list[tuple[str, int]]:
    """Functions by the samples in themselves, waiting left out."""
    own: dict[str, int] = {}
    for stack, samples in stacks.items():
        if len(stack) > 1:
            own[stack[-1]] = own.get(stack[-1], 0) + samples
    return sorted(own.items(), key=lambda item: -item[1])[:count]


def collapsed(stacks: Stacks) -> str:
    """One line a stack, `a;b;c 12`: for flamegraph.pl, inferno and their like."""
    return "".join(
        f"{';'.join(name.replace(';', ':') for name in stack)} {count}\n" for stack, count in sorted(stacks.items())
    )


def speedscope(stacks: Stacks, name: str, rate: float) -> str:
    """https://www.speedscope.app/file-format-schema.json, kind "sampled"."""
    places: dict[str, int] = {}
    samples: list[list[int]] = []
    weights: list[float] = []
    for stack, count in stacks.items():
        samples.append([places.setdefault(frame, len(places)) for frame in stack])
        weights.append(round(count / rate, 6))
    profile: dict[str, Any] = {
        "type": "sampled", "name": name, "unit": "seconds", "startValue": 0, "endValue": round(sum(weights), 6),
        "samples": samples, "weights": weights,
    }  # fmt: skip
    return json.dumps({
        "$schema": "https://www.speedscope.app/file-format-schema.json", "name": name, "exporter": "tenantry profile",
        "activeProfileIndex": 0, "shared": {"frames": [{"name": frame} for frame in places]}, "profiles": [profile],
    })  # fmt: skip


def page(stacks: Stacks, title: str, says: str) -> str:
    """The flame graph. Idle time is left out of the picture, and said in words."""
    root = tree({stack: count for stack, count in stacks.items() if stack != ("(idle)",)})
    blocks: list[list[Any]] = []
    names: dict[str, int] = {}

    def lay(node: Node, depth: int, left: int) -> None:
        if node.total < LEAST_SHARE * root.total:
            return
        blocks.append([depth, left, node.total, names.setdefault(node.name, len(names)), node.own])
        for child in node.sorted():
            lay(child, depth + 1, left)
            left += child.total

    if root.total:
        lay(root, 0, 0)
    # `</script>` in a name would end the script: no tag survives this.
    data = json.dumps({"names": list(names), "blocks": blocks}).replace("<", "\\u003c")
    template = files("tenantry.ops.inspect").joinpath("flame.html").read_text("utf-8")
    for mark, text in (("@title@", html.escape(title)), ("@says@", html.escape(says)), ("@data@", data)):
        template = template.replace(mark, text)
    return template
