"""The recipes of a station, and how one is loaded and verified."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.bundle.frame_limits_file import read_frame_limits
from edge.bundle.manifest import MANIFEST
from edge.bundle.signature import read_trust
from edge.bundle.store import Bundle, open_bundle, sha256
from edge.config.station import RecipeSettings, StationConfig
from edge.config.views import ViewBundle, ViewSettings
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
        bundle: the bundle with the thresholds of the recipe's product, or of the camera's view.
        whole: the same bundle with the thresholds for all products alike.
        engine: runs the anomaly graph.
        types_engine: runs the types graph; None if the bundle has none.
        inspector: inspects frames with these engines.
        model: describes the recipe in payloads.
        set_threshold: the threshold that a command has set; None for the bundle's own.
        views: what judges the views of further cameras, by name of the camera. Those of the same
            bundle share its engines.
    """

    name: str
    bundle: Bundle
    whole: Bundle
    engine: Engine
    types_engine: Engine | None
    inspector: Inspector
    model: ModelInfo
    set_threshold: float | None = None
    views: Mapping[str, LoadedRecipe] = field(default_factory=dict)

    def of(self, camera: str) -> LoadedRecipe:
        """Return what judges the frames of a camera."""
        return self.views.get(camera, self)

    def models(self, first: str) -> dict[str, ModelInfo]:
        """Return what describes the judge of each camera, by its name; `first` names the first."""
        return {first: self.model} | {name: view.model for name, view in self.views.items()}

    @property
    def each(self) -> tuple[LoadedRecipe, ...]:
        """What judges each of the cameras, the first one first."""
        return (self, *self.views.values())

    def close(self, kept: LoadedRecipe | None = None) -> None:
        """Free the engines, but not those that `kept` goes on with."""
        engines = self._engines if kept is None else self._engines - kept._engines  # noqa: SLF001
        for engine in engines:
            engine.close()

    @property
    def _engines(self) -> set[Engine]:
        engines = [engine for one in self.each for engine in (one.engine, one.types_engine)]
        return {engine for engine in engines if engine is not None}


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
        self.place_file = _place_file(config.place)
        self._places = {view.name: _place_file(view.place) for view in config.cameras[1:]}
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

    def place_of(self, camera: str) -> PlaceFile:
        """Return lens, rectification and scale of a camera's place, the same for all recipes."""
        return self._places.get(camera, self.place_file)

    def load(self, name: str, running: LoadedRecipe | None = None) -> LoadedRecipe:
        """Make a recipe ready; the engines of `running` are taken over for the same bundles.

        Raises:
            BundleError: a bundle cannot be used, or does not serve the product.
            EngineError: an engine does not load, or does not decide as the trained model.
        """
        loaded = [*running.each] if running is not None else []
        with ExitStack() as undo:
            first = self._config.camera.name
            recipe = self._load(name, self.all[name], first, loaded, undo)
            views: dict[str, LoadedRecipe] = {}
            for view in self._config.cameras[1:]:
                known = [*loaded, recipe, *views.values()]
                by, wanted = self._judged_by(view, name)
                views[view.name] = self._load(by, wanted, view.name, known, undo)
            undo.pop_all()
        return replace(recipe, views=views)

    def _judged_by(self, view: ViewSettings, recipe: str) -> tuple[str, RecipeSettings]:
        """Return the recipe of a further camera, by name and settings, while `recipe` is active."""
        own: ViewBundle | None = self.all[recipe].views.get(view.name)
        if own is None and view.bundle is not None:
            own = ViewBundle(bundle=view.bundle, product=view.product)
        if own is not None:
            return recipe, RecipeSettings(bundle=own.bundle, product=own.product)
        name = view.recipe or recipe
        return name, self.all[name]

    def _load(
        self,
        name: str,
        wanted: RecipeSettings,
        camera: str,
        loaded: Sequence[LoadedRecipe],
        undo: ExitStack,
    ) -> LoadedRecipe:
        """Load what judges one camera; what is `loaded` lends its engines to the same bundle."""
        began, place = time.perf_counter(), self.place_of(camera)
        whole = self._open(wanted, loaded)
        bundle = _for_view(self._for_product(name, whole, wanted), camera)
        lender = next((one for one in loaded if one.whole.id == whole.id), None)
        if lender is not None:
            engine, types_engine = lender.engine, lender.types_engine
        else:
            engine = undo.enter_context(load_engine(whole, self._config.engine))
            types_engine = undo.enter_context(load_types_engine(whole, self._config.engine))
            # The golden verdicts are those of the threshold for all products alike.
            Inspector(whole, engine, self._config.decision, types_engine).self_test()
        inspector = Inspector(bundle, engine, self._config.decision, types_engine, place.place)
        log.info(
            "recipe prepared recipe=%s product=%s view=%s bundle=%s version=%s id=%s signed_by=%s "
            "ms=%.0f",
            name, bundle.product, bundle.view, bundle.manifest.name, bundle.manifest.version,
            bundle.id[:12], bundle.signed_by, 1e3 * (time.perf_counter() - began),
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
        """Return a recipe that decides by another threshold, on the same engines.

        It holds for every view that is judged by the recipe's own bundle and product.
        """
        judges = (prepared.whole.id, prepared.bundle.product)
        views = {
            camera: self._at(view, value, self._places[camera])
            if (view.whole.id, view.bundle.product) == judges
            else view
            for camera, view in prepared.views.items()
        }
        return replace(self._at(prepared, value, self.place_file), views=views)

    def _at(self, one: LoadedRecipe, threshold: float, place: PlaceFile) -> LoadedRecipe:
        bundle, decision = one.bundle.with_threshold(threshold), self._config.decision
        inspector = Inspector(bundle, one.engine, decision, one.types_engine, place.place)
        return replace(one, bundle=bundle, inspector=inspector, set_threshold=threshold)

    def _open(self, wanted: RecipeSettings, loaded: Sequence[LoadedRecipe]) -> Bundle:
        """Open a bundle, unless it has been verified and is not exchanged on the disk since."""
        opened, self._opened = self._opened, None
        known = (one.whole for one in loaded if _is_at(one.whole, wanted.bundle))
        return opened or next(known, None) or open_bundle(wanted.bundle, self._trust)

    def _for_product(self, name: str, bundle: Bundle, wanted: RecipeSettings) -> Bundle:
        if wanted.product is not None:
            return bundle.for_product(wanted.product)
        is_open = self._config.recipes or wanted is not self.all[name]
        if is_open and bundle.thresholds.products:
            served = ", ".join(bundle.thresholds.products)
            raise BundleError(
                f"recipe {name}: bundle {bundle.folder} serves {served}; write which: "
                f"{name}: {{bundle: PATH, product: NAME}}"
            )
        return bundle


def _for_view(bundle: Bundle, camera: str) -> Bundle:
    """Take the threshold of a camera's view, where the bundle has one, else the common one."""
    views = bundle.thresholds.views
    if camera in views:
        return bundle.for_view(camera)
    if views:
        log.warning(
            "no threshold of its own camera=%s bundle=%s views=%s: judged by the common one, %.4f; "
            "name the camera as its view, or set thresholds anew with edge-calibrate threshold "
            "--views", camera, bundle.manifest.name, ",".join(views), bundle.thresholds.score.value,
        )  # fmt: skip
    return bundle


def _place_file(path: Path | None) -> PlaceFile:
    return PlaceFile() if path is None else read_place(path)


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
