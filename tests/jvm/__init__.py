"""Bundles on a JVM, by the jar of services/jvm."""
