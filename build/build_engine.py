"""Compile a bundle for this device, prove it against the reference, put it where stations look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edge.cli.console import make_app, run, setup_logging

TARGETS = Path(__file__).resolve().parent / "targets"
EPILOG = """Examples:\n
  python build/build_engine.py bundles/pcb --target jetson-orin-nano-jp62\n
  python build/build_engine.py bundles/pcb --target rtx --out engines --fallback\n
  python build/build_engine.py bundles/pcb --target cpu --json
"""
app = make_app()


@app.command(epilog=EPILOG)
def build_engine(
    bundle: Annotated[Path, typer.Argument(help="bundle folder", show_default=False)],
    target: Annotated[str, typer.Option(help="profile in build/targets, or a .yaml file")],
    out: Annotated[
        Path | None,
        typer.Option(help="folder of engines; default where stations look", show_default=False),
    ] = None,
    fallback: Annotated[
        bool,
        typer.Option("--fallback", help="if it fails, take FP16 with attention apart, FP32, CPU"),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="build although it has passed")] = False,
    cuda: Annotated[
        Literal["auto", "cuda-python", "pycuda"], typer.Option(help="CUDA binding")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Build engines, run the golden set on them, and keep them only if they decide as FP32 does."""
    setup_logging("info")
    from edge.config.engine_dir import find_engine_dir
    from edge.toolchain.engine_build.backends import find_backend
    from edge.toolchain.engine_build.build import build_engines
    from edge.toolchain.engine_build.tensorrt.targets import read_target

    profile, folder = read_target(target, TARGETS), find_engine_dir(out)
    backend = find_backend(target, profile, folder, cuda)
    built = build_engines(bundle, profile, backend, folder, fallback=fallback, force=force)
    print(built.as_json() if as_json else built)


if __name__ == "__main__":
    run(app)
