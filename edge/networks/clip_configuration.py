"""Which activation a CLIP was trained with: the configuration beside its weights says so.

A wrong one gives no error, only features that are off; so it is never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.networks.backbones.clip import Activation

OPEN_CLIP = "open_clip_config.json"
TRANSFORMERS = "config.json"


def read_configuration(path: Path) -> dict[str, Any]:
    """Read a configuration.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path.name}: expected an object")  # noqa: TRY004 - of a file
    return data


def activation_beside(weights: Path) -> Activation:
    """The activation of a weight file, from open_clip_config.json or config.json in its folder.

    Raises:
        OSError: the configuration cannot be read.
        ValueError: there is none, or it names none that is known.
    """
    for name in (f"{weights.stem}.json", OPEN_CLIP, TRANSFORMERS):
        path = weights.with_name(name)
        if path.is_file():
            return activation_of(read_configuration(path), name)
    raise ValueError(
        f"no configuration beside {weights.name} says which activation it was trained with; put "
        f'its {OPEN_CLIP} there, or one with {{"model_cfg": {{"quick_gelu": false}}}}'
    )


def activation_of(configuration: Mapping[str, Any], name: str) -> Activation:
    """The activation that a configuration of OpenCLIP or `transformers` names.

    Raises:
        ValueError: it names another than quick_gelu or gelu, or its towers differ.
    """
    model = configuration.get("model_cfg", configuration)
    if not isinstance(model, Mapping):
        raise ValueError(f"{name}: model_cfg: expected an object")  # noqa: TRY004 - of a file
    if "model_cfg" in configuration or "quick_gelu" in model or "vision_cfg" in model:
        is_quick = model.get("quick_gelu", False)  # OpenCLIP's own default
        if not isinstance(is_quick, bool):
            raise ValueError(f"{name}: quick_gelu: expected true or false, got {is_quick!r}")
        return "quick_gelu" if is_quick else "gelu"
    towers = [model[key] for key in ("vision_config", "text_config") if key in model]
    # The library's own default stands where a tower's entry is left out.
    default = model.get("hidden_act", "quick_gelu")
    found = {
        tower.get("hidden_act", default) if isinstance(tower, Mapping) else default
        for tower in towers or [model]
    }
    if found == {"quick_gelu"}:
        return "quick_gelu"
    if found == {"gelu"}:
        return "gelu"
    named = " and ".join(sorted(map(str, found)))
    raise ValueError(f"{name}: hidden_act: expected quick_gelu or gelu in both towers, got {named}")
