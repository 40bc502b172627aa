"""Base and head side by side: what git knows of them, and both packages in one temporary directory.

Head is a copy of the working tree, so that edits during a run change nothing; base is a worktree of git's. Both lie at
paths of the same length and run with the same environment. Running them is left to `counting` and `servers`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "services"
"""The directory that PYTHONPATH names."""

SCRIPT = Path("loadtest/hotpath.py")
LOCK = "requirements/run.txt"

ACCEPT_TRAILER = "Gate"
ACCEPT_VARIABLE = "GATE_ACCEPT"


@dataclass(frozen=True)
class Tree:
    """One of the two: its package's directory, and the hot path's script to run it with."""

    name: str
    services: Path
    script: Path

    @staticmethod
    def injected(slowdown: float) -> tuple[str, ...]:
        """The script's arguments for a slowdown; none where it is 0, since an older script has another option."""
        return ("--inject", str(slowdown)) if slowdown else ()

    def environment(self) -> dict[str, str]:
        """The variables its programs run with: its own package first, hashes that do not differ between runs."""
        return os.environ | {
            "PYTHONPATH": str(self.services),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }


@dataclass(frozen=True)
class Repository:
    """What git says of the repository in `root`."""

    root: Path

    def find_base(self, asked: str | None) -> str | None:
        """The commit to compare with, or None where there is none: a first commit, a shallow clone, no repository.

        Without a wish: where the branch left origin/main, and on main itself the commit before. Raises `ValueError` for
        a wish that names no commit.
        """
        if asked:
            found = self._ask("rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}")
            if found is None:
                raise ValueError(f"{asked!r} is no commit of this repository (or the clone is too shallow to have it)")
            return found
        head = self._ask("rev-parse", "--verify", "--quiet", "HEAD")
        left = self._ask("merge-base", "origin/main", "HEAD")
        if left is not None and left != head:
            return left
        return self._ask("rev-parse", "--verify", "--quiet", "HEAD~1^{commit}")

    def describe(self, commit: str) -> str:
        """A commit in one line."""
        return self._ask("log", "-1", "--format=%h %s", commit) or commit

    def changed(self, base: str, *paths: str) -> bool:
        """Whether the working tree differs from `base` below the paths; files that git has never seen count."""
        if self._ask("diff", "--quiet", base, "--", *paths) is None:
            return True
        return bool(self._ask("ls-files", "--others", "--exclude-standard", "--", *paths))

    def accepted(self, base: str) -> str | None:
        """The reason that somebody gave for a slowdown that is meant, or None.

        It stands in the variable GATE_ACCEPT, or in a commit between base and head as a trailer:
        `Gate: accept, <reason>`.
        """
        said = os.environ.get(ACCEPT_VARIABLE, "").strip()
        if said:
            return said
        trailers = self._ask("log", f"{base}..HEAD", f"--format=%(trailers:key={ACCEPT_TRAILER},valueonly)") or ""
        return next((line.strip() for line in trailers.splitlines() if line.strip().startswith("accept")), None)

    @contextlib.contextmanager
    def worktree(self, commit: str, at: Path) -> Iterator[None]:
        """The commit's files in `at`, for the length of a `with`."""
        self._must("worktree", "add", "--quiet", "--detach", str(at), commit)
        try:
            yield
        finally:
            shutil.rmtree(at, ignore_errors=True)
            self._ask("worktree", "prune")

    def _ask(self, *arguments: str) -> str | None:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def _must(self, *arguments: str) -> None:
        done = subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A temporary directory; its path is short, since Ray's sockets lie below it in the full form."""
    directory = Path(tempfile.mkdtemp(prefix="ff-gate-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def side_by_side(repository: Repository, commit: str | None, directory: Path) -> Iterator[tuple[Tree, Tree]]:
    """Base and head below `directory`; without a commit both are the working tree."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    with contextlib.ExitStack() as opened:
        for name in ("head",) if commit else ("base", "head"):
            shutil.copytree(repository.root / PACKAGE, directory / name / PACKAGE, ignore=ignored)
            (directory / name / SCRIPT).parent.mkdir()
            shutil.copy2(repository.root / SCRIPT, directory / name / SCRIPT)
        if commit:
            opened.enter_context(repository.worktree(commit, directory / "base"))
        script = directory / "head" / SCRIPT
        yield Tree("base", directory / "base" / PACKAGE, script), Tree("head", directory / "head" / PACKAGE, script)


def with_its_own_script(tree: Tree) -> Tree | None:
    """The tree with the script of its own commit, for a package that head's script cannot drive; None without one."""
    own = tree.services.parent / SCRIPT
    return Tree(tree.name, tree.services, own) if own.exists() and own != tree.script else None
