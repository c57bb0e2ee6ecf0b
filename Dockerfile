# Askpix as a service. Build: docker build -t askpix .   Run: see docker-compose.yml and docs/guides/docker.md.
# syntax=docker/dockerfile:1
FROM python:3.11.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/askpix
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY askpix askpix
COPY core core
COPY retrieval retrieval
COPY ingest ingest
COPY generation generation
COPY evaluation evaluation
COPY api api
# Which extras go in: docker build --build-arg EXTRAS=hosted,qdrant,faiss .
ARG EXTRAS=hosted,qdrant,postgres
RUN /opt/askpix/bin/pip install ".[${EXTRAS}]"

FROM python:3.11.11-slim-bookworm
# Any user may run it (`--user`): a volume begins with the rights of the folder below it. The number lets
# Kubernetes see that the usual one is not root.
RUN useradd --uid 10001 askpix && install -d -m 1777 /data /models
COPY --from=build /opt/askpix /opt/askpix
ENV PATH=/opt/askpix/bin:$PATH ASKPIX_HOME=/data HF_HOME=/models HOME=/tmp PYTHONUNBUFFERED=1
USER 10001
VOLUME ["/data", "/models"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["askpix"]
# Outside of this machine it answers to keys only: make one first (docs/guides/docker.md).
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
