"""The active recipe, and its exchange for another one between two frames."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from edge.errors import EdgeError, PublishError
from edge.geometry.place import PlaceFile
from edge.station.recipes.recipes import LoadedRecipe, Recipes
from edge.station.recipes.selected_recipe import SelectedRecipe

log = logging.getLogger(__name__)
POLL_S = 0.1
# Gets None when the exchange is made, or why it was not: the recipe before goes on.
Done = Callable[[str | None], None]


class _Offer:
    """A recipe that the inspector takes over from a moment on; None leaves it without one."""

    def __init__(self, prepared: LoadedRecipe | None):
        self.prepared = prepared
        self.offered_ns = time.monotonic_ns()
        self.taken = threading.Event()


class Changeover:
    """Loads recipes beside the active one, in a thread of its own, one at a time.

    `recipe_for` belongs to the inspector's thread; all else may be called from any thread.

    Args:
        recipes: the recipes of the station.
        selected: keeps the selected recipe for a restart.
        on_change: called when a preparation begins and when it is over.

    Raises:
        EdgeError: the first recipe cannot be used.
    """

    def __init__(self, recipes: Recipes, selected: SelectedRecipe, on_change: Callable[[], None]):
        self._recipes = recipes
        self._selected = selected
        self._on_change = on_change
        self._lock = threading.Lock()
        self._offer: _Offer | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_busy = False
        self.preparing: str | None = None
        self.current: LoadedRecipe | None = recipes.load(selected.read())

    @property
    def is_stopping(self) -> bool:
        """The station is ending: nothing is prepared any more."""
        return self._stop.is_set()

    @property
    def names(self) -> tuple[str, ...]:
        """Recipes that can be prepared."""
        return tuple(self._recipes.all)

    def place_of(self, camera: str) -> PlaceFile:
        """Return lens, rectification and scale of a camera's place, the same for all recipes."""
        return self._recipes.place_of(camera)

    def recipe_for(self, captured_ns: int | None) -> LoadedRecipe | None:
        """Return the recipe that inspects the next frame; None while no recipe is prepared.

        Args:
            captured_ns: capture time of that frame (monotonic clock); None when none waits. Frames
                captured before a recipe was ready show the product of the one before, which
                therefore still inspects them.
        """
        with self._lock:
            offer = self._offer
            if offer is not None and (captured_ns is None or captured_ns >= offer.offered_ns):
                self._offer, self.current = None, offer.prepared
                offer.taken.set()
            return self.current

    def prepare(self, name: str, by: str, done: Done) -> bool:
        """Begin to load a recipe and to exchange the active one for it; False while busy."""
        return self._begin(name, lambda: self._prepare(name, by), done)

    def set_threshold(self, value: float, done: Done) -> bool:
        """Begin to decide by another threshold until a recipe is prepared; False while busy."""
        return self._begin(None, lambda: self._set_threshold(value), done)

    def unprepare(self, done: Done) -> bool:
        """Begin to unload the active recipe; False while busy."""
        return self._begin(None, lambda: self._exchange(None), done)

    def stop(self, timeout_s: float) -> bool:
        """Give up what is under way; False when its thread is stuck in the engine."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def close(self) -> None:
        """Free the engines; after `stop`, and when no frame is inspected any more."""
        if self.current is not None:
            self.current.close()

    def _begin(self, name: str | None, job: Callable[[], None], done: Done) -> bool:
        with self._lock:
            if self._stop.is_set() or self._is_busy:
                return False
            self._is_busy = True
            self._thread = threading.Thread(
                target=self._run, args=(job, done), name="changeover", daemon=True
            )
            self.preparing = name
        self._on_change()
        self._thread.start()
        return True

    def _run(self, job: Callable[[], None], done: Done) -> None:
        problem: str | None = None
        try:
            job()
        except EdgeError as error:
            problem = "; ".join(str(error).splitlines())
        except Exception as error:
            # Whatever a new recipe holds, it must not end the station that runs with the old one.
            log.exception("changeover failed")
            problem = f"unforeseen {type(error).__name__}, see the station's log: {error!r}"
        with self._lock:
            self._is_busy, self.preparing = False, None
        self._on_change()
        done(problem)

    def _prepare(self, name: str, by: str) -> None:
        prepared = self._recipes.load(name, self.current)
        before = self._selected.save(name, by)
        try:
            self._exchange(prepared)
        except BaseException:
            with suppress(PublishError):
                self._selected.restore(before)
            prepared.close(kept=self.current)
            raise

    def _set_threshold(self, value: float) -> None:
        if self.current is None:
            raise EdgeError("no recipe is prepared")
        self._exchange(self._recipes.with_threshold(self.current, value))

    def _exchange(self, prepared: LoadedRecipe | None) -> None:
        """Wait until the inspector has taken `prepared` over, then free the recipe before."""
        old, offer = self.current, _Offer(prepared)
        with self._lock:
            self._offer = offer
        while not offer.taken.wait(POLL_S):
            with self._lock:
                if self._stop.is_set() and self._offer is offer:
                    self._offer = None
                    raise EdgeError("the station is stopping")
        name = prepared.name if prepared else None
        log.info("recipe active recipe=%s before=%s", name, old.name if old else None)
        if old is not None:
            old.close(kept=prepared)
