"""Build every preset's graph with TensorRT for RTX and write what came of it into docs/engines.md.

    python -m benchmarks.compile_table --out docs/engines.md
    python -m benchmarks.compile_table --only lite multiads-lite

Needs no GPU, but `pip install 'edge-inspection[rtx]'` and 16 GB of memory for the largest
graphs. Every graph is exported, rewritten and built in a process of its own. Ends with 1 if a graph
is refused or an engine is not what its graph says.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path

from benchmarks.marked_table import replace_table
from edge.errors import EdgeError
from edge.toolchain.compile_check.preset_graphs import PRECISIONS, PRESET_GRAPHS

HEAD = (
    "| graph | input | precision | ONNX MB | engine MB | build s | layers | attention fused "
    "| INT8 products | problems |\n|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PRESET_GRAPHS), metavar="GRAPH")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    if options.out and (options.only or options.precisions != list(PRECISIONS)):
        parser.error("--out takes the whole table; leave --only and --precisions out")
    from edge.toolchain.compile_check.builder import capabilities, version

    devices = capabilities()
    rows = []
    names = options.only or PRESET_GRAPHS
    # Large graphs leave gigabytes behind: a new process for each.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name in names:
            for row in pool.apply(measure, (name, options.precisions)):
                print(json.dumps(row), flush=True)
                rows.append(row)
    if options.out:
        served = ", ".join(devices)
        title = f"TensorRT for RTX {version()}, one engine for compute capabilities {served}."
        table = "\n".join([title, "", HEAD, *map(as_row, rows)])
        replace_table(options.out, "compile-table", table)
    if any(row["problems"] for row in rows):
        raise SystemExit(1)


def measure(name: str, precisions: list[str]) -> list[dict]:
    import onnx

    from edge.toolchain.compile_check.builder import compile_graph
    from edge.toolchain.compile_check.preset_graphs import in_precision
    from edge.toolchain.compile_check.rules import examine

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "fp32.onnx"
        PRESET_GRAPHS[name].export(source)
        original = onnx.load(str(source))
        for precision in precisions:
            path, model = source, original
            sides = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim]
            row = {"graph": name, "input": f"{sides[2]}x{sides[1]}", "precision": precision}
            try:
                if precision != "fp32":
                    path, model = Path(folder) / "rewritten.onnx", in_precision(original, precision)
                    onnx.save(model, str(path))
                row["onnx_mb"] = path.stat().st_size / 1e6
                compiled = compile_graph(path)
            except EdgeError as error:
                rows.append({**row, "problems": [str(error)]})
                continue
            found = examine(model, compiled.layers)
            row |= {
                "engine_mb": compiled.size_bytes / 1e6,
                "build_s": compiled.seconds,
                "layers": found.layers,
                "attentions": f"{found.fused}/{found.attentions}",
                "int8": f"{found.as_int8}/{found.int8}",
                "problems": list(found.problems),
            }
            rows.append(row)
    return rows


def as_row(row: dict) -> str:
    if "engine_mb" not in row:
        return (
            f"| {row['graph']} | {row['input']} | {row['precision']} | - | - | - | - | - | - "
            f"| refused: {row['problems'][0]} |"
        )
    return (
        f"| {row['graph']} | {row['input']} | {row['precision']} | {row['onnx_mb']:.1f} "
        f"| {row['engine_mb']:.1f} | {row['build_s']:.1f} | {row['layers']} | {row['attentions']} "
        f"| {row['int8']} | {'; '.join(row['problems']) or 'none'} |"
    )


if __name__ == "__main__":
    main()
