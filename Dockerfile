# A station on an x86-64 or arm64 CPU. How to run it read-only and without rights: docs/containers.md
#
#   docker build -t edge-inspection:cpu .
#   docker build -t edge-inspection:openvino --build-arg EXTRAS=cpu,openvino .
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRAS=cpu
WORKDIR /src
COPY setup.py pyproject.toml README.md ./
COPY edge edge
COPY build/targets build/targets
RUN python -m venv /opt/edge \
    && /opt/edge/bin/pip install --no-cache-dir ".[${EXTRAS}]"

FROM python:${PYTHON}-slim-bookworm
COPY --from=build /opt/edge /opt/edge
# Cameras are files of group video.
RUN useradd --uid 10001 --groups video --no-create-home --shell /usr/sbin/nologin edge \
    && install -d -o edge -g edge /state /engines
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
