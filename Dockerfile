# Two stages: the first builds the wheels, the second holds what runs, as a user without rights.
#   docker build -t penstock .
#   docker run -e PENSTOCK_SOURCE_URI=... -e PENSTOCK_SINK_URL=... -e PENSTOCK_COLLECTIONS=shop.orders penstock
FROM python:3.12.12-slim-bookworm AS build
WORKDIR /build
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY src ./src
# Everything is installed by its hash: what builds the wheel by requirements.lock, what runs by image.lock.
RUN awk '/^[^ ]/ { keep = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/ } keep' requirements.lock > build.lock \
    && pip install --no-cache-dir --require-hashes --no-deps --requirement build.lock \
    && pip wheel --no-cache-dir --require-hashes --no-deps --wheel-dir /wheels \
        --requirement src/penstock_tools/bundle/image.lock \
    && pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.12.12-slim-bookworm
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --no-deps --no-compile /wheels/*.whl \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin penstock \
    && mkdir /etc/penstock
# penstock.toml, mapping files and modules of transform functions are mounted here; it is the current folder.
WORKDIR /etc/penstock
ENV PYTHONUNBUFFERED=1 PENSTOCK_OBSERVE_LISTEN=:9400 PENSTOCK_OBSERVE_LOG_FORMAT=json
EXPOSE 9400
USER 10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["run"]
