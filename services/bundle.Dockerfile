# A bundle as an image, for clusters that get their models from a registry. The bundle is the build's whole context:
#
#     docker build -f services/bundle.Dockerfile -t registry.example/models/breast-cancer:1 bundles/breast-cancer
#
# The chart's init container copies /bundle out of it; the digest of the bundle is checked where it is opened.

# By digest, where one is known: --build-arg BASE_IMAGE=debian:bookworm-slim@sha256:DIGEST.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
COPY --chmod=a+rX . /bundle/
USER 10001:10001
CMD ["ls", "-l", "/bundle"]
