# The operator's image, in three stages:
#   wheel   builds this project's wheel; the build tools come from requirements/dev.lock, checked by hash
#   venv    installs the locked runtime packages, checked by hash, and the wheel, into /venv
#   (last)  the plain base with /venv in the same place; no pip in the venv, no sources, no root
# Build:  docker build -t inferplan/operator:dev .        or: buildah bud --isolation chroot -t inferplan/operator:dev .
# The base is an argument, for mirrors and for places without a registry: --build-arg BASE=…  It needs Python 3.11 to
# 3.13 as `python`, and all stages share it, because a virtual environment is bound to its interpreter.
ARG BASE=python:3.13-slim

FROM ${BASE} AS wheel
WORKDIR /src
COPY requirements/dev.lock requirements/dev.lock
# The lock's entries of the build backend and of what it needs, each up to the line without a backslash.
RUN awk '/^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/,!/\\$/' requirements/dev.lock >build.lock \
    && python -m venv /build \
    && /build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist .

FROM ${BASE} AS venv
COPY requirements/runtime.lock /requirements/runtime.lock
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: \
        --requirement /requirements/runtime.lock
COPY --from=wheel /dist /dist
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /dist/*.whl \
    && /venv/bin/python -m compileall -q /venv/lib \
    && /venv/bin/pip uninstall --yes --quiet pip

FROM ${BASE}
LABEL org.opencontainers.image.title="inferplan/operator" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=venv /venv /venv
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8002
ENTRYPOINT ["python", "-m", "inferplan"]
CMD ["operator"]
