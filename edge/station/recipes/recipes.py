"""The recipes of a station, and how one is loaded and verified."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edge.bundle.frame_limits_file import read_frame_limits
from edge.bundle.manifest import MANIFEST
from edge.bundle.signature import read_trust
from edge.bundle.store import Bundle, open_bundle, sha256
from edge.config.station import RecipeSettings, StationConfig
from edge.engines.load import engine_key, load_engine, load_types_engine
from edge.engines.protocol import Engine
from edge.errors import BundleError
from edge.geometry.place import PlaceFile, read_place
from edge.inspection.inspector import Inspector
from edge.messages.identity import ModelInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedRecipe:
    """A recipe whose engine is loaded and has reproduced the verdict of a golden picture.

    Attributes:
        name: of the recipe.
        bundle: the bundle with the thresholds of the recipe's product.
        whole: the same bundle with the thresholds for all products alike.
        engine: runs the anomaly graph.
        types_engine: runs the types graph; None if the bundle has none.
        inspector: inspects frames with these engines.
        model: describes the recipe in payloads.
        set_threshold: the threshold that a command has set; None for the bundle's own.
    """

    name: str
    bundle: Bundle
    whole: Bundle
    engine: Engine
    types_engine: Engine | None
    inspector: Inspector
    model: ModelInfo
    set_threshold: float | None = None

    def close(self) -> None:
        """Free the engines."""
        self.engine.close()
        if self.types_engine is not None:
            self.types_engine.close()


class Recipes:
    """The recipes that a station file names, loaded on demand.

    With `bundle` instead of `recipes` there is one recipe, named as the bundle's product, and one
    more for each product by name that the bundle serves.

    Args:
        config: the station.

    Raises:
        BundleError: `bundle` cannot be used, or does not serve `product`.
        ConfigError: a public key of `trust` or the place file cannot be read.
    """

    def __init__(self, config: StationConfig):
        self._config = config
        self._trust = read_trust(config.trust)
        self.place_file = PlaceFile() if config.place is None else read_place(config.place)
        self.all: Mapping[str, RecipeSettings] = config.recipes
        self.first = config.recipe or ""
        self._opened: Bundle | None = None
        if config.bundle is not None:
            bundle = self._opened = open_bundle(config.bundle, self._trust)
            if config.product is not None:
                bundle.for_product(config.product)
            own = RecipeSettings(bundle=config.bundle)
            self.all = {bundle.recipe.product: own} | {
                name: RecipeSettings(bundle=config.bundle, product=name)
                for name in bundle.thresholds.products
            }
            self.first = config.product or bundle.recipe.product

    def load(self, name: str, running: LoadedRecipe | None = None) -> LoadedRecipe:
        """Make a recipe ready; the engines of `running` are taken over if its bundle is the same.

        Raises:
            BundleError: the bundle cannot be used, or does not serve the product.
            EngineError: the engine does not load, or does not decide as the trained model.
        """
        began = time.perf_counter()
        wanted = self.all[name]
        whole = self._open(wanted, running)
        bundle = self._for_product(name, whole, wanted)
        with ExitStack() as undo:
            if running is not None and running.whole.id == whole.id:
                engine, types_engine = running.engine, running.types_engine
            else:
                engine = undo.enter_context(load_engine(whole, self._config.engine))
                types_engine = undo.enter_context(load_types_engine(whole, self._config.engine))
                # The golden verdicts are those of the threshold for all products alike.
                Inspector(whole, engine, self._config.decision, types_engine).self_test()
            inspector = self._inspector(bundle, engine, types_engine)
            undo.pop_all()
        log.info(
            "recipe prepared recipe=%s product=%s bundle=%s version=%s id=%s signed_by=%s ms=%.0f",
            name, bundle.product, bundle.manifest.name, bundle.manifest.version, bundle.id[:12],
            bundle.signed_by, 1e3 * (time.perf_counter() - began),
        )  # fmt: skip
        if bundle.recipe.frames is None and read_frame_limits(bundle) is None:
            log.warning(
                "bundle from before limits of frames bundle=%s: a damaged frame or one of another "
                "size may pass; train and pack it again with this version",
                bundle.manifest.name,
            )
        model = model_info(name, bundle, engine)
        return LoadedRecipe(name, bundle, whole, engine, types_engine, inspector, model)

    def with_threshold(self, prepared: LoadedRecipe, value: float) -> LoadedRecipe:
        """Return a recipe that decides by another threshold, on the same engines."""
        bundle = prepared.bundle.with_threshold(value)
        inspector = self._inspector(bundle, prepared.engine, prepared.types_engine)
        return replace(prepared, bundle=bundle, inspector=inspector, set_threshold=value)

    def _inspector(self, bundle: Bundle, engine: Engine, types_engine: Engine | None) -> Inspector:
        place = self.place_file.place
        return Inspector(bundle, engine, self._config.decision, types_engine, place)

    def _open(self, wanted: RecipeSettings, running: LoadedRecipe | None) -> Bundle:
        """Open a bundle, unless it has been verified and is not exchanged on the disk since."""
        opened, self._opened = self._opened, None
        if opened is None and running is not None and _is_at(running.whole, wanted.bundle):
            opened = running.whole
        return opened or open_bundle(wanted.bundle, self._trust)

    def _for_product(self, name: str, bundle: Bundle, wanted: RecipeSettings) -> Bundle:
        if wanted.product is not None:
            return bundle.for_product(wanted.product)
        if self._config.recipes and bundle.thresholds.products:
            served = ", ".join(bundle.thresholds.products)
            raise BundleError(
                f"recipe {name}: bundle {bundle.folder} serves {served}; write which: "
                f"{name}: {{bundle: PATH, product: NAME}}"
            )
        return bundle


def _is_at(bundle: Bundle, folder: Path) -> bool:
    try:
        return bundle.folder == folder.resolve() and sha256(folder / MANIFEST) == bundle.id
    except OSError:
        return False


def model_info(name: str, bundle: Bundle, engine: Engine) -> ModelInfo:
    """Describe recipe, bundle and engine for payloads."""
    manifest, info = bundle.manifest, engine.info
    passed = info.is_verified or any(
        record.passed and record.backend == info.backend and record.backend_version == info.version
        for record in manifest.parity
    )
    return ModelInfo(
        name=manifest.name,
        version=manifest.version,
        bundle_sha256=bundle.id,
        recipe_id=name,
        recipe_version=manifest.version,
        recipe_sha256=manifest.files["recipe.yaml"],
        backend=info.backend,
        precision=info.precision,
        engine_version=info.version,
        engine_key=engine_key(bundle, info),
        # Another release of the same runtime has not been compared; the self-test has run, though.
        parity="passed" if passed else "skipped",
        product_id=bundle.product or bundle.recipe.product,
        signed_by=bundle.signed_by,
    )
