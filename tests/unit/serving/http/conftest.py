"""The browser's runtime, where this machine has it."""

from tests.support import programs

RUNTIME = programs.web_runtime("what the server's page may load")
collect_ignore = [] if RUNTIME else ["test_page_runtime.py"]
