"""Tests of the workflow on a local Scout, which needs no key and no network."""

import json
from pathlib import Path

from scout import Scout
from scout.local import LocalScout

FOLDER = Path(__file__).parent
WORKFLOW = FOLDER / "workflow.yml"
INPUTS = json.loads((FOLDER / "inputs" / "default.json").read_text(encoding="utf-8"))


def test_the_question_reaches_the_model(scout_local: LocalScout) -> None:
    with Scout() as scout:  # a stand-in plays the model, and repeats what it was asked
        assert INPUTS["question"] in scout.execute(WORKFLOW, INPUTS).text
    assert scout_local.runs[-1].inputs == INPUTS


def test_the_answer_of_the_model_is_the_output(scout_local: LocalScout) -> None:
    scout_local.stub("answer", "Air scatters blue light most.")
    with Scout() as scout:
        assert scout.execute(WORKFLOW, INPUTS).output == "Air scatters blue light most."
