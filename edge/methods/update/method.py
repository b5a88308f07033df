"""Updates by reviews as one of the methods: their networks are INP-Former's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.methods.inp_former.method import InpFormerMethod
from edge.methods.run_record import RunRecord
from edge.methods.update.fit import fit_update
from edge.training.progress import Progress


class UpdateMethod(InpFormerMethod):
    """Lets a finished run learn what people said of its verdicts."""

    name = "update"

    def fit(self, request: Any, folder: Path, progress: Progress) -> RunRecord:
        """See Method."""
        return fit_update(request, folder, progress)


METHOD = UpdateMethod()
