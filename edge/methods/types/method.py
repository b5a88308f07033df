"""Types for a finished INP-Former run as one of the methods: its networks are INP-Former's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.methods.inp_former.method import InpFormerMethod
from edge.methods.run_record import RunRecord
from edge.methods.types.fit import fit_types
from edge.training.progress import Progress


class TypesMethod(InpFormerMethod):
    """Adds a branch that names defects to a finished run."""

    name = "types"

    def fit(self, request: Any, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        return fit_types(request, folder, progress)


METHOD = TypesMethod()
