"""What `make release` does: wheel, images, chart and lists of what is in them, in a registry, by digest and signed.

Images are built by `k8s/images.sh`, the wheel by hatchling, lists by cyclonedx-py. Which tests a release has passed is
left to whoever calls it.
"""
