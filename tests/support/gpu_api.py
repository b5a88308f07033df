"""What a module of TensorRT offers, and what our fakes offer: names and argument names."""

from __future__ import annotations

import inspect
import re

from tests.support import fake_tensorrt

CLASSES = (
    "Runtime",
    "ICudaEngine",
    "IExecutionContext",
    "Builder",
    "OnnxParser",
    "INetworkDefinition",
    "ILayer",
    "IBuilderConfig",
    "ITimingCache",
)
# What real builds in tests/toolchain use beyond the fakes.
BEYOND = {
    "ILayer.get_input": ["index"],
    "ILayer.set_input": ["index", "tensor"],
    "ILayer.num_inputs": None,
    "ILayer.type": None,
    "ITensor.name": None,
    "OnnxParser.num_errors": None,
    "OnnxParser.get_error": ["index"],
    "ParserError.desc": [],
    "ParserError.node_name": [],
    "ParserError.node_operator": [],
    "IProgressMonitor.phase_start": ["phase_name", "parent_phase", "num_steps"],
    "IProgressMonitor.step_complete": ["phase_name", "step"],
    "IProgressMonitor.phase_finish": ["phase_name"],
    "ILogger.log": ["severity", "msg"],
    "IBuilderConfig.progress_monitor": None,
    "IBuilderConfig.builder_optimization_level": None,
}
ENUMS = {
    "TensorIOMode": ["INPUT", "OUTPUT"],
    "DataType": ["FLOAT", "UINT8"],
    "MemoryPoolType": ["WORKSPACE"],
    "BuilderFlag": ["TF32"],
    "LayerType": ["SOFTMAX"],
    "ActivationType": ["RELU"],
    "NetworkDefinitionCreationFlag": ["STRONGLY_TYPED"],
}


def used() -> dict[str, list[str] | None]:
    """Class.name -> argument names, None for a property: what our code may use."""
    names = dict(BEYOND)
    for cls in CLASSES:
        for name, member in vars(getattr(fake_tensorrt, cls)).items():
            if name.startswith("_") or not (inspect.isfunction(member) or _is_property(member)):
                continue
            arguments = None
            if inspect.isfunction(member):
                arguments = list(inspect.signature(member).parameters)[1:]
            names[f"{cls}.{name}"] = arguments
    return names


def offered(trt) -> dict[str, object]:
    """What a real module has of `used`, and the numbers of the members that we name."""
    found: dict[str, object] = {}
    for name in used():
        cls, _, attribute = name.partition(".")
        member = getattr(getattr(trt, cls, None), attribute, None)
        if member is None:
            found[name] = "absent"
        elif _is_property(member):
            found[name] = None
        else:
            found[name] = signatures(member.__doc__ or "")
    for name, wanted in ENUMS.items():
        members = getattr(trt, name).__members__
        found[name] = {member: int(members[member]) for member in wanted if member in members}
    return found


def signatures(doc: str) -> list[list[str]]:
    """Argument names of each overload, from the first lines that pybind11 writes."""
    lines = re.findall(r"^(?:\d+\. )?\w+\((self: [^\n]*)\) -> ", doc, re.MULTILINE)
    return [re.findall(r"(?:^|, )(\w+): ", line)[1:] for line in lines]


def _is_property(member) -> bool:
    return isinstance(member, property)
