"""`check`: what it finds, where, and that nothing makes it crash."""

import json
import random
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scout
from scout import Problem, Severity, WorkflowFileError, check, check_rules, load_workflow
from scout.checks import _templates
from scout.checks._spec import nearest, specification
from scout.local.blocks import takes_inputs
from scout.local.templates import _environment as local_environment
from scout.workflow_files import CONFIG_FIELDS

ROOT = Path(__file__).parent.parent
SPEC = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))
REAL = ROOT.parent / "shared" / "real-configs"
HERE = "▶"  # marks the place of a problem in a text, and is taken out


def place_of(text: str) -> tuple[str, int, int]:
    """The text without its mark, and line and column of the mark."""
    before, _, after = text.partition(HERE)
    assert HERE not in after
    return before + after, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def found(folder: Path, text: str, name: str = "workflow.yml") -> list[Problem]:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return check(path)


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def workflow(*, settings: str = "text: Hi", block: str = "", archetype: str = "com.scoutos.text", top: str = "") -> str:
    """A workflow of an Input block with two inputs, a block that uses both, and one with these settings."""
    return f"""{top}
blocks:
  - block_id: inputs
    block_archetype_id: com.scoutos.input
    block_display_name: Inputs
    block_inputs:
      items:
        - key: user_message
          input_type: long_text
        - key: tone
          is_optional: true
  - block_id: both
    block_archetype_id: com.scoutos.text
    block_display_name: Both
    dependencies:
      - block_id: inputs
    block_inputs:
      text: "{{{{ inputs.user_message }}}} {{{{ inputs.tone }}}}"
  - block_id: answer
    block_archetype_id: {archetype}
    block_display_name: Answer
    is_output: true
    dependencies:
      - block_id: inputs
    {block}
    block_inputs:
      {settings}
"""


PROMPT = "prompt_items:\n        - role: user\n          content: Hi"
LLM = "com.scoutos.llm"


def test_a_good_workflow_has_no_problem(tmp_path: Path) -> None:
    assert found(tmp_path, workflow()) == []
    assert found(tmp_path, workflow(settings=PROMPT, archetype=LLM)) == []


# --- The page -----------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (SW\d{3})\n\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def check_example(folder: Path, name: str) -> list[Problem]:
    if name.endswith(".json"):
        (folder / "inputs").mkdir()
        (folder / "inputs" / "default.json").write_text(FILES[name])
        name = "sw053_workflow.yml"
    return found(folder, FILES[name], name)


def test_the_page_has_every_rule_in_its_words() -> None:
    assert list(SECTIONS) == list(check_rules()) == sorted(SECTIONS)
    for code, rule in check_rules().items():
        assert rule.code == code
        assert " ".join(SECTIONS[code].split()).startswith(f"{rule.title} ({rule.severity}). ")


@pytest.mark.parametrize("code", [code for code in SECTIONS if code not in ("SW004", "SW044")])
def test_the_examples_of_a_rule_are_wrong_and_right(tmp_path: Path, code: str) -> None:
    wrong, right = (name for name in FILES if re.fullmatch(rf"{code.lower()}_(wrong|right)\.\w+", name))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    (problem,) = check_example(tmp_path / "a", wrong)

    assert (problem.code, problem.severity) == (code, check_rules()[code].severity)
    assert check_example(tmp_path / "b", right) == []


# --- One planted fault after the other ----------------------------------------------------------------------------

PLANTED = {
    "SW001 a tab": "blocks:\n▶\t- block_id: a\n",
    "SW001 a duplicate key": "blocks: []\n▶blocks: []\n",
    "SW001 a template without quotes": "blocks:\n  - block_id: ▶{{ x }}\n",
    "SW001 a list": "▶- a\n- b\n",
    "SW001 an infinity": "blocks: []\n▶is_tool: .inf\n",
    "SW002": "workflow_key: a\nworkflow_config:\n  ▶workflow_config:\n    blocks: []\n",
    "SW002 no config": "workflow_config: ▶5\n",
    "SW003": "services:\n  web:\n",
    "SW003 a misspelt one": "▶bloks: []\n",
    "SW010": workflow().replace("- block_id: both\n    block_archetype_id: com.scoutos.text", "- ▶block_id: both"),
    "SW010 misspelt": workflow().replace("    block_display_name: Both", "    ▶block_dislay_name: Both"),
    "SW010 a dependency": workflow(block="ignore_error: false").replace(
        "- block_id: inputs\n    ignore", "- ▶ui: {}\n    ignore"
    ),
    "SW011": workflow(block="ignore_error: ▶[]"),
    "SW011 a position": workflow(block="ui: {position: {x: ▶left, y: 2}}"),
    "SW011 an empty id": workflow().replace("block_id: answer", "block_id: ▶''"),
    "SW012": workflow(block="ignore_error: ▶'false'"),
    "SW012 a number": workflow(block="ui: {position: {x: ▶'1', y: 2}}"),
    "SW013": workflow(block="▶ignore_errors: true"),
    "SW014": workflow(top="▶owner: me"),
    "SW015": workflow(archetype=LLM, settings="prompt_items:\n        - role: ▶usr\n          content: Hi"),
    "SW015 a placeholder": workflow(top="placeholders: [{block_id: later, type: ▶blockPlacehoder}]"),
    "SW015 an input type": workflow().replace("input_type: long_text", "input_type: ▶longtxt"),
    "SW015 a tag": workflow(block="block_config: [{id: a, display_name: A, type: ▶text-shrt}]"),
    "SW016": workflow(block="▶block_is_output: true"),
    "SW020": workflow(archetype="▶com.scoutos.lm"),
    "SW020 without its beginning": workflow(archetype="▶llm"),
    "SW021": workflow(settings="▶{}"),
    "SW021 misspelt": workflow(settings="▶txet: Hi"),
    "SW022": workflow(archetype=LLM, settings=f"temperature: ▶hot\n      {PROMPT}"),
    "SW023": workflow(archetype=LLM, settings=f"temperature: ▶2.5\n      {PROMPT}"),
    "SW030": workflow()
    .replace("block_id: both", "block_id: answer")
    .replace(
        "answer\n    block_archetype_id: com.scoutos.text\n    block_display_name: Answer",
        "▶answer\n    block_archetype_id: com.scoutos.text\n    block_display_name: Answer",
    ),
    "SW031": workflow(block="").replace("- block_id: inputs\n    \n", "- block_id: ▶input\n"),
    "SW031 an empty one": workflow(block="").replace("- block_id: inputs\n    \n", "- block_id: ▶''\n"),
    "SW032": workflow(block="").replace("- block_id: inputs\n    \n", "- block_id: ▶answer\n"),
    "SW034": workflow().replace("Both\n", "Both\n    is_output: true\n").replace("Answer\n    is_", "Answer\n    ▶is_"),
    "SW035": workflow().replace("    is_output: true\n", "").replace("blocks:", "▶blocks:"),
    "SW040": workflow(settings="text: 'a {{ inputs.tone }} ▶{{ inputs.user_message | }}'"),
    "SW040 in a block": workflow(settings="text: |-\n        One\n        two ▶{% if inputs.tone %}\n        three"),
    "SW040 no end": workflow(settings='text: "a\\n▶{{ inputs.tone"'),
    "SW040 a comment": workflow(settings="text: 'a ▶{# no end'"),
    "SW040 a wrong end": workflow(settings="text: 'a {% if inputs.tone %}▶{% endfor %}'"),
    "SW040 an unknown tag": workflow(settings="text: 'a {{ inputs.tone }} ▶{% fi inputs.tone %}'"),
    "SW041": workflow(settings="text: 'tone {{ ▶tonne }}'"),
    "SW041 after escapes": workflow(settings='text: "\\ttone\\n {{ inputs.tone | replace(\\"a\\", ▶tonne) }}"'),
    "SW041 in a block": workflow(settings="text: |\n        tonne\n\n          x {{ inputs.tone }} {{ ▶tonne }}"),
    "SW041 in a folded text": workflow(
        settings="text: >-\n        tonne\n        x {{ inputs.tone }} {{\n        ▶tonne }}"
    ),
    "SW041 an input": workflow(settings="text: '{{ ▶tone }}'"),
    "SW041 a global": workflow(settings="text: '{{ ▶__exp_globl.current_date }}'"),
    "SW042": workflow(settings="text: '{{ ▶both.output }}'"),
    "SW042 itself": workflow(settings="text: '{% if inputs.tone %}{{ ▶answer }}{% endif %}'"),
    "SW043": workflow(settings="text: '{{ inputs.tone | lower | ▶uper }}'"),
    "SW043 a test": workflow(settings="text: '{{ inputs.tone is ▶defind }}'"),
    "SW045": workflow(settings="text: '{{ ▶both.ouput }}'", block="").replace("inputs\n    \n", "both\n"),
    "SW050": workflow(settings="text: |\n        {{ inputs.tone }}\n        {{ ▶inputs.user_mesage }}"),
    "SW050 by index": workflow(settings="""text: "{{ ▶inputs['user_mesage'] | length }}\""""),
    "SW051": workflow().replace("{{ inputs.user_message }}", "").replace("key: user_message", "key: ▶user_message"),
    "SW052": workflow().replace("key: tone", "key: ▶user_message").replace(" {{ inputs.tone }}", ""),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_in_its_place(tmp_path: Path, name: str) -> None:
    text = PLANTED[name] if HERE in PLANTED[name] else HERE + PLANTED[name]
    text, line, column = place_of(text)

    for newline in ("\n", "\r\n"):
        problems = found(tmp_path, text.replace("\n", newline))
        assert [(each.code, each.line, each.column) for each in problems] == [(name[:5], line, column)], problems
        assert problems[0].path == str(tmp_path / "workflow.yml")


def block(block_id: str, rest: str, archetype: str = "com.scoutos.text") -> str:
    return f"  - {{block_id: {block_id}, block_display_name: A, block_archetype_id: {archetype}, {rest}}}\n"


def test_a_cycle_is_spelled_out_at_the_dependency_of_its_first_block(tmp_path: Path) -> None:
    needs = {"c": "b", "a": f"{HERE}d", "d": "b", "b": "a"}
    blocks = [block(each, f"block_inputs: {{text: Hi}}, dependencies: [{{block_id: {needs[each]}}}]") for each in needs]
    text, line, column = place_of("blocks:\n" + "".join(blocks))

    (problem,) = found(tmp_path, text)

    assert (problem.code, problem.line, problem.column) == ("SW033", line, column)
    assert problem.message == "these blocks wait for each other: a -> d -> b -> a"


def test_every_rule_has_its_planted_fault() -> None:
    elsewhere = {"SW004", "SW033", "SW044", "SW053", "SW054", "SW055", "SW056"}  # tests of their own
    assert {name[:5] for name in PLANTED} | elsewhere == set(check_rules())


# The eight of the issue that passed silently, and eight more along its list.
MUTATIONS = {
    "modle": (workflow(archetype=LLM, settings=f"▶modle: gpt-4o\n      {PROMPT}"), "SW013", "`model`"),
    "is_ouput": (workflow().replace("is_output", "▶is_ouput"), "SW013", "`is_output`"),
    "role: usr": (workflow(archetype=LLM, settings=PROMPT.replace("user", "▶usr")), "SW015", "`user`"),
    "max_tokens: -5": (workflow(archetype=LLM, settings=f"max_tokens: ▶-5\n      {PROMPT}"), "SW023", None),
    "a misspelt input": (workflow(settings="text: '{{ ▶inputs.user_mesage }}'"), "SW050", "`user_message`"),
    "a misspelt block": (workflow(settings="text: '{{ ▶input.tone }}'"), "SW041", "`inputs`"),
    "a block that is not upstream": (workflow(settings="text: '{{ ▶both.output }}'"), "SW042", "`both`"),
    "an open tag": (workflow(settings="text: '▶{% if inputs.tone %}x'"), "SW040", None),
    "a misspelt dependency": (workflow().replace("inputs\n    \n", "▶inptus\n"), "SW031", "`inputs`"),
    "itself": (workflow().replace("inputs\n    \n", "▶answer\n"), "SW032", None),
    "an id twice": (workflow().replace("block_id: answer", "block_id: ▶both"), "SW030", None),
    "an archetype": (workflow(archetype="▶com.scoutos.txt"), "SW020", "`com.scoutos.text`"),
    "dependancies": (
        workflow().replace(
            "dependencies:\n      - block_id: inputs\n    \n", "▶dependancies:\n      - block_id: inputs\n"
        ),
        "SW013",
        "`dependencies`",
    ),
    "temprature": (workflow(archetype=LLM, settings=f"▶temprature: 0\n      {PROMPT}"), "SW013", "`temperature`"),
    "response_format: jsn_object": (
        workflow(archetype=LLM, settings=f"response_format: ▶jsn_object\n      {PROMPT}"),
        "SW015",
        "`json_object`",
    ),
    "block_inptus": (
        workflow().replace("block_inputs:\n      text: Hi", "▶block_inptus:\n      text: Hi"),
        "SW013",
        "`block_inputs`",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_of_the_sixteen_mutations_is_found(tmp_path: Path, name: str) -> None:
    marked, code, hint = MUTATIONS[name]
    text, line, column = place_of(marked)

    problems = [each for each in found(tmp_path, text) if each.code == code]

    assert [(each.line, each.column) for each in problems] == [(line, column)]
    assert hint is None or hint in str(problems[0].hint)
    assert len(MUTATIONS) == 16


def test_several_problems_are_found_at_once_in_order(tmp_path: Path) -> None:
    text = workflow(settings="text: '{{ nobody }} {{ nothing }}'", block="ignore_error: 5", top="owner: me")
    text = text.replace("    block_display_name: Both\n", "").replace("key: user_message\n", "key: [1]\n")

    problems = found(tmp_path, text)

    assert codes(problems) == ["SW014", "SW022", "SW010", "SW050", "SW011", "SW041", "SW041"]
    assert [(each.line, each.column) for each in problems] == sorted((each.line, each.column) for each in problems)


def test_a_block_without_id_does_not_hide_the_others(tmp_path: Path) -> None:
    text = (
        workflow(settings="text: '{{ nobody }}'")
        .replace("    block_id: both\n", "")
        .replace("  - block_id: both\n    b", "  - b")
    )
    assert codes(found(tmp_path, text + "  - 5\n  - block_id: [a]\n")) == [
        "SW010",
        "SW041",
        "SW011",
        "SW010",
        "SW010",
        "SW011",
    ]


def test_a_misspelt_field_is_not_missing_as_well(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, workflow().replace("block_display_name: Both", "block_dislay_name: Both"))
    assert (problem.code, problem.hint) == ("SW010", "write `block_display_name`")


# --- Inputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"user_message": "Hi"}', []),
        ('{"user_message": "Hi", "tone": true}', []),
        ("{", [("SW053", 1, 2)]),
        ("[1]", [("SW053", 1, 1)]),
        ("\n{}", [("SW054", 2, 1)]),
        ('{\n  "user_message": null}', [("SW054", 2, 19)]),
        ('{\n  "user_mesage": "Hi"}', [("SW055", 2, 3)]),
        ('{"user_message": "a",\n "x": 1}', [("SW055", 2, 2)]),
        ('{"user_message": 5}', [("SW056", 1, 18)]),
    ],
)
def test_the_default_inputs_beside_the_file(tmp_path: Path, text: str, expected: list[Any]) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "default.json").write_text(text)

    problems = found(tmp_path, workflow())

    assert [(each.code, each.line, each.column) for each in problems] == expected
    assert {each.path for each in problems} <= {str(tmp_path / "inputs" / "default.json")}
    assert {each.severity for each in problems} <= {Severity.WARNING}


@pytest.mark.parametrize(
    "template",
    [
        "{{ inputs }}",
        "{{ inputs | tojson }}",
        "{% for key, value in inputs.items() %}{{ key }}{{ value }}{% endfor %}",
        "{{ inputs[both.output] }}",
        "{{ inputs.get('user_message') }}{{ inputs.get('tone') }}",
        "{{ inputs.output.user_message }}",
    ],
)
def test_inputs_can_be_used_as_a_whole(tmp_path: Path, template: str) -> None:
    text = workflow(settings=f'text: "{template}"', block="").replace("inputs\n    \n", "both\n")
    text = text.replace('"{{ inputs.user_message }} {{ inputs.tone }}"', "Hi")
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    "template",
    [
        "{{ inputs.tone | default('kind') }}",
        "{% if inputs.tone is defined %}x{% endif %}",
        "{{ inputs.get('tone', 'kind') }}",
        "{{ inputs is defined and inputs.tone }}",
    ],
)
def test_an_input_that_may_be_missing_is_used(tmp_path: Path, template: str) -> None:
    assert found(tmp_path, workflow(settings=f'text: "{template}"').replace(" {{ inputs.tone }}", "")) == []


@pytest.mark.parametrize(
    ("template", "code", "hint"),
    [
        ("{{ inputs.tonne | default('kind') }}", "SW050", "did you mean `tone`?"),
        ("{% if inptus.tone is defined %}x{% endif %}", "SW041", "did you mean `inputs`?"),
        ("{{ tone | default('kind') }}", "SW041", "did you mean `inputs.tone`?"),
        ("{{ other | default('kind') }}{{ inputs.other is defined }}{{ both | d('') }}", None, None),
    ],
)
def test_a_misspelt_name_is_not_hidden_by_its_default(
    tmp_path: Path, template: str, code: str | None, hint: str | None
) -> None:
    problems = found(tmp_path, workflow(settings=f'text: "{template}"'))
    assert [(each.code, each.hint) for each in problems] == ([(code, hint)] if code else [])


@pytest.mark.parametrize("field", ["output", "output.title", "title", "output_2", "meta.cost", "put"])
def test_fields_of_a_block_that_are_no_typing_errors(tmp_path: Path, field: str) -> None:
    text = workflow(settings=f"text: '{{{{ both.{field} }}}}'", block="").replace("inputs\n    \n", "both\n")
    assert found(tmp_path, text) == []


def test_a_workflow_without_an_input_block_may_use_inputs(tmp_path: Path) -> None:
    text = "blocks:\n" + block("a", "block_inputs: {text: '{{ inputs.x }}'}")
    assert found(tmp_path, text) == []
    other = text + block("form", "block_inputs: {items: [{key: x}]}", "com.scoutos.input")
    assert [each.hint for each in found(tmp_path, other) if each.code == "SW041"] == ["did you mean `form`?"]


# --- Templates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("{{ a.b }}{{ c }}{{ a.b }}", ["a.b", "c"]),
        (
            "{% for x in a.rows %}{{ loop.index }}{{ x.y }}{% else %}{{ x }}{% endfor %}{{ loop }}",
            ["a.rows", "x", "loop"],
        ),
        ("{% for x, y in a if x > z %}{{ y }}{% endfor %}", ["a", "z"]),
        ("{% set x = a %}{{ x }}{% set y %}{{ b }}{% endset %}{{ y }}", ["a", "b"]),
        ("{{ x }}{% set x = 1 %}{{ x }}", ["x"]),
        ("{% if a %}{% set x = 1 %}{% endif %}{{ x }}", ["a"]),
        ("{% macro f(x, y=a) %}{{ x }}{{ y }}{{ varargs }}{{ caller() }}{% endmacro %}{{ f(b) }}", ["a", "b"]),
        ("{% call(u) f() %}{{ u }}{% endcall %}", ["f"]),
        ("{% import a as m %}{% from 'x' import n, o as p %}{{ m }}{{ n }}{{ p }}{{ o }}", ["a", "o"]),
        ("{% with x = a %}{{ x }}{% endwith %}{{ x }}", ["a", "x"]),
        ("{% block x %}{{ super() }}{{ a }}{% endblock %}", ["a"]),
        ("{% filter upper %}{{ a }}{% endfilter %}", ["a"]),
        ("{% set ns = namespace(x=1) %}{% set ns.x = a %}{{ ns.x }}", ["a"]),
        ("{{ range(3) }}{{ dict(a=b) }}{{ joiner() }}", ["b"]),
        ("{{ a | default('x') }}{% if b.c is defined %}{{ b.c }}{% endif %}{{ b.d }}", ["b.d"]),
        ("{% raw %}{{ a }}{% endraw %}{# {{ b }} #}{{ true }}{{ none }}{{ not c }}", ["c"]),
        ("{{ a.b.c['d'] }}{{ e['f'].g }}{{ h[i] }}{{ j[0] }}", ["a.b", "e.f", "h", "i", "j"]),
        ("{{ a.b(c) }}{{ d.items() }}{{ 'x'.join(e) }}", ["a.b", "c", "d", "e"]),
        ("{% macro f() %}{{ g() }}{{ x }}{{ y }}{% endmacro %}{% macro g() %}{% endmacro %}{% set x = 1 %}", ["y"]),
        ("{% macro f() %}{{ x }}{% endmacro %}{% for x in a %}{{ f() }}{% endfor %}", ["a", "x"]),
        ("{% block b %}{{ a }}{% endblock %}{{ self.b() }}", ["a"]),
        ("{{ a.get('b', 1) }}{{ c.get('d') }}", ["c.d"]),
        ("{% do a.append(b) %}{% for x in c %}{% break %}{% endfor %}", ["a.append", "b", "c"]),
    ],
)
def test_the_names_that_a_template_takes_from_outside(template: str, names: list[str]) -> None:
    read = _templates.read_simple(template) or _templates.parse(template)
    assert read.fault is None
    uses = [use for use in read.uses if not use.may_be_missing]
    assert sorted(f"{use.root}.{use.step}" if use.step else use.root for use in uses) == sorted(names)


PIECES = [
    *(
        "{{ a }}",
        "{{a.b}}",
        "{{ a.b | upper }}",
        "{% if a %}",
        "{% if not a.b %}",
        "{% elif c %}",
        "{% else %}",
        "{% endif %}",
    ),
    *(
        "x",
        "{",
        "}",
        "{{",
        "}}",
        "{%",
        "%}",
        "-",
        "+",
        " ",
        "\n",
        "|",
        "a",
        "if ",
        "{#",
        "#}",
        ".b",
        "['k']",
        "{{- a -}}",
        "d",
    ),
    *(
        "{%- if a -%}",
        "{% endif -%}",
        "{% raw %}",
        "true",
        "{{ loop }}",
        "{{ range }}",
        "{% set a = 1 %}",
        "|upper",
        "default",
    ),
]


@pytest.mark.parametrize(
    "root",
    ["_env.KEY", "__exp_global.current_date", "__other", "datetime.now()", "ZoneInfo('Europe/Lisbon')", "range(3)"],
)
def test_known_globals_are_no_problem(tmp_path: Path, root: str) -> None:
    assert found(tmp_path, workflow(settings=f'text: "{{{{ {root} }}}}"')) == []


def test_simple_templates_are_read_as_jinja_reads_them() -> None:
    random_ = random.Random(5)
    simple = 0
    for _ in range(1500):
        text = "".join(random_.choices(PIECES, k=random_.randrange(1, 8)))
        read = _templates.read_simple(text)
        if read is not None:
            simple += 1
            parsed = _templates._parse(text)
            assert parsed.fault is None
            assert set(read.uses) == set(parsed.uses), text
    assert simple > 300


def test_what_is_known_of_templates_is_what_the_local_scout_knows() -> None:
    known = specification().template_globals
    assert {"datetime", "timezone", "ZoneInfo"} == known - {"_env", "__exp_global"}
    assert known - {"_env", "__exp_global"} <= set(local_environment.globals)


def test_templates_that_only_look_up_values_are_read_without_jinja() -> None:
    from jinja2.defaults import DEFAULT_NAMESPACE

    from scout.checks import _templates

    assert set(DEFAULT_NAMESPACE) == _templates._JINJA_GLOBALS
    program = f"import sys, scout; scout.check({str(ROOT / 'examples/hello/workflow.yml')!r})"
    done = subprocess.run([sys.executable, "-c", f"{program}; sys.exit('jinja2' in sys.modules)"], timeout=60)
    assert done.returncode == 0


def test_without_jinja_everything_else_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _templates._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)

    problems = found(tmp_path, workflow(settings="text: '{{ nobody }}'", top="owner: me"))

    assert codes(problems) == ["SW014", "SW044"]
    assert problems[1].severity is Severity.INFO
    assert "scout-workflows[cli]" in str(problems[1].hint)


# --- Comments that silence, and other sources ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comment", "silenced"),
    [
        ("# scout: ignore", True),
        ("# scout: ignore SW013", True),
        ("#scout:ignore SW014, SW013 because", True),
        ("# scout: ignore SW014", False),
        ("#scout: ignore sw013", True),
        ("# scout: ignore sw014", False),
        ("# scout: ignore-file", False),
        ("# scout: ignored", False),
        ("# ignore SW013", False),
    ],
)
def test_a_comment_on_its_line_silences_a_problem(tmp_path: Path, comment: str, silenced: bool) -> None:
    problems = found(tmp_path, workflow(block=f"ignore_errors: true {comment}"))
    assert codes(problems) == ([] if silenced else ["SW013"])


def test_a_comment_behind_the_bar_silences_what_is_in_the_block(tmp_path: Path) -> None:
    settings = "text: |- # scout: ignore SW041\n        Hi\n        {{ nobody }}"
    assert found(tmp_path, workflow(settings=settings)) == []


@pytest.mark.parametrize("top", ["", "x: [flow]"], ids=["plain", "all of YAML"])
@pytest.mark.parametrize(
    ("text", "silenced"),
    [
        ("|-\n        {{ nobody }} # scout: ignore", False),
        (">-\n        {{ nobody }} # scout: ignore", False),
        (">-  # scout: ignore\n        Hi\n        {{ nobody }}", True),
        ("'{{ nobody }} # scout: ignore'", False),
        ('"{{ nobody }} # scout: ignore"  # why', False),
        ("'{{ nobody }} # scout: ignore'  # scout: ignore SW041", True),
        ("'Hi\n        {{ nobody }} # scout: ignore\n        you'", False),
        ("'Hi\n        {{ nobody }}\n        you'  # scout: ignore SW041", True),
        ("Hi {% set x=nobody %}#scout:ignore", False),
    ],
)
def test_a_text_holds_no_comment(tmp_path: Path, text: str, silenced: bool, top: str) -> None:
    problems = [each for each in found(tmp_path, workflow(settings=f"text: {text}", top=top)) if each.code != "SW014"]
    assert codes(problems) == ([] if silenced else ["SW041"])


def test_a_key_holds_no_comment_either(tmp_path: Path) -> None:
    assert codes(found(tmp_path, workflow(top="'# scout: ignore': 1"))) == ["SW014"]


def test_a_text_in_json_is_no_comment(tmp_path: Path) -> None:
    text = '{"blocks": [], "owner": "# scout: ignore"}'
    assert codes(found(tmp_path, text, "a.json")) == codes(found(tmp_path, text)) == ["SW014"]


def test_a_mapping_has_places_in_its_messages() -> None:
    config = {
        "blocks": [
            {
                "block_id": "a",
                "block_archetype_id": LLM,
                "block_display_name": "A",
                "block_inputs": {"modle": "x", "prompt_items": []},
            }
        ]
    }

    (problem,) = check(config)

    assert (problem.line, problem.column, problem.path) == (None, None, None)
    assert problem.message == "blocks[0].block_inputs.modle: `modle` is not a known field"
    assert check({"workflow_config": config})[0].message.startswith("workflow_config.blocks[0].block_inputs.modle: ")
    assert check(scout.WorkflowConfig.from_dict(config)) == [problem]
    assert check({}) == []


def test_a_loaded_workflow_has_lines_while_its_file_is_the_same(tmp_path: Path) -> None:
    problems = found(tmp_path, workflow(top="owner: me"))
    loaded = load_workflow(tmp_path / "workflow.yml")

    assert check(loaded) == problems
    (tmp_path / "workflow.yml").write_text(workflow(top="x: 1\nowner: me"))
    assert [(each.line, each.path) for each in check(loaded)] == [(None, None)]
    (tmp_path / "workflow.yml").unlink()
    assert codes(check(loaded)) == ["SW014"]


def test_the_order_of_json_and_yaml_is_the_same(tmp_path: Path) -> None:
    config = {"owner": 1, "blocks": [{"block_id": "a", "x": 1}, 5], "tags": [1, "a", None]}
    text = json.dumps(config, indent=1)
    problems = found(tmp_path, text, "a.json")

    assert codes(problems) == ["SW014", "SW010", "SW010", "SW014", "SW011", "SW011", "SW011"]
    assert [(each.code, each.line, each.column) for each in found(tmp_path, text)] == [
        (each.code, each.line, each.column) for each in problems
    ]
    assert sorted(codes(check(config))) == sorted(codes(problems))


# --- What is not wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/workflow.yml")), ids=lambda path: path.parent.name)
def test_the_examples_are_clean(path: Path) -> None:
    assert check(path) == []


def test_the_workflows_of_the_pages_are_clean(tmp_path: Path) -> None:
    seen = 0
    for page in sorted((ROOT / "docs").glob("*.md")):
        for text in re.findall(
            r"^```(?:yaml|json) \S+\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            if "blocks:" in text and page.name != "checks.md":
                seen += 1
                shown = {each.code for each in found(tmp_path, text)}
                assert shown == set(re.findall(r"\bSW\d{3}\b", page.read_text(encoding="utf-8"))) & shown, page.name
    assert seen


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/real-configs is not beside this repository")
def test_real_workflows_have_no_errors_and_two_true_warnings() -> None:
    problems = [each for path in sorted(REAL.iterdir()) for each in check(path)]

    assert {each.code for each in problems if each.severity is Severity.INFO} == {"SW016"}
    assert [(Path(str(each.path)).name, each.code) for each in problems if each.severity is not Severity.INFO] == [
        ("get_workflow_response.json", "SW051"),  # it has an Input block and no other
        ("sentiment_analyzer.yml", "SW035"),  # two leaves
    ]


def test_archetypes_are_compared_carefully() -> None:
    known = specification().archetypes
    for real in ("com.scoutos.http", "com.scoutos.json", "com.scoutos.path", "com.scoutos.stop", "com.scoutos.agent"):
        config = {"blocks": [{"block_id": "a", "block_archetype_id": real, "block_display_name": "A"}]}
        assert real not in known
        assert check(config) == []


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("modle", "model", True),
        ("usr", "user", True),
        ("is_ouput", "is_output", True),
        ("maxTokens", "max_tokens", True),
        ("BLOCKS", "blocks", True),
        ("role", "tool", False),
        ("x", "y", False),
        ("", "a", False),
        ("a" * 10**6, "a", False),
    ],
)
def test_names_that_are_near(name: str, known: str, expected: bool) -> None:
    assert nearest(name, [known]) == (known if expected else None)


def test_what_is_known_of_fields_is_in_the_specification() -> None:
    schemas = SPEC["components"]["schemas"]
    known = schemas["Block"]["properties"]["block_inputs"]

    assert set(CONFIG_FIELDS) == set(schemas["WorkflowConfig"]["properties"])
    for archetype in (*known["x-archetypes"], "com.scoutos.triggers.other", "com.scoutos.inputs"):
        assert specification().takes_inputs(archetype) is takes_inputs(archetype)


# --- What must not crash it ---------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [
            "",
            "a",
            "b",
            "inputs",
            "{{ a }}",
            "{% if",
            "{{ inputs.x | f }}",
            LLM,
            "com.scoutos.input",
            "user",
            "true",
            "-1",
        ]
    )
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *CONFIG_FIELDS,
                    "block_id",
                    "block_archetype_id",
                    "block_inputs",
                    "dependencies",
                    "items",
                    "key",
                    "prompt_items",
                    "role",
                    "ui",
                    "position",
                    "x",
                    "block_config",
                    "type",
                    "workflow_config",
                    "data",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(each for key, inner in items for each in places(inner, (*place, key)))]


GOOD: Any = {
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "I",
            "block_inputs": {"items": [{"key": "x", "input_type": "checkbox"}]},
        },
        {
            "block_id": "a",
            "block_archetype_id": LLM,
            "block_display_name": "A",
            "dependencies": [{"block_id": "inputs"}],
            "block_inputs": {"prompt_items": [{"role": "user", "content": "{{ inputs.x }}"}], "max_tokens": 5},
            "ui": {"position": {"x": 1, "y": 2}},
            "block_config": [{"type": "number", "id": "n", "display_name": "N", "value": 1}],
        },
    ],
    "notes": [{"id": "n", "bgColor": "red"}],
    "placeholders": [{"block_id": "p", "type": "blockPlaceholder"}],
    "tags": ["a"],
}
PLACES = places(GOOD)


def refused(workflow: Any) -> bool:
    try:
        load_workflow(workflow, require_fields=True)
    except WorkflowFileError:
        return True
    return False


@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_json_in_every_place(place: tuple[Any, ...], value: Any) -> None:
    config = json.loads(json.dumps(GOOD))
    owner = config
    for step in place[:-1]:
        owner = owner[step]
    if place:
        owner[place[-1]] = value
    else:
        config = {"workflow_config": value}

    problems = check(config)

    assert check(config) == problems
    if refused(config):
        assert Severity.ERROR in {each.severity for each in problems}


@given(
    text=st.text(alphabet="ab:- \n'\"|{}[]%#&*!>\t?,0\r\ufeff\u2028\x00<", max_size=40)
    | st.text(max_size=20)
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False)),
)
def test_any_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    problems = check(path)

    assert all(each.line is None or (each.line > 0 and (each.column or 0) > 0) for each in problems)
    assert refused(path) <= (Severity.ERROR in {each.severity for each in problems})


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {"SW001"}),
        (b"\x00\x01\x02", {"SW001"}),
        (bytes(range(256)), {"SW001"}),
        ("blocks: []".encode("utf-16"), {"SW001"}),
        (b"\xef\xbb\xbfblocks: []\n", set()),
        (b"blocks: []\r\nx: 1\r\n", {"SW014"}),
        (b"[" * 100_000, {"SW001"}),
        (b"a: " * 5_000, {"SW001"}),
        (b"{" * 3_000 + b"}" * 3_000, {"SW001"}),
        (f"{BOMB}blocks: *i\n".encode(), {"SW001"}),
        (b"blocks: &a\n  - *a\n", {"SW001"}),
        (
            b"x: &x {block_display_name: A}\nblocks:\n  - <<: *x\n    block_id: a\n    block_archetype_id: b\n",
            {"SW014"},
        ),
        (b"--- {}\n--- {}\n", {"SW001"}),
    ],
    ids=range(13),
)
def test_hostile_files(tmp_path: Path, data: bytes, expected: set[str]) -> None:
    path = tmp_path / "hostile.yml"
    path.write_bytes(data)
    assert set(codes(check(path))) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 5000 + "a" + ")" * 5000 + " }}",
        "{{ inputs" + ".b" * 5_000 + "() }}",
        "{{ " + "not " * 20_000 + "a }}",
        "{{ 1" + " + 1" * 5_000 + " }}",
        "{% if a %}" * 2_000,
        "{{ " + "9" * 5_000 + " }}",
        "{{ a }}" * 100_000,
        "{" * 100_000,
        "{{ '" + "x" * 400_000,
        "{{ '\\x' }}{{ \"\\N{nothing}\" }}",
    ],
    ids=range(10),
)
def test_hostile_templates(template: str) -> None:
    config = json.loads(json.dumps(GOOD))
    config["blocks"][1]["block_inputs"]["model"] = template
    assert {each.code for each in check(config)} <= {"SW040", "SW042", "SW050"}


def test_what_the_full_parser_would_read_for_minutes_is_refused(tmp_path: Path) -> None:
    long = "#" * 1_000_000

    (problem,) = found(tmp_path, f"blocks: []\nowner: [flow] {long}\n")

    assert (problem.code, problem.line, problem.severity) == ("SW004", 1, Severity.WARNING)
    assert codes(found(tmp_path, f"blocks: []\nowner: plain {long}\n")) == ["SW014"]
    assert codes(found(tmp_path, f'{{"blocks": [], "owner": ["{long}"]}}')) == ["SW014"]


def test_a_workflow_that_is_loaded_has_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scout.checks._check._MOST_CHARACTERS", 10)
    assert codes(found(tmp_path, "blocks: []\nowner: [flow]")) == ["SW004"]
    assert [(each.code, each.line) for each in check(load_workflow(tmp_path / "workflow.yml"))] == [("SW014", None)]


def test_there_is_an_end_to_templates(tmp_path: Path) -> None:
    simple, other = "{{ inputs.tone }}", "{{ inputs.tone | replace('a', 'b') }}"
    many = "x" * 300_000

    assert found(tmp_path, workflow(settings=f"text: '{simple * 40_000}'")) == []
    settings = f'a: "{many}{other}"\n      b: ▶"{many}{other}"\n      text: "{{{{ nobody }}}}"'
    text, line, column = place_of(workflow(settings=settings))
    (problem,) = found(tmp_path, text)
    assert (problem.code, problem.severity) == ("SW044", Severity.INFO)
    assert (problem.line, problem.column) == (line, column)


def test_shared_parts_are_checked_once(tmp_path: Path) -> None:
    text = "x: &d [{block_id: 1}]\nblocks:\n" + "  - {block_id: a, dependencies: *d}\n" * 500
    problems = found(tmp_path, text)
    assert len([each for each in problems if each.code == "SW011"]) == 1


def test_there_is_an_end_to_problems() -> None:
    config = {"blocks": [{f"no_such_field_{n}": n for n in range(50_000)}]}
    assert len(check(config)) == 1000


def test_a_path_that_cannot_be_read_raises(tmp_path: Path) -> None:
    with pytest.raises(WorkflowFileError, match="cannot be read"):
        check(tmp_path / "none.yml")
    with pytest.raises(WorkflowFileError, match="cannot be read"):
        check(tmp_path)
    with pytest.raises(WorkflowFileError, match="a workflow is a path"):
        check(5)  # type: ignore[arg-type]
