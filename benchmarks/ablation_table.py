"""The tables of benchmarks.ablation, of the rows that it has measured."""

from __future__ import annotations

import itertools

import numpy as np

KINDS = ("regions_right", "regions_wrong")
TITLES = {
    "base": "INP-Former with `--method types`",
    "negation": "+ N-pair loss (`--negation`)",
    "refiner": "+ refined mask (`--refine`), without types",
    "multiads": "MultiADS",
    "dapo": "+ DAPO context (`--method dapo`)",
    "mavis-image": "+ N-pair loss at image level (`--method mavis --n-pair image`)",
    "mavis": "+ N-pair loss at patch level (`--method mavis`)",
    "mavis-both": "+ N-pair loss at both levels",
}
ADDED_BY = {"add-type": "`--method types`", "add-type-dapo": "`--method dapo`"}
COLUMNS = {
    "type_accuracy": "types right", "type_ap": "type AP", "nearest_error": "nearest text wrong",
    "picture_error": "of pictures",
    "negation_error": "negation error",
    "false_rejects_95": "false rejects at 95 % recall",
    "false_rejects_95_veto": "the same with veto", "pixel_ap": "pixel AP",
    "image_auroc": "image AUROC",
}  # fmt: skip
NOTES = """\
On the test pictures of the sets, labelled ones left out; percent, mean and deviation over seeds.
*Types right*: of detected defects. *Type AP*: mean over types, each against all other parts.
*Nearest text wrong*: good places nearest to the text of a defect; for the type branch regions of
parts left out in training, for MultiADS the cells of test/good, *of pictures* their image vectors,
where there are any; the texts are single sentences, for DAPO the rows that its prompts make.
*Negation error*: judged at the median score of held-out good parts, about half of test/good shows a
region; the share of these regions that the types call a defect rather than normal. *False rejects
at 95 % recall*: of test/good, at the highest threshold that stops 95 % of the defects; *with veto*:
the same where a part passes if its types call every region normal with more than 0.95; none where
no threshold stops as many. Types are learned from 10 pictures each. DAPO's context and the N-pair
loss stand in the place of MultiADS's plain loss and sentences, each alone unless both are named."""

REGION_NOTE = """\
Region stage behind MAVIS, on the selector's boxes: types right of defects with a box, boxes on
test/good called a defect, and the share of defects that a box touches."""


def with_nearest(rows: list[dict]) -> list[dict]:
    """Add the share of good places whose nearest text is of a defect, from where it stands."""
    at = {(row["set"], row["seed"], row["stage"]): row for row in rows}

    def nearest(row: dict) -> float | None:
        stage, key = {
            "base": ("negation", "error_before"), "negation": ("negation", "error_after"),
            "multiads": ("cells", "multiads"), "mavis": ("cells", "mavis"),
        }.get(row["stage"], ("", ""))  # fmt: skip
        return at.get((row["set"], row["seed"], stage), {}).get(key)

    return [{"nearest_error": nearest(row)} | row for row in rows]


def render(rows: list[dict], sets: list[str]) -> str:
    rows = with_nearest(rows)
    lines = [NOTES, "", "| set | stage | seeds | " + " | ".join(COLUMNS.values()) + " |"]
    lines.append("|---" * (len(COLUMNS) + 3) + "|")
    for name in sets:
        for stage, title in TITLES.items():
            chosen = [row for row in rows if (row["set"], row["stage"]) == (name, stage)]
            if chosen:
                cells = " | ".join(cell(chosen, column) for column in COLUMNS)
                lines.append(f"| {name} | {title} | {len(chosen)} | {cells} |")
    lines.append("")
    lines += map(refiner_note, [row for row in rows if row["stage"] == "refiner"])
    return "\n".join([*lines, *region_table(rows), *added_table(rows)]).rstrip() + "\n"


def region_table(rows: list[dict]) -> list[str]:
    rows = [row for row in rows if row["stage"] == "regions"]
    if not rows:
        return []
    lines = [
        "",
        REGION_NOTE,
        "",
        "| set | seeds | types right without | with | called a defect without | with | touched |",
        "|---" * 7 + "|",
    ]
    for name in dict.fromkeys(row["set"] for row in rows):
        chosen = [row for row in rows if row["set"] == name]
        flat = [
            {f"{kind} {way}": row[kind][way] for kind in KINDS for way in ("without", "with")}
            | {"touched": row["roi_recall"]}
            for row in chosen
        ]
        cells = " | ".join(cell(flat, column) for column in flat[0])
        lines.append(f"| {name} | {len(chosen)} | {cells} |")
    return lines


def added_table(rows: list[dict]) -> list[str]:
    rows = [row for row in rows if row["stage"] in ADDED_BY]
    if not rows:
        return []
    lines = [
        "",
        "| set | type added by its word | method | seeds | detected | named right | share |",
    ]
    lines.append("|---" * 7 + "|")
    kinds = dict.fromkeys((row["set"], row["added"]) for row in rows)
    for (name, kind), stage in itertools.product(kinds, ADDED_BY):
        key = (name, kind, stage)
        chosen = [row for row in rows if (row["set"], row["added"], row["stage"]) == key]
        if not chosen:
            continue
        detected, right = (sum(row[figure] for row in chosen) for figure in ("detected", "right"))
        share = f"{100 * right / detected:.0f} %" if detected else "-"
        lines.append(
            f"| {name} | {kind.replace('_', ' ')} | {ADDED_BY[stage]} | {len(chosen)} | {detected} "
            f"| {right} | {share} |"
        )
    return lines


def cell(rows: list[dict], column: str) -> str:
    values = [100 * row[column] for row in rows if row.get(column) is not None]
    if not values:
        return "-"
    if len(values) < len(rows):
        return f"{np.mean(values):.1f} ({len(values)} of {len(rows)} seeds)"
    return f"{np.mean(values):.1f}" + (f" ± {np.std(values):.1f}" if len(values) > 1 else "")


def refiner_note(row: dict) -> str:
    trial = row["refiner"]
    outcome = "kept" if trial["is_kept"] else "left out"
    return (
        f"- {row['set']}, seed {row['seed']}, refiner: {outcome}, pixel AP on synthetic defects "
        f"{trial['without']:.3f} -> {trial['with_mask']:.3f}"
    )
