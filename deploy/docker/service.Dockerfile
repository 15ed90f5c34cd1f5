# One image per service: docker build -f deploy/docker/service.Dockerfile --build-arg SERVICE=auth --build-arg ADMIN_PORT=9001 .
# All services: docker buildx bake -f deploy/docker/bake.hcl. In production, pin the base image by digest: README.md.
ARG PYTHON_IMAGE=python:3.14.10-slim-trixie

# The packages of all services and of the `parley` command: one layer that all images share.
FROM ${PYTHON_IMAGE} AS packages
SHELL ["/bin/sh", "-eu", "-c"]
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy PIP_DISABLE_PIP_VERSION_CHECK=1
# `strip` removes the debug symbols of compiled packages, a quarter of the size. It is not part of the image.
# hadolint ignore=DL3008
RUN apt-get update -q && \
    apt-get install -qy --no-install-recommends binutils && \
    rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements/uv.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip pip install --require-hashes --requirement requirements/uv.txt

# Bytecode is identified by the hash of its source and every file has the same time, so that equal packages make an equal layer.
# A .pth file adds /app/parley, where the next layer puts the sources of Parley.
COPY requirements/images.txt requirements/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /app && \
    uv pip install --python /app/bin/python --require-hashes --requirement requirements/images.txt && \
    find /app/lib -name '*.so' -exec strip --strip-unneeded {} + && \
    echo /app/parley >"$(/app/bin/python -c 'import site; print(site.getsitepackages()[0])')/parley.pth" && \
    /app/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/lib && \
    rm -f /app/.lock /app/bin/activate* /app/bin/*.bat && \
    find /app -exec touch --no-dereference --date=@0 {} +


# Software bill of materials and the licences of third parties, from the packages that are installed.
FROM packages AS inventory
COPY requirements/sbom.txt requirements/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /sbom && uv pip install --python /sbom/bin/python --require-hashes --requirement requirements/sbom.txt
COPY deploy/docker/notices.py ./
RUN mkdir -p /out/share && \
    /sbom/bin/cyclonedx-py environment --output-reproducible --gather-license-texts --output-format JSON \
        --output-file /out/share/sbom.cdx.json /app/bin/python && \
    /app/bin/python notices.py >/out/share/THIRD_PARTY_NOTICES.txt && \
    find /out -exec touch --no-dereference --date=@0 {} +


# What the services share. A change of a service alone leaves this layer as it is. The build backend is uv itself, so the sources
# install without network access.
FROM packages AS libraries
COPY libs/events libs/events
COPY libs/common libs/common
COPY cli cli
COPY deploy/docker/healthcheck.py /out/bin/
COPY --chmod=0755 deploy/docker/install-sources /usr/local/bin/
RUN install-sources ./libs/events ./libs/common ./cli


FROM packages AS service
ARG SERVICE
ARG MEMBER=services/${SERVICE}
ARG ADMIN_PORT
RUN : "${SERVICE:?--build-arg SERVICE is required}" "${ADMIN_PORT:?--build-arg ADMIN_PORT is required}"
COPY --chmod=0755 deploy/docker/install-sources /usr/local/bin/
COPY ${MEMBER} ${MEMBER}
RUN mkdir -p /out/bin && ln -s "parley-${SERVICE}" /out/bin/service && install-sources "./${MEMBER}"


FROM ${PYTHON_IMAGE}
COPY --from=packages /app /app
COPY --from=inventory /out /app
COPY --from=libraries /out /app
COPY --from=service /out /app
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "/app/bin/healthcheck.py"]
ENTRYPOINT ["/app/bin/service"]
ARG SERVICE
ARG ADMIN_PORT
ARG VERSION=0.1.0
ARG GIT_SHA=unknown
ARG PYTHON_IMAGE
ENV PATH=/app/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    ADMIN_PORT=${ADMIN_PORT} \
    GIT_SHA=${GIT_SHA}
LABEL org.opencontainers.image.title="parley-${SERVICE}" \
      org.opencontainers.image.description="Parley, a self-hosted chat backend: ${SERVICE}" \
      org.opencontainers.image.vendor="Parley" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${GIT_SHA}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
