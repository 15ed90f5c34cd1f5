# One image per service: docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=auth --build-arg ADMIN_PORT=9001 .
# In production, pin the base image by digest: README.md.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/sh", "-eu", "-c"]
ARG SERVICE
ARG MEMBER=services/${SERVICE}
ARG ADMIN_PORT
RUN : "${SERVICE:?--build-arg SERVICE is required}" "${ADMIN_PORT:?--build-arg ADMIN_PORT is required}"
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /src
COPY requirements/uv.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip pip install --require-hashes --requirement requirements/uv.txt

# cli.txt: the operator commands, such as `parley auth` and `parley verify`, without the embedded servers and the model.
COPY requirements/${SERVICE}.txt requirements/cli.txt requirements/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /app && \
    uv pip install --python /app/bin/python --require-hashes \
        --requirement "requirements/${SERVICE}.txt" --requirement requirements/cli.txt

# The build backend is uv itself, so the sources install without network access, and do not change the layers above.
COPY libs/events libs/events
COPY libs/common libs/common
COPY cli cli
COPY ${MEMBER} ${MEMBER}
RUN uv pip install --python /app/bin/python --no-deps --no-sources --no-cache --offline \
        ./libs/events ./libs/common ./cli "./${MEMBER}" && \
    ln -s "parley-${SERVICE}" /app/bin/service
COPY deploy/docker/healthcheck.py /app/bin/healthcheck.py


FROM ${PYTHON_IMAGE}
ARG SERVICE
ARG ADMIN_PORT
ARG VERSION=0.1.0
ARG GIT_SHA=unknown
LABEL org.opencontainers.image.title="parley-${SERVICE}" \
      org.opencontainers.image.description="Parley, a self-hosted chat backend: ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_SHA}"
ENV PATH=/app/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    ADMIN_PORT=${ADMIN_PORT} \
    GIT_SHA=${GIT_SHA}
COPY --from=build /app /app
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "/app/bin/healthcheck.py"]
ENTRYPOINT ["/app/bin/service"]
