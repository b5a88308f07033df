# A station on an x86-64 or arm64 CPU. How to run it read-only and without rights: docs/containers.md
#
#   docker build -t edge-inspection:cpu .
#   docker build -t edge-inspection:openvino --build-arg REQUIREMENTS=openvino .
#
# For a release, pin the base image by its digest (docs/containers.md):
#   --build-arg BASE=debian@sha256:...
# The system's Python, because its bindings of Aravis and GStreamer (cameras) are made for that.
ARG BASE=debian:bookworm-slim

# hadolint ignore=DL3006
FROM ${BASE} AS platform
# Versions are those of the release, which has one of each.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-gi python3-venv \
        gir1.2-aravis-0.8 gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
    && rm -rf /var/lib/apt/lists/*

FROM platform AS build
# A lock file of requirements/: runtime or openvino.
ARG REQUIREMENTS=runtime
WORKDIR /src
COPY requirements requirements
# Every package has the hash that the lock file names; nothing is built from source.
RUN python3 -m venv --system-site-packages /opt/edge \
    && /opt/edge/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r "requirements/${REQUIREMENTS}.txt" \
    && python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r requirements/build.txt
COPY setup.py pyproject.toml README.md ./
COPY edge edge
COPY build/targets build/targets
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --no-index -w /wheels . \
    && /opt/edge/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
    && /opt/edge/bin/pip check

FROM platform
COPY --from=build /opt/edge /opt/edge
# Cameras are files of group video.
RUN useradd --uid 10001 --groups video --no-create-home --shell /usr/sbin/nologin edge \
    && install -d -m 0700 -o edge -g edge /state /engines
ENV PATH=/opt/edge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    EDGE_STATE_DIR=/state \
    EDGE_ENGINE_DIR=/engines \
    EDGE_RUN_DIR=/run/edge-infer
VOLUME ["/state", "/engines"]
USER 10001
# The line touches a file while it turns, also while no part comes.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find /run/edge-infer -name '*.pulse' -mmin -0.5)\""]
ENTRYPOINT ["edge-infer"]
CMD ["/config/station.yaml"]
