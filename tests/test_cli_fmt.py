"""`scout fmt`: which files it writes, what it prints, its exit codes, and that `pull` writes its form."""

import os
import stat
from pathlib import Path

import pytest
from commands import Done, run_here

from scout import Scout
from scout.local import LocalScout

KEY = "secret_planted_key"
UNTIDY = "blocks: []  # none yet\nworkflow_display_name: 'W'\n"
TIDY = "workflow_display_name: W\nblocks: []  # none yet\n"


def fmt(*args: object, cwd: Path | None = None, stdin: bytes = b"") -> Done:
    return run_here("fmt", *args, env=dict(os.environ), cwd=cwd, stdin=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yml").write_text(UNTIDY)
    (tmp_path / "flows" / "b.yaml").write_text(TIDY)
    (tmp_path / "other.yml").write_text("services: {}\n")
    return tmp_path


def test_files_are_formatted_once(folder: Path) -> None:
    first, second = fmt(".", cwd=folder), fmt(".", cwd=folder)

    name = str(Path("flows", "a.yml"))
    assert (first.returncode, first.stdout, first.stderr) == (0, f"{name}\n", "scout: 1 of 2 files was formatted\n")
    assert (second.returncode, second.stdout) == (0, "")
    assert (folder / name).read_text() == TIDY
    assert (folder / "other.yml").read_text() == "services: {}\n"


def test_check_and_diff_write_nothing(folder: Path) -> None:
    check, diff = fmt("--check", "flows", cwd=folder), fmt("--diff", "flows", cwd=folder)

    name = str(Path("flows", "a.yml"))
    assert (check.returncode, check.stdout) == (1, f"{name}\n")
    assert check.stderr == "scout: 1 of 2 files would be formatted\n"
    assert (diff.returncode, diff.stdout.splitlines()) == (
        1,
        [
            *(f"--- {name}", f"+++ {name}", "@@ -1,2 +1,2 @@"),
            *("+workflow_display_name: W", " blocks: []  # none yet", "-workflow_display_name: 'W'"),
        ],
    )
    assert (folder / name).read_text() == UNTIDY
    fmt("flows", cwd=folder)
    assert [fmt(option, "flows", cwd=folder).returncode for option in ("--check", "--diff")] == [0, 0]


def test_line_ends_and_a_byte_order_mark_are_shown_and_mended(folder: Path) -> None:
    file = folder / "w.yml"
    file.write_bytes(b"\xef\xbb\xbf" + TIDY.replace("\n", "\r\n").encode())

    assert "-blocks: []  # none yet\\x0d\n" in fmt("--diff", file).stdout
    assert fmt(file).returncode == 0
    assert file.read_bytes() == TIDY.encode()


def test_stdin() -> None:
    assert fmt("-", stdin=UNTIDY.encode()).stdout == TIDY
    assert fmt("-", "--check", stdin=UNTIDY.encode()).returncode == 1
    assert fmt("-", "--check", stdin=TIDY.encode()).returncode == 0
    assert fmt("-", "--diff", stdin=UNTIDY.encode()).stdout.startswith("--- stdin\n+++ stdin\n")
    broken = fmt("-", stdin=b"blocks: [")
    assert (broken.returncode, broken.stdout) == (2, "")
    assert "stdin, line 1" in broken.stderr
    assert "stands alone" in fmt("-", "a.yml").stderr


def test_a_file_that_cannot_be_formatted_does_not_stop_the_others(folder: Path) -> None:
    (folder / "flows" / "broken.yml").write_text("block_id: 1\nblocks: {{ x }}\n")

    result = fmt("flows", "other.yml", cwd=folder)

    assert result.returncode == 2
    assert result.stdout == str(Path("flows", "a.yml")) + "\n"
    assert "broken.yml, line 2, column 9: is not YAML" in result.stderr
    assert "other.yml, line 1, column 1: this is not a workflow" in result.stderr
    assert (folder / "flows" / "broken.yml").read_text() == "block_id: 1\nblocks: {{ x }}\n"


def test_the_canvas_is_dropped_on_request(folder: Path) -> None:
    file = folder / "w.yml"
    file.write_text("blocks:\n  - {block_id: a, block_archetype_id: x, block_display_name: A, ui: {}}\n")

    assert fmt(file).returncode == 0
    assert "ui: {}" in file.read_text()
    assert fmt("--drop-ui", "--check", file).returncode == 1
    assert fmt("--drop-ui", file).returncode == 0
    assert "ui" not in file.read_text()


@pytest.mark.skipif(os.name != "posix", reason="permissions and links as POSIX has them")
def test_permissions_and_links_are_kept(folder: Path) -> None:
    file, link = folder / "flows" / "a.yml", folder / "link.yml"
    file.chmod(0o640)
    link.symlink_to(file)

    assert fmt(link).returncode == 0

    assert link.is_symlink()
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (TIDY, 0o640)
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
def test_root_leaves_a_file_to_its_owner(folder: Path) -> None:
    file = folder / "flows" / "a.yml"
    file.chmod(0o640)
    os.chown(file, 12345, 12346)

    assert fmt(file).returncode == 0

    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 12346, 0o640)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write every file")
def test_a_read_only_file_is_trouble(folder: Path) -> None:
    (folder / "flows" / "a.yml").chmod(0o440)

    result = fmt("flows", cwd=folder)

    assert result.returncode == 2
    assert "a.yml cannot be formatted: Permission denied" in result.stderr


@pytest.mark.parametrize("name", ["w.yml", "w.json"])
def test_what_is_pulled_has_the_form(tmp_path: Path, name: str) -> None:
    block = {
        "zz": 1,
        "block_id": "a",
        "ui": {"position": {"y": 1, "x": 2}},
        "block_inputs": {"text": "a\nb", "v": "1.0"},
    }
    block |= {"block_archetype_id": "com.scoutos.text", "block_display_name": "A"}
    with LocalScout(api_key=KEY) as server:
        with Scout(KEY, base_url=server.url) as client:
            client.workflows.deploy({"blocks": [block], "workflow_display_name": "W"}, key="w")
        env = {**os.environ, "SCOUT_BASE_URL": server.url, "SCOUT_API_KEY": KEY}
        pulled = run_here("workflows", "pull", "key:w", "-o", name, env=env, cwd=tmp_path)
        same = run_here("diff", "key:w", name, "--ui", env=env, cwd=tmp_path)

    assert (pulled.returncode, pulled.stdout) == (0, f"{name}\n")
    assert fmt("--check", name, cwd=tmp_path).returncode == 0
    assert (same.returncode, same.stdout) == (0, "")
    text = (tmp_path / name).read_text()
    assert text.index("block_archetype_id") < text.index("block_id") < text.index("zz")
