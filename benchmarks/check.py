"""Measure what checks of workflow files cost: 100 workflows of 100 blocks, and the reading of one otherwise.

    python benchmarks/check.py [--files 100] [--blocks 100]

Two forms of a workflow are measured: a short one, as people write it, and one with everything that the API stores. The
files differ in every id and template, so that nothing is found in a cache. CPU seconds of this process are shown, with
and without a problem in each file, because places are looked for only then.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from scout import check, load_workflow

STORED = """
      block_config: []
      input_schema: {}
      output_schema: []
      ui:
        position:
          x: 2
          'y': 34
      trigger_config: null
      ignore_error: false"""

INPUTS = """workflow_key: flow_{file}
workflow_config:
  workflow_display_name: Flow
  blocks:
    - block_id: inputs
      block_display_name: Inputs
      block_archetype_id: com.scoutos.input
      block_inputs:
        items:
          - key: message
            display_name: The message
            input_type: long_text
"""

BLOCK = """    - block_id: step_{file}_{number}
      block_display_name: Step {number}
      block_archetype_id: com.scoutos.llm{more}
      is_output: {is_last}
      dependencies:
        - block_id: {before}
      block_inputs:
        model: gpt-4o
        temperature: 0.7
        max_tokens: 3000
        response_format: text
        prompt_items:
          - role: system
            content: You are a helpful assistant in step {number} of {{{{ inputs.message }}}}.
          - role: user
            content: |-
              Look at this text, and say what you think of it:
              {{{{ {before} }}}}
              {{% if inputs.message %}}It is about {{{{ inputs.message | trim }}}}{{% endif %}}
"""


def workflow(file: int, blocks: int, more: str, extra: str = "") -> str:
    """Return the text of a workflow in which each block needs the one before it."""
    text = INPUTS.format(file=file).replace("  blocks:", f"{extra}  blocks:")
    before = "inputs"
    for number in range(1, blocks):
        is_last = "true" if number == blocks - 1 else "false"
        text += BLOCK.format(file=file, number=number, before=before, more=more, is_last=is_last)
        before = f"step_{file}_{number}"
    return text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--blocks", type=int, default=100)
    options = parser.parse_args()

    check({"blocks": []})  # start-up: the specification, Jinja
    print(f"{options.files} workflows of {options.blocks} blocks, CPU seconds")
    print(f"{'form':<26} {'size of one':>12} {'check':>8} {'load_workflow, for as many':>28}")
    with tempfile.TemporaryDirectory() as folder:
        for form, more, extra in (
            ("short", "", ""),
            ("stored", STORED, ""),
            ("stored, a problem in each", STORED, "  x: 1\n"),
        ):
            paths = [Path(folder) / f"{form}-{number}.yml" for number in range(options.files)]
            for number, path in enumerate(paths):
                path.write_text(workflow(number, options.blocks, more, extra), encoding="utf-8")
            start = time.process_time()
            problems = sum(len(check(path)) for path in paths)
            checked = time.process_time() - start
            if problems != (len(paths) if extra else 0):
                raise SystemExit(f"{problems} problems were found in {form!r}")
            start = time.process_time()
            load_workflow(paths[0])
            loaded = (time.process_time() - start) * len(paths)
            print(f"{form:<26} {paths[0].stat().st_size:>12,} {checked:>8.2f} {loaded:>28.1f}")


if __name__ == "__main__":
    main()
