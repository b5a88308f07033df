"""Refuses YAML that would stall a reader: too large, too deep, or multiplied by aliases."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from edge.errors import ConfigError

# A station file has a few kilobytes and five levels, a run.yaml at most some hundred kilobytes.
MAX_BYTES = 4 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 200_000


def check_text(text: str, name: str) -> None:
    """Refuse a text that is too long, or too deep to be parsed in reasonable time.

    Brackets are counted before the parser sees them: it takes minutes for a few thousand of them.

    Raises:
        ConfigError: naming the file and the limit.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{name}: expected at most {MAX_BYTES} characters, found {len(text)}")
    depth = 0
    for character in text:
        if character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep(name)
        elif character in "]}":
            depth = max(0, depth - 1)


def check_tree(root: yaml.Node, name: str) -> None:
    """Refuse a composed document that is too deep, or too large once its aliases are replaced.

    Raises:
        ConfigError: naming the file and the limit.
    """
    sizes: dict[int, int] = {}
    path: list[tuple[yaml.Node, Iterator[yaml.Node]]] = [(root, _children(root))]
    open_nodes = {id(root)}
    while path:
        node, children = path[-1]
        child = next(children, None)
        if child is None:
            path.pop()
            open_nodes.discard(id(node))
            sizes[id(node)] = 1 + sum(sizes[id(each)] for each in _children(node))
            if sizes[id(node)] > MAX_VALUES:
                raise ConfigError(
                    f"{name}: expected at most {MAX_VALUES} values, found more; do not repeat "
                    "aliases inside aliases"
                )
        elif id(child) in open_nodes:
            raise ConfigError(
                f"{name}:{child.start_mark.line + 1}: an alias contains itself; write the value out"
            )
        elif id(child) not in sizes:
            if len(path) >= MAX_DEPTH:
                raise _too_deep(name)
            open_nodes.add(id(child))
            path.append((child, _children(child)))


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _too_deep(name: str) -> ConfigError:
    return ConfigError(f"{name}: expected at most {MAX_DEPTH} levels of nesting, found more")
