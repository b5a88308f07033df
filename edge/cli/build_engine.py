"""edge-build-engine: from a bundle to engines that passed the parity check on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge.cli.console import make_app, run, say, setup_logging
from edge.toolchain.engine_build.profile_folder import target_names

EPILOG = f"""Targets:\n
  {", ".join(target_names())}\n
Examples:\n
  edge-build-engine bundles/pcb --target jetson-orin-nano-jp62\n
  edge-build-engine bundles/pcb --target rtx --out engines --fallback\n
  edge-build-engine bundles/pcb --target cpu --json
"""
app = make_app()


@app.command(epilog=EPILOG)
def build_engine(
    bundle: Annotated[Path, typer.Argument(help="bundle folder", show_default=False)],
    target: Annotated[
        str,
        typer.Option(metavar="NAME", help="one of the targets below, or the path of a .yaml file"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="folder of engines; default where stations look", show_default=False),
    ] = None,
    fallback: Annotated[
        bool,
        typer.Option(
            "--fallback",
            help="if the target's engine fails, try FP16 with attention apart, FP32, then the CPU",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="build even if these engines have passed before")
    ] = False,
    cuda: Annotated[
        Literal["auto", "cuda-python", "pycuda"], typer.Option(help="CUDA binding")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Build engines for this device and keep them if they decide as the FP32 graphs do.

    The golden pictures of the bundle are judged by both. A station runs only engines that passed.
    """
    setup_logging("info")
    from edge.paths import find_engine_dir
    from edge.toolchain.engine_build.backends import find_backend
    from edge.toolchain.engine_build.build import build_engines
    from edge.toolchain.engine_build.target_profile import read_target

    profile, folder = read_target(target), find_engine_dir(out)
    backend = find_backend(target, profile, folder, cuda)
    built = build_engines(bundle, profile, backend, folder, fallback=fallback, force=force)
    if as_json:
        print(built.as_json())
    else:
        say(built)


def main() -> None:
    """Entry point."""
    run(app)
