"""What the tests of the load harness share: k6 where there is one."""

from loadtest.load import k6
from tests.support import programs

collect_ignore_glob = []

try:
    k6.find()
except k6.K6Missing:
    if programs.needed("k6", "the load harness against a frozen server") is None:
        collect_ignore_glob.append("test_selftest.py")
