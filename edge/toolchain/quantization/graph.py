"""An ONNX graph with look-ups for its passes: constants, producers and readers of tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from edge.errors import PrecisionError

Array = NDArray[np.generic]


class Graph:
    """A private copy of a model for rewriting.

    A pass reads `nodes` and gives the new list to `rewrite`. That updates the look-ups, drops what
    no output needs and sorts the nodes.
    """

    def __init__(self, model: onnx.ModelProto):
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        # Stored shapes name tensors that a pass may retype or drop.
        del self.model.graph.value_info[:]
        self._proto = {entry.name: entry for entry in self.model.graph.initializer}
        self._names = {name for node in self.nodes for name in (*node.input, *node.output)}
        self._names |= set(self._proto)
        _name_nodes(self.nodes)
        self._index()

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Nodes in order of computation."""
        return list(self.model.graph.node)

    @property
    def inputs(self) -> list[str]:
        """Names of the graph's inputs."""
        return [value.name for value in self.model.graph.input]

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [value.name for value in self.model.graph.output]

    def is_constant(self, name: str) -> bool:
        """Return whether `name` is an initializer."""
        return name in self._proto

    def constant(self, name: str) -> Array:
        """Value of an initializer."""
        return numpy_helper.to_array(self._proto[name])

    def producer(self, name: str) -> onnx.NodeProto | None:
        """Node that has a tensor as output; None for inputs and constants."""
        return self._producers.get(name)

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Nodes that take a tensor, each once."""
        return self._readers.get(name, [])

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        """Return the single node that takes a tensor, if nothing else does and it is no output."""
        readers = self.readers(name)
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def new_name(self, wish: str) -> str:
        """Return `wish`, or `wish` with a number if a tensor of that name exists."""
        name, number = wish, 1
        while name in self._names:
            name, number = f"{wish}_{number}", number + 1
        self._names.add(name)
        return name

    def add_constant(self, wish: str, value: Array) -> str:
        """Store an initializer and return its name."""
        name = self.new_name(wish)
        proto = numpy_helper.from_array(value, name)
        # The container copies what it takes; keep the one inside.
        self.model.graph.initializer.append(proto)
        self._proto[name] = self.model.graph.initializer[-1]
        return name

    def rewrite(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Replace all nodes by `nodes`, given in any order."""
        kept = _ordered(list(nodes), [*self.inputs, *self._proto, ""], self.outputs)
        del self.model.graph.node[:]
        self.model.graph.node.extend(kept)
        used = {name for node in kept for name in node.input}
        constants = [entry for name, entry in self._proto.items() if name in used]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(constants)
        self._proto = {entry.name: entry for entry in self.model.graph.initializer}
        self._index()

    def checked(self) -> onnx.ModelProto:
        """Return the model after a full check.

        Raises:
            PrecisionError: it is invalid.
        """
        try:
            onnx.checker.check_model(self.model, full_check=True)
        except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
            first = str(error).strip().splitlines()[0]
            raise PrecisionError(f"the rewritten graph is invalid: {first}") from error
        return self.model

    def _index(self) -> None:
        self._producers = {name: node for node in self.model.graph.node for name in node.output}
        readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.model.graph.node:
            for name in dict.fromkeys(node.input):
                readers[name].append(node)
        self._readers = dict(readers)


def make_node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    """Make a node with one output, named after it."""
    return helper.make_node(op, inputs, [output], name=f"{output}_{op}", **attributes)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Value of a node's attribute."""
    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor, by strict inference.

    Raises:
        PrecisionError: a type cannot be inferred.
    """
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except shape_inference.InferenceError as error:
        first = str(error).strip().splitlines()[0]
        raise PrecisionError(f"types of the graph cannot be inferred: {first}") from error
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types |= {entry.name: entry.data_type for entry in inferred.initializer}
    missing = [out for node in inferred.node for out in node.output if out and not types.get(out)]
    if missing:
        raise PrecisionError(f"expected a type for every tensor, found none for {missing[0]}")
    return types


def tensor_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor, as far as it can be inferred; 0 stands for an unknown side."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    values = (*inferred.input, *inferred.output, *inferred.value_info)
    return {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in values
    }


def _name_nodes(nodes: list[onnx.NodeProto]) -> None:
    """Name nodes that have no name, or the name of an earlier node."""
    taken: set[str] = set()
    for number, node in enumerate(nodes):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)


def _ordered(
    nodes: list[onnx.NodeProto], given: list[str], outputs: list[str]
) -> list[onnx.NodeProto]:
    """Nodes that the outputs depend on, each after what it reads.

    Raises:
        PrecisionError: a tensor is read that has no producer.
    """
    producers = {name: node for node in nodes for name in node.output}
    known, done, order = set(given), set[int](), list[onnx.NodeProto]()
    pending = [producers[name] for name in reversed(outputs)]
    while pending:
        node = pending[-1]
        missing = [name for name in node.input if name not in known]
        if id(node) in done or not missing:
            pending.pop()
            if id(node) not in done:
                done.add(id(node))
                order.append(node)
                known.update(node.output)
            continue
        for name in reversed(missing):
            if name not in producers:
                raise PrecisionError(f"{node.name}: reads {name}, which has no producer")
            pending.append(producers[name])
    return order
