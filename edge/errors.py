"""Every error this package raises on purpose, and the exit code each one ends a command with.

EdgeError                    1
├── ConfigError              2   a file or option that a person wrote
├── BundleError              3   a bundle that is missing, altered or made for something else
│   ├── BundleCorrupt
│   └── BundleIncompatible
├── EngineError              4   an engine that does not load or does not run
│   ├── EngineLoadError
│   └── InferenceError
├── CameraError              5   a camera that is absent, silent or broken
│   ├── CameraUnavailable
│   └── CameraTimeout
├── PublishError             6   the broker or the outbox
├── CommandError             7   a station that refused or failed a command
├── WriteError               8   a file that cannot be written
├── UnverifiedError          9   a result that is not what a station signed
├── VerdictsChanged         11   archived frames that are judged otherwise now
└── ToolchainError          10   everything before deployment
    ├── DataError
    ├── TrainingError
    ├── ExportError
    ├── ThresholdError
    ├── PrecisionError
    ├── EngineBuildError
    └── ParityError

A message says what was expected, what was found and what to do, in one line.
"""

from __future__ import annotations

from pathlib import Path

from edge.printable_text import escaped_lines


class EdgeError(Exception):
    """Root of the taxonomy; commands print it as one line and exit with `exit_code`.

    What a message quotes from files and addresses is made visible, whoever prints it.
    """

    exit_code = 1

    def __init__(self, message: str = ""):
        super().__init__(escaped_lines(message))


class ConfigError(EdgeError):
    """A configuration file or command option is wrong; `problems` lists every one found."""

    exit_code = 2

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = problems


class BundleError(EdgeError):
    """A bundle cannot be used."""

    exit_code = 3


class BundleCorrupt(BundleError):
    """A bundle's files are missing or differ from its hashes."""


class BundleIncompatible(BundleError):
    """A bundle is whole but made for another schema, runtime or device."""


class EngineError(EdgeError):
    """An inference engine failed."""

    exit_code = 4


class EngineLoadError(EngineError):
    """An engine cannot be loaded on this machine."""


class InferenceError(EngineError):
    """One run of an engine failed or was given tensors it does not take."""


class CameraError(EdgeError):
    """A camera or image source failed."""

    exit_code = 5


class CameraUnavailable(CameraError):
    """The source cannot be opened, or was lost."""


class CameraTimeout(CameraError):
    """The source is open but delivered nothing in time."""


class PublishError(EdgeError):
    """Results cannot be stored or delivered."""

    exit_code = 6


class CommandError(EdgeError):
    """A station answered a command with anything but done."""

    exit_code = 7


class UnverifiedError(EdgeError):
    """A result was unsigned, forged, altered or replayed."""

    exit_code = 9


class VerdictsChanged(EdgeError):
    """A replay of archived frames gave other verdicts than at the time."""

    exit_code = 11


class WriteError(EdgeError):
    """A file cannot be written; `reason` is what the system says."""

    exit_code = 8

    def __init__(self, path: Path, reason: str):
        super().__init__(
            f"{path}: cannot be written: {reason}; free some space or choose another folder"
        )
        self.reason = reason


class ToolchainError(EdgeError):
    """Training, export, thresholds or packing failed."""

    exit_code = 10


class DataError(ToolchainError):
    """A data set is missing, empty or in an unknown layout."""


class TrainingError(ToolchainError):
    """Training cannot start, go on or finish."""


class ExportError(ToolchainError):
    """A model cannot be written as a valid ONNX graph."""


class ThresholdError(ToolchainError):
    """The good parts given cannot support the threshold asked for."""


class PrecisionError(ToolchainError):
    """A graph cannot be rewritten in the precision asked for."""


class EngineBuildError(ToolchainError):
    """An engine cannot be built for this device."""


class ParityError(ToolchainError):
    """An exported model or engine does not decide as the original."""
