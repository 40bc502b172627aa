"""Base and head out of a real repository of git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from loadtest.gate.trees import SCRIPT, Repository, side_by_side, with_its_own_script


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=N", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(root: Path, number: int, message: str = "change") -> str:
    package = root / "services" / "fivefold"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(f"number = {number}\n")
    (root / SCRIPT).parent.mkdir(exist_ok=True)
    (root / SCRIPT).write_text(f"# {number}\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", message)
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    return root


def test_a_first_commit_has_no_base(root: Path) -> None:
    commit(root, 1)

    assert Repository(root).find_base(None) is None


def test_a_shallow_clone_has_no_base(root: Path, tmp_path: Path) -> None:
    commit(root, 1)
    commit(root, 2)
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{root}", "shallow")

    assert Repository(tmp_path / "shallow").find_base(None) is None


def test_what_is_no_repository_has_no_base(tmp_path: Path) -> None:
    assert Repository(tmp_path).find_base(None) is None


def test_without_a_wish_base_is_the_commit_before(root: Path) -> None:
    first = commit(root, 1)
    commit(root, 2)

    assert Repository(root).find_base(None) == first


def test_a_branch_is_compared_with_where_it_left_main(root: Path) -> None:
    first = commit(root, 1)
    git(root, "update-ref", "refs/remotes/origin/main", first)
    commit(root, 2)
    commit(root, 3)

    assert Repository(root).find_base(None) == first


def test_main_itself_is_compared_with_the_commit_before(root: Path) -> None:
    first = commit(root, 1)
    second = commit(root, 2)
    git(root, "update-ref", "refs/remotes/origin/main", second)

    assert Repository(root).find_base(None) == first


def test_a_wish_is_a_commit_or_an_error(root: Path) -> None:
    first = commit(root, 1)
    commit(root, 2)

    assert Repository(root).find_base("HEAD~1") == first
    with pytest.raises(ValueError, match="no-such"):
        Repository(root).find_base("no-such")


def test_edited_and_new_files_are_changes(root: Path) -> None:
    base = commit(root, 1)
    repository = Repository(root)
    before = repository.changed(base, "services")
    (root / "services" / "new.py").write_text("")

    assert not before
    assert repository.changed(base, "services")
    assert not repository.changed(base, "loadtest")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("slow\n\nGate: accept, the check is worth it", "accept, the check is worth it"),
        ("slow\n\nGate: reject", None),
        ("slow", None),
    ],
)
def test_a_trailer_accepts_a_slowdown(
    root: Path, message: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATE_ACCEPT", raising=False)
    base = commit(root, 1)
    commit(root, 2, message)
    commit(root, 3)

    assert Repository(root).accepted(base) == reason


def test_a_variable_accepts_a_slowdown(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = commit(root, 1)
    monkeypatch.setenv("GATE_ACCEPT", "meant")

    assert Repository(root).accepted(base) == "meant"


def test_base_and_head_lie_side_by_side_and_nothing_is_left(root: Path, tmp_path: Path) -> None:
    base = commit(root, 1)
    commit(root, 2)
    (root / "services" / "fivefold" / "__init__.py").write_text("number = 3\n")
    place = tmp_path / "place"
    place.mkdir()

    with side_by_side(Repository(root), base, place) as (old, new):
        read = [(tree.services / "fivefold" / "__init__.py").read_text() for tree in (old, new)]
        scripts = [tree.script.read_text() for tree in (old, new)]
        own = with_its_own_script(old)

    assert read == ["number = 1\n", "number = 3\n"]
    assert scripts == ["# 2\n", "# 2\n"]
    assert own is not None
    assert own.script == place / "base" / SCRIPT
    assert not (place / "base").exists()
    assert git(root, "worktree", "list").count("\n") == 0


def test_without_a_base_both_are_the_working_tree(root: Path, tmp_path: Path) -> None:
    commit(root, 1)
    place = tmp_path / "place"
    place.mkdir()

    with side_by_side(Repository(root), None, place) as trees:
        assert [(tree.services / "fivefold" / "__init__.py").read_text() for tree in trees] == ["number = 1\n"] * 2
