"""TensorRT without a GPU: an engine is its ONNX file, and ONNX Runtime computes it.

Only what we use, under the names and arguments that tests/models/tensorrt_api.json records of the
real bindings. `FakeTensorRT(cudart)` stands for the module. FAKE_TENSORRT_DEFECT names engines that
compute wrong numbers without a word: `fused` those of networks with a softmax that is read by what
the file says reads it, `all` every one.
"""

from __future__ import annotations

import enum
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

from tests.support.fake_cuda import FakeCudart, Misuse

MAGIC, WRONG = b"plan", b"bent"


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity

    def __init__(self):
        pass


class IProgressMonitor:
    def __init__(self):
        pass


class TensorIOMode(enum.IntEnum):
    INPUT = 1
    OUTPUT = 2


class DataType(enum.IntEnum):
    FLOAT = 0
    UINT8 = 5


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class BuilderFlag(enum.IntEnum):
    TF32 = 7


class LayerType(enum.IntEnum):
    SOFTMAX = 1
    OTHER = 2


class ActivationType(enum.IntEnum):
    RELU = 0


TYPES = {"tensor(float)": DataType.FLOAT, "tensor(uint8)": DataType.UINT8}
NUMPY = {DataType.FLOAT: np.float32, DataType.UINT8: np.uint8}


class FakeTensorRT:
    """The module. `fails` holds functions that fail, as TensorRT does: by what they return."""

    ILogger, IProgressMonitor = ILogger, IProgressMonitor
    TensorIOMode, DataType, MemoryPoolType = TensorIOMode, DataType, MemoryPoolType
    NetworkDefinitionCreationFlag, BuilderFlag = NetworkDefinitionCreationFlag, BuilderFlag
    LayerType, ActivationType = LayerType, ActivationType

    def __init__(self, cudart: FakeCudart | None = None, version: str = "10.3.0"):
        self.__version__ = version
        self.cudart = cudart
        self.fails: set[str] = set()
        self.contexts: list[IExecutionContext] = []

    def nptype(self, trt_type):
        return NUMPY[trt_type]

    def Runtime(self, logger):  # noqa: N802 - its name in TensorRT
        return Runtime(self, logger)

    def Builder(self, logger):  # noqa: N802
        return Builder(self, logger)

    def OnnxParser(self, network, logger):  # noqa: N802
        return OnnxParser(self, network, logger)


class Runtime:
    def __init__(self, trt: FakeTensorRT, logger):
        self._trt, self._logger = trt, logger

    def deserialize_cuda_engine(self, serialized_engine):
        data = bytes(serialized_engine)
        if "deserialize_cuda_engine" in self._trt.fails or data[:4] not in (MAGIC, WRONG):
            self._logger.log(Severity.ERROR, "Serialization assertion\n  magicTag failed.")
            return None
        return ICudaEngine(self._trt, data[4:], 1.5 if data.startswith(WRONG) else 1.0)


class ICudaEngine:
    def __init__(self, trt: FakeTensorRT, model: bytes, factor: float):
        self._trt, self.factor = trt, factor
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.tensors = {
            node.name: (mode, tuple(node.shape), TYPES[node.type])
            for mode, nodes in (
                (TensorIOMode.INPUT, self.session.get_inputs()),
                (TensorIOMode.OUTPUT, self.session.get_outputs()),
            )
            for node in nodes
        }

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_shape(self, name):
        return self.tensors[name][1]

    def get_tensor_dtype(self, name):
        return self.tensors[name][2]

    def create_execution_context(self):
        if "create_execution_context" in self._trt.fails:
            return None
        context = IExecutionContext(self._trt, self)
        self._trt.contexts.append(context)
        return context


class IExecutionContext:
    def __init__(self, trt: FakeTensorRT, engine: ICudaEngine):
        self._trt, self._engine = trt, engine
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name, memory):
        if "set_tensor_address" in self._trt.fails:
            return False
        self._addresses[name] = int(memory)
        return True

    def execute_async_v3(self, stream_handle):
        cudart = self._trt.cudart
        if "execute_async_v3" in self._trt.fails or cudart is None:
            return False
        missing = set(self._engine.tensors) - set(self._addresses)
        if missing:
            raise Misuse(f"no address for {missing}")
        arrays = {name: self._array(name) for name in self._engine.tensors}
        # As on a GPU: what is on the stream uses the addresses of this moment.
        addresses = tuple(self._addresses[name] for name in self._engine.tensors)
        cudart.put(stream_handle, "execute", lambda: self._compute(arrays), addresses)
        return True

    def _array(self, name):
        _, shape, dtype = self._engine.tensors[name]
        size = int(np.prod(shape)) * np.dtype(NUMPY[dtype]).itemsize
        memory = self._trt.cudart.array(self._addresses[name], "device", size)
        return memory.view(NUMPY[dtype]).reshape(shape)

    def _compute(self, arrays):
        tensors = self._engine.tensors
        inputs = {n: arrays[n] for n in tensors if tensors[n][0] is TensorIOMode.INPUT}
        outputs = [n for n in tensors if n not in inputs]
        for name, value in zip(outputs, self._engine.session.run(outputs, inputs), strict=True):
            np.copyto(arrays[name], value * np.float32(self._engine.factor))


class Builder:
    def __init__(self, trt: FakeTensorRT, logger):
        self._trt, self._logger = trt, logger

    def create_network(self, flags):
        if flags != 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED):
            raise Misuse(f"expected a strongly typed network, got flags {flags}")
        return INetworkDefinition()

    def create_builder_config(self):
        return IBuilderConfig()

    def build_serialized_network(self, network, config):
        if "build_serialized_network" in self._trt.fails:
            self._logger.log(Severity.ERROR, "Could not find any implementation for node x.")
            return None
        if not config.flags_cleared == {BuilderFlag.TF32}:
            raise Misuse("FP32 would be computed in TF32")
        monitor = config.progress_monitor
        monitor.phase_start("Building engine", None, 2)
        for step in range(2):
            monitor.step_complete("Building engine", step)
        monitor.phase_finish("Building engine")
        return (WRONG if self._is_wrong(network) else MAGIC) + network.model

    def _is_wrong(self, network) -> bool:
        defect = os.environ.get("FAKE_TENSORRT_DEFECT")
        is_fused = network.num_layers == 1
        return defect == "all" or (defect == "fused" and is_fused)


class OnnxParser:
    def __init__(self, trt: FakeTensorRT, network, logger):
        self._trt, self._network = trt, network

    def parse_from_file(self, model):
        self._network.model = Path(model).read_bytes()
        if b"Softmax" in self._network.model:
            self._network.layers.append(ILayer(LayerType.SOFTMAX))
        return True


class INetworkDefinition:
    def __init__(self):
        self.model = b""
        self.layers: list[ILayer] = []

    @property
    def num_layers(self):
        return len(self.layers)

    def get_layer(self, index):
        return self.layers[index]

    def add_activation(self, input, type):  # noqa: A002
        self.layers.append(ILayer(LayerType.OTHER))
        return self.layers[-1]


class ILayer:
    """A layer without inputs: nothing reads it here."""

    num_inputs = 0

    def __init__(self, kind: LayerType):
        self.type = kind

    def get_output(self, index):
        return self


class IBuilderConfig:
    def __init__(self):
        self.builder_optimization_level = 3
        self.progress_monitor = None
        self.flags_cleared: set = set()
        self.workspace = 0
        self.cache: ITimingCache | None = None

    def set_memory_pool_limit(self, pool, pool_size):
        self.workspace = pool_size

    def clear_flag(self, flag):
        self.flags_cleared.add(flag)

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache, ignore_mismatch):
        if not cache.is_known:
            return False
        self.cache = cache
        return True

    def get_timing_cache(self):
        return self.cache


class ITimingCache:
    def __init__(self, data: bytes):
        self.is_known = not data or data.startswith(b"{")
        self.builds = json.loads(data)["builds"] if data and self.is_known else 0

    def serialize(self):
        return json.dumps({"builds": self.builds + 1}).encode()
