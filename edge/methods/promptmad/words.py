"""Which defects the text of a mask refiner describes."""

from __future__ import annotations

from collections.abc import Sequence

from edge.errors import ConfigError
from edge.methods.promptmad.settings import MOST_DEFECT_TEXTS
from edge.networks.text.knowledge import Knowledge


def defect_names(product: str, wanted: Sequence[str], table: Knowledge) -> tuple[str, ...]:
    """The names wanted, else of those that the product may show by the table.

    Of more than MOST_DEFECT_TEXTS in the table, as for a product it does not know, the first ones.

    Raises:
        ConfigError: too many are wanted, or one twice.
    """
    if len(wanted) > MOST_DEFECT_TEXTS or len(set(wanted)) < len(wanted):
        raise ConfigError(
            f"--types: expected at most {MOST_DEFECT_TEXTS} different types, "
            f"got {', '.join(wanted)}"
        )
    listed = [kind.name for kind in table.product_types(product)]
    return tuple(wanted) or tuple(listed[:MOST_DEFECT_TEXTS])
