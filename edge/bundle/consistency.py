"""What the documents of a bundle must agree on: thresholds with scores, graphs with the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from edge.bundle.conformal import is_bound_of_parts, rank, rank_of_parts
from edge.bundle.decision_scale import decision_scale
from edge.bundle.documents import GoodScores
from edge.bundle.joint_conformal import joint_ranks
from edge.bundle.manifest import Golden, GraphFile, Manifest, Recipe
from edge.bundle.thresholds import OwnThreshold, Threshold, Thresholds
from edge.bundle.values import MAX_SCORE, MAX_TOLERANCE

Scores = Sequence[float]
# The method whose scores count one by one; those of the others count by parts.
BY_SCORE = "split-conformal"


def check_thresholds(
    thresholds: Thresholds, scores: Mapping[str, GoodScores], types: Sequence[str]
) -> None:
    """Check that every threshold follows from the scores it rests on.

    Args:
        thresholds: of the bundle.
        scores: by the name of their file.
        types: defect types of the recipe.

    Raises:
        ValueError: naming the number that does not follow from the others.
    """
    each: dict[str, tuple[Threshold, str]] = {"score": (thresholds.score, thresholds.scores_file)}
    for name, own in thresholds.products.items():
        each[f"products.{name}.score"] = (own.score, own.scores_file)
    for name, of_type in thresholds.types.items():
        each[f"types.{name}.score"] = (of_type.score, of_type.scores_file)
    for where, (threshold, file) in each.items():
        with _named(f"{where}."):
            check_threshold(threshold, scores[file].scores, scores[file].parts)
    for name, of_type in thresholds.types.items():
        with _named(f"types.{name}"):
            _check_type(name, of_type.score, thresholds.score.value, types)
    if thresholds.views:
        with _named("views."):
            _check_views(thresholds.views, scores)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Put `where` in front of what a check says."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None


def _check_type(name: str, own: Threshold, common: float, types: Sequence[str]) -> None:
    """A type is one of the recipe's, and its threshold higher than that of all parts."""
    if own.method != "labelled-type":
        raise ValueError(f".score.method: expected labelled-type, found {own.method}")
    if name not in types:
        raise ValueError(f": expected one of the recipe's types ({', '.join(types) or 'none'})")
    if not common < own.value < MAX_SCORE:
        raise ValueError(
            f".score.value: expected more than the {common:g} of all parts, and less than "
            f"{MAX_SCORE:g}, found {own.value:g}"
        )


def _check_views(views: Mapping[str, OwnThreshold], scores: Mapping[str, GoodScores]) -> None:
    """The thresholds of all views follow from the same parts, together."""
    first = next(iter(views.values())).score
    ranks = joint_ranks(
        {name: scores[own.scores_file].parts for name, own in sorted(views.items())}, first.alpha
    )
    common = first.model_dump(exclude={"value", "rank"})
    for name, own in views.items():
        known = scores[own.scores_file]
        if own.score.method != "joint-views":
            raise ValueError(f"{name}.score.method: expected joint-views, found {own.score.method}")
        if own.score.model_dump(exclude={"value", "rank"}) != common:
            raise ValueError(f"{name}.score: expected rate, parts and bound as of the other views")
        with _named(f"{name}.score."):
            _check_counts(own.score, len(known.scores), len(known.parts))
            _check_value(own.score, known.scores, ranks[name])
            _check_bound(own.score)


def check_threshold(threshold: Threshold, scores: Scores, parts: Sequence[int] = ()) -> None:
    """Check that a threshold is the calibration score that its rate asks for.

    Raises:
        ValueError: naming the number that does not follow from the others.
    """
    if threshold.method == "joint-views":
        raise ValueError("method: joint-views is that of views")
    if bool(parts) == (threshold.method == BY_SCORE):
        raise ValueError(
            f"method: {threshold.method} does not go with scores "
            f"{'of numbered parts' if parts else 'without parts'}"
        )
    _check_counts(threshold, len(scores), len(set(parts)))
    expected = (
        rank_of_parts(parts, threshold.alpha) if parts else rank(threshold.n, threshold.alpha)
    )
    _check_value(threshold, scores, expected)
    _check_bound(threshold)


def _check_counts(threshold: Threshold, count: int, parts: int) -> None:
    """`parts` is 0 where every score counts on its own."""
    if threshold.n != count:
        raise ValueError(f"n: expected {count} as there are scores, found {threshold.n}")
    if threshold.groups > threshold.n:
        raise ValueError(f"groups: expected at most n = {threshold.n}, found {threshold.groups}")
    if parts and threshold.groups != parts:
        raise ValueError(f"groups: expected {parts} as there are parts, found {threshold.groups}")


def _check_value(threshold: Threshold, scores: Scores, expected: int) -> None:
    if threshold.rank != expected:
        raise ValueError(
            f"rank: expected {expected} for alpha {threshold.alpha:g}, found {threshold.rank}"
        )
    if threshold.value != scores[expected - 1]:
        raise ValueError(
            f"value: expected {scores[expected - 1]:g}, score number {expected}, found "
            f"{threshold.value:g}"
        )


def _check_bound(threshold: Threshold) -> None:
    if not is_bound_of_parts(threshold.groups, threshold.alpha, threshold.bound95):
        raise ValueError(
            f"bound95: {threshold.bound95:g} does not follow from alpha {threshold.alpha:g} and "
            f"{threshold.groups} groups"
        )


def check_golden(golden: Golden, threshold: Threshold) -> None:
    """Check verdicts and tolerances of the golden pictures against the threshold.

    Raises:
        ValueError: naming what does not follow from the threshold.
    """
    scale = decision_scale(threshold.value, (image.score for image in golden.images))
    for name, value in (("score", golden.score_tolerance), ("map", golden.map_tolerance)):
        if value > MAX_TOLERANCE * scale:
            raise ValueError(
                f"{name}_tolerance: expected at most {MAX_TOLERANCE * scale:g}, "
                f"{MAX_TOLERANCE:.0%} of {scale:g}, found {value:g}"
            )
    for image in golden.images:
        verdict = "fail" if image.score > threshold.value else "pass"
        if image.verdict != verdict:
            raise ValueError(
                f"{image.file}: expected {verdict} for score {image.score:g} and threshold "
                f"{threshold.value:g}, found {image.verdict}"
            )


def check_graphs(manifest: Manifest, recipe: Recipe) -> None:
    """Check that every graph takes what the recipe makes of a frame and gives what is read of it.

    The rows of type logits are normal and then the recipe's types, in order.

    Raises:
        ValueError: naming the graph and the tensor.
    """
    for graph in manifest.graphs:
        size_wh = recipe.size_wh if graph.role == "detect" else recipe.types_size_wh
        _check_input(graph, size_wh)
        outputs = {spec.name: spec.shape for spec in graph.outputs}
        if graph.role == "detect":
            _check_outputs(graph, outputs, {"map": 3, "score": 1})
        else:
            _check_outputs(graph, outputs, {"type_logits": 4})
        if "type_logits" in outputs:
            _check_outputs(graph, outputs, {"type_logits": 4})
            _check_types(graph, outputs["type_logits"], recipe)
    if recipe.types_size_wh is not None and all(g.role == "detect" for g in manifest.graphs):
        raise ValueError("recipe.yaml: types_size_wh: there is no graph of role types")


def _check_input(graph: GraphFile, size_wh: tuple[int, int] | None) -> None:
    spec = graph.inputs[0]
    if len(graph.inputs) != 1 or spec.dtype != "uint8" or len(spec.shape) != 4:
        raise ValueError(f"{graph.file}: expected one input (1, H, W, 3) uint8")
    _, height, width, channels = spec.shape
    if channels != 3 or spec.shape[0] != 1:
        raise ValueError(f"{graph.file}: expected one input (1, H, W, 3) uint8, got {spec.shape}")
    if size_wh != (width, height):
        key = "size_wh" if graph.role == "detect" else "types_size_wh"
        raise ValueError(
            f"recipe.yaml: {key}: expected {(width, height)} as {graph.file} takes it, found "
            f"{size_wh}"
        )


def _check_outputs(
    graph: GraphFile, outputs: Mapping[str, tuple[int, ...]], ranks: Mapping[str, int]
) -> None:
    for name, dimensions in ranks.items():
        shape = outputs.get(name)
        if shape is None:
            raise ValueError(f"{graph.file}: expected an output {name}, found {', '.join(outputs)}")
        if len(shape) != dimensions or shape[0] != 1:
            raise ValueError(
                f"{graph.file}: expected {name} with {dimensions} dimensions, the first 1, got "
                f"{shape}"
            )
    if any(spec.dtype != "float32" for spec in graph.outputs):
        raise ValueError(f"{graph.file}: expected outputs of float32")


def _check_types(graph: GraphFile, shape: tuple[int, ...], recipe: Recipe) -> None:
    named = len(recipe.defect_types)
    if shape[1] != 1 + named:
        raise ValueError(
            f"recipe.yaml names {named} defect types, {graph.file} tells {shape[1] - 1} apart"
        )
