"""The browser's runtime, where this machine has it."""

from tests.support import programs

RUNTIME = programs.web_runtime("exports for browsers")
collect_ignore = [] if RUNTIME else ["test_browser.py"]
