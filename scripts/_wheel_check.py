"""Look at a wheel, or use it where it is installed. Called by scripts/test.

_wheel_check.py contents WHEEL    its top level, and that it has every file of both packages as it stands here
_wheel_check.py installed VENV    every public name, and one call from Python and from the command line
"""

import http.server
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"scout": ROOT / "scout", "scout_generated": ROOT / "generated" / "scout_generated"}
CONFIG = {
    "blocks": [
        {"block_id": "a", "block_archetype_id": "com.scoutos.text", "block_display_name": "A", "is_output": True}
    ]
}
ANSWER = {
    "workflow_id": "wf_1",
    "run": {
        "stop_reason": "workflow_run_completed",
        "state": {"a": {"output": "Hello"}},
        "errors": [],
        "session_id": "sess_1",
        "workflow_run_id": "run_1",
    },
}


def contents(wheel: Path) -> None:
    """Compare a wheel with the checkout that it was made from."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    top = sorted({name.split("/")[0] for name in found})
    if len(top) != 3 or top[:2] != list(PACKAGES) or not top[2].startswith("scout_workflows-"):
        sys.exit(f"the wheel's top level is {top}")
    wanted = {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in ("scout/py.typed", "scout_generated/py.typed", "scout_generated/openapi.json"):
        if name not in wanted:
            sys.exit(f"the checkout lacks {name}")
    if different := sorted(name for name in wanted if found.get(name) != wanted[name]):
        sys.exit(f"the wheel lacks or changes {different}")
    print("wheel: holds", *top, f"and all {len(wanted)} files of the packages")


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def installed(venv: Path) -> None:
    """Use the packages that are installed in the environment that runs this."""
    import scout_generated

    import scout

    for package in (scout, scout_generated):
        if not Path(package.__file__ or "").resolve().is_relative_to(venv):
            sys.exit(f"{package.__name__} is not the wheel's: {package.__file__}")
    for name in scout.__all__:
        getattr(scout, name)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with scout.Scout("secret_key", base_url=url) as client:
        outputs = [client.execute(CONFIG).output]
    Path("workflow.json").write_text(json.dumps(CONFIG))
    outputs.append(
        subprocess.run(
            [venv / "bin" / "scout", "run", "workflow.json", "--base-url", url],
            env={**os.environ, "SCOUT_API_KEY": "secret_key"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=30,
        ).stdout.strip()
    )
    server.shutdown()
    server.server_close()
    if outputs != ["Hello", "Hello"]:
        sys.exit(f"the answers were {outputs}")
    print("wheel: works as it is installed, from Python and from the command line")


if __name__ == "__main__":
    {"contents": contents, "installed": installed}[sys.argv[1]](Path(sys.argv[2]).resolve())
