"""`python -m scout` is the `scout` command."""

from scout.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
