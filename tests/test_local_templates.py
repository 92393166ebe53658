"""Templates of the local Scout: what they can say, how they fail, and that a hostile one harms nobody."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scout.local.renderer import Renderer, TimeBudget
from scout.local.templates import TemplateFailedError, are_harmless, render_all

STATE = {
    "inputs": {"name": "Ada", "items": ["a", "b"], "nothing": None},
    "text": {"output": "hello"},
    "facts": {"output": {"title": "T", "list": [1, 2]}, "note": "n"},
}
FOREVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
NEEDS_A_PROCESS = "{{ text|upper }}"


async def render(
    renderer: Renderer, *sources: str, most: int = 1000, time_budget: TimeBudget | None = None
) -> list[str]:
    return await renderer.render(
        sources, STATE, block_ids={"later", *STATE}, most=most, time_budget=time_budget or renderer.time_budget()
    )


@contextlib.contextmanager
def closing(renderer: Renderer) -> Any:
    try:
        yield renderer
    finally:
        renderer.close()


def new_renderer() -> Renderer:
    return Renderer({"TOKEN": "secret_of_mine", "items": "a variable"})


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    """The tests take turns, so the processes of one renderer are enough for all of them."""
    with closing(new_renderer()) as renderer:
        yield renderer


@pytest.fixture
def own_renderer() -> Iterator[Renderer]:
    """For tests that look at its processes."""
    with closing(new_renderer()) as renderer:
        yield renderer


@pytest.fixture
def impatient() -> Iterator[Renderer]:
    with closing(Renderer(seconds=0.5)) as renderer:
        yield renderer


# --- What templates can say ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hi {{inputs.name}}!\n", "Hi Ada!\n"),
        ("{{ inputs['name'] }} {{- inputs.name -}} .", "AdaAda."),
        ("{{text}} {{ text.output }}", "hello hello"),
        ("{{facts.output.title}} {{facts.title}} {{facts.note}} {{facts['title']}}", "T T n T"),
        ("{{facts.output.list[1]}}{{facts.list.0}}", "21"),
        ("{{inputs.items.0}}", "a"),
        ("{{inputs.nothing}}|", "|"),
        ("{{ text|upper }}", "HELLO"),
        ("{% for item in inputs['items'] %}{{ loop.index }}{{ item }}{% endfor %}", "1a2b"),
        ("{% if tone is defined %}x{% else %}y{% endif %}{# gone #}", "y"),
        ("{{ tone|default('calm') }}", "calm"),
        ("{{ facts.output | tojson }}", '{"list": [1, 2], "title": "T"}'),
        ("{{ text ~ '!' }} {{ 2 * 3 }}", "hello! 6"),
        ("no template } { % here", "no template } { % here"),
        ("{{ datetime(2024, 2, 28).strftime('%d.%m.%Y') }}", "28.02.2024"),
        ("{{ datetime(2024, 7, 1, 12, tzinfo=timezone.utc).isoformat() }}", "2024-07-01T12:00:00+00:00"),
        (
            "{{ datetime(2024, 7, 1, 12, tzinfo=timezone.utc).astimezone(ZoneInfo('America/New_York')).hour }}",
            "8",
        ),
        ("{{ datetime.fromisoformat('2024-03-01').date() - datetime(2024, 2, 1).date() }}", "29 days, 0:00:00"),
        (
            "{{ datetime.now().replace(tzinfo=timezone.utc) - datetime.now(timezone.utc) < datetime.resolution }}",
            "True",
        ),
        ("{{ _env.TOKEN }} {{ _env['TOKEN'] }} {{ _env.items }}", "secret_of_mine secret_of_mine a variable"),
        ("{{ _env.OTHER|default('none') }} {{ _env.OTHER is defined }}", "none False"),
    ],
)
@pytest.mark.packaging  # templates in a process of their own
async def test_forms(template: str, text: str, renderer: Renderer) -> None:
    assert await render(renderer, template) == [text]


async def test_templates_are_rendered_together_and_stay_in_order(renderer: Renderer) -> None:
    assert await render(renderer, "{{text}}", "plain", NEEDS_A_PROCESS, "", "{{inputs.name}}") == [
        *("hello", "plain", "HELLO", "", "Ada")
    ]


async def test_a_block_named_like_a_function_wins(renderer: Renderer) -> None:
    state = {"datetime": {"output": "noon"}}
    texts = await renderer.render(
        ["{{ datetime }}{{ datetime|upper }}"],
        state,
        block_ids=state.keys(),
        most=99,
        time_budget=renderer.time_budget(),
    )

    assert texts == ["noonNOON"]


async def test_the_variables_of_this_process_are_nobodys_business(
    own_renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "secret_planted")
    assert await render(own_renderer, "{{ _env.PLANTED is defined }} {{ _env|length }}") == ["False 2"]

    (process,) = own_renderer._idle
    assert process._child is not None
    try:
        environ = await asyncio.to_thread(Path(f"/proc/{process._child.pid}/environ").read_bytes)
    except FileNotFoundError:
        pytest.skip("there is no /proc here")
    assert environ == b""


# --- How they fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "message", "line"),
    [
        ("a\n{{tone}}", '"tone" is not defined', 2),
        ("{{inputs.tone}}", '"tone" is not in "inputs", which has: name, items, nothing', 1),
        ("{{facts.output.tone}}", '"tone" is not in a value of type dict', 1),
        ("\n{{text.output.title}}", '"title" is a method', 2),
        ("{{text.title.first}}", '"title" is not in "text"', 1),
        ("\n\n{{ tone|upper }}", '"tone" is not defined', 3),
        ("{{ later.output }}", '"later" has not run before this block', 1),
        ("{{", "unexpected", 1),
        ("{% if x %}", "endif", 1),
        ("{{ 1 // 0 }}", "ZeroDivisionError", 1),
        ("{{ text.output.nope() }}", '"nope" is not in a value of type str', 1),
        ("\n{{ datetime }}", '"datetime" is a method here, not a value', 2),
        ("{{ ZoneInfo('Mars/Olympus') }}", "Mars/Olympus", 1),
        ("{{ timedelta(days=1) }}", '"timedelta" is not defined', 1),
        ("{{ _env.SMTP }}", '"SMTP" has no value in "_env": give it one with LocalScout(env={"SMTP": "..."})', 1),
        ("\n{{ _env.SMTP|upper }}", "--env-file", 2),
    ],
)
async def test_failures_name_what_is_missing_and_the_line(
    template: str, message: str, line: int, renderer: Renderer
) -> None:
    with pytest.raises(TemplateFailedError) as caught:
        await render(renderer, "{{text}}", template)

    assert message in caught.value.message
    assert (caught.value.index, caught.value.line) == (1, line)
    assert "secret_of_mine" not in caught.value.message


async def test_without_variables_the_message_is_the_same(impatient: Renderer) -> None:
    with pytest.raises(TemplateFailedError, match='"X" has no value in "_env"'):
        await render(impatient, "{{ _env.X }}")


async def test_a_message_is_never_endless(renderer: Renderer) -> None:
    for template in ("{{ inputs['x' * 10000000] }}", "{{ " + "x" * 40_000 + " }}"):
        with pytest.raises(TemplateFailedError) as caught:
            await render(renderer, template)
        assert len(caught.value.message) < 2000


async def test_the_length_of_the_texts_is_limited_together(renderer: Renderer) -> None:
    assert await render(renderer, "{{text}}", "hello", most=10) == ["hello", "hello"]
    for sources in (["{{text}}{{text}}"], ["hello", "{{text}}"], ["{{text}}", "hello"], [NEEDS_A_PROCESS, "hello"]):
        with pytest.raises(TemplateFailedError, match="longer than"):
            await render(renderer, *sources, most=9)


# --- Hostile ones --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ inputs.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ inputs['__class__'] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ '{0.__class__}'.format(text) }}",
        "{{ '{a.__class__}'.format_map({'a': text}) }}",
        "{{ ('{0.__class__}' | format)(text) }}",
        "{{ ''.format.__func__ }}",
        "{% set f = '{0.__class__.__mro__}'.format %}{{ f(text) }}",
        "{{ ('{0.__class__}'|attr('format'))(text) }}",
        "{{ ['{0.__class__}']|map('attr', 'format')|first()(text) }}",
        "{{ inputs | attr('__class__') }}",
        "{{ [inputs] | map(attribute='__class__') | first }}",
        "{% include 'etc' %}",
        "{% set _ = inputs.update({'a': 1}) %}",
        "{{ _env.__class__ }}",
        "{{ _env.update({'TOKEN': 'x'}) }}",
        "{{ datetime.__subclasses__() }}",
        "{{ datetime.now.__self__ }}",
        "{{ datetime.now().__reduce__() }}",
        "{{ datetime.now().__class__.__base__ }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(ZoneInfo('UTC')) }}",
        "{{ ZoneInfo('../../etc/passwd') }}",
        "{{ ZoneInfo('/etc/passwd') }}",
        "{{ ZoneInfo.from_file(text) }}",
        "{{ ZoneInfo._unpickle('UTC', 1) }}",
        "{{ timezone.utc.__getinitargs__() }}",
        "{{ datetime.strptime.__globals__ }}",
    ],
)
async def test_the_sandbox_holds(template: str, renderer: Renderer) -> None:
    with pytest.raises(TemplateFailedError):
        await render(renderer, template)


async def test_one_template_leaves_nothing_to_the_next(renderer: Renderer) -> None:
    await render(renderer, "{% set datetime = 1 %}{% set x = 2 %}{{ x }}{{ _env|length }}")

    assert await render(renderer, "{{ x is defined }} {{ datetime(1, 2, 3).day }} {{ _env|length }}") == ["False 3 2"]


@pytest.mark.parametrize(
    "sources",
    [
        ["{{a}}"],
        ["x {{ a.b[0]['c d'].e }} y"],
        ["{{-a-}}"],
        ["{{ a }}{{ b }}", "{{ c }}"],
        ["plain { } text"],
        ["{{ größe.maß }}"],
        ["{{ a }} " + "A sentence. " * 2_000],
        ["{{ _env.TOKEN }}"],
        ["plain " * 100_000],
    ],
)
def test_lookups_are_harmless(sources: list[str]) -> None:
    assert are_harmless(sources)


@pytest.mark.parametrize(
    "sources",
    [
        ["{{ a() }}"],
        ["{{ a|b }}"],
        ["{{ a + b }}"],
        ["{{ 9**9 }}"],
        ["{{ a['b' ~ 'c'] }}"],
        ["{% for x in y %}{% endfor %}"],
        ["{# c #}"],
        ["{{ a }}{{ b"],
        ["{{ a[b] }}"],
        ["{{ a" + ".b" * 40_000 + " }}"],
        ["{{ a" + ".b" * 30 + "[1]" * 30 + " }}"],
        ["{{a}}" * 1000],
        ["{{a}}"] * 1000,
        ["{{ " + "a" * 30_000 + " }}"] * 3,
        ["{{a}}", "{{ a() }}"],
    ],
    ids=range(15),
)
def test_everything_else_is_not(sources: list[str]) -> None:
    assert not are_harmless(sources)


def test_the_check_itself_takes_linear_time() -> None:
    began = time.process_time()
    for piece in ("{{ ", "{{a.", "{{a" + " " * 50, "{", "{{a['", "{{a[1]"):
        are_harmless([(piece * 64_000)[:64_000]])
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "template",
    [
        FOREVER,
        "{{ 9 ** (9 ** 9) }}",
        "{{ 'x' * 9999999999 }}",
        "{{ 'a' * 10 ** 12 }}",
        "{{ [0] * 10 ** 12 }}",
        "{{ range(10 ** 9)|list }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
        "{{ 'x'.ljust(9999999999) }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '%9999999999d'|format(1) }}",
        "{{ '{:{}}'.format(1, 9999999999) }}",
        "{{ 1|round(999999999, 'floor') }}",
        "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{{ " + "(" * 500 + ")" * 500 + " }}",
        "{{ " + "-" * 5000 + "1 }}",
        "{% if x %}" * 5000,
        "{{ x }}" * 1_000_000,
        "{{ datetime.now().strftime('%Y' * 10 ** 9) }}",
        "{{ datetime.max + (datetime.max - datetime.min) }}",
        "{{ datetime.strptime('x' * 10 ** 7, '%f' * 10 ** 6) }}",
        "{{ ZoneInfo('x' * 10 ** 9) }}",
        "{{ inputs|xmlattr|center(10 ** 12) }}",
        "{{ ('a ' * 10 ** 6)|wordwrap(1)|urlize|indent(10 ** 6) }}",
    ],
    ids=range(27),
)
async def test_hostile_templates_end_and_leave_the_loop_free(template: str, renderer: Renderer) -> None:
    longest_pause = 0.0

    async def watch() -> None:
        nonlocal longest_pause
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            longest_pause = max(longest_pause, time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    with pytest.raises(TemplateFailedError):
        # Each of those that have no end takes all the time that it is given.
        await render(renderer, template, most=100_000, time_budget=TimeBudget(0.2))
    watching.cancel()

    assert time.perf_counter() - began < 5
    assert longest_pause < 1
    assert await render(renderer, NEEDS_A_PROCESS) == ["HELLO"]


async def test_the_template_that_took_too_long_is_known(impatient: Renderer) -> None:
    with pytest.raises(TemplateFailedError, match=r"it took longer than 0\.5 seconds") as caught:
        await render(impatient, "{{text}}", NEEDS_A_PROCESS, FOREVER, "{{text}}")

    assert caught.value.index == 2


async def test_the_last_answer_counts_when_it_comes_at_the_limit(
    impatient: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await render(impatient, NEEDS_A_PROCESS)
    (process,) = impatient._idle
    exchange = process._exchange

    def late(*arguments: Any) -> None:
        exchange(*arguments)
        time.sleep(1)  # the answers are there, and the thread is not back

    monkeypatch.setattr(process, "_exchange", late)
    assert await render(impatient, NEEDS_A_PROCESS) == ["HELLO"]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no signal stops a process here")
async def test_without_a_word_about_it_the_limit_is_five_seconds(own_renderer: Renderer) -> None:
    await render(own_renderer, NEEDS_A_PROCESS)
    (process,) = own_renderer._idle
    assert process._child is not None
    process._child.send_signal(signal.SIGSTOP)  # as endless as a loop, without its CPU time

    with pytest.raises(TemplateFailedError, match="it took longer than 5 seconds"):
        await render(own_renderer, NEEDS_A_PROCESS)


async def test_many_templates_of_a_block_have_the_time_of_one(impatient: Renderer) -> None:
    slow = "{% for a in range(400) %}{% for b in range(1000) %}{% endfor %}{% endfor %}"
    began = time.perf_counter()
    with pytest.raises(TemplateFailedError, match=r"took longer than 0\.5 seconds"):
        await render(impatient, *[slow] * 1000)

    assert time.perf_counter() - began < 4


async def test_all_templates_of_a_run_have_a_limit_too(impatient: Renderer) -> None:
    time_budget = TimeBudget(0.7)
    for message in ("longer than 0.5 seconds", "longer than 0.", "of this run took longer than 0.7 seconds"):
        with pytest.raises(TemplateFailedError, match=message):
            await render(impatient, FOREVER, time_budget=time_budget)

    with pytest.raises(TemplateFailedError, match="of this run"):
        await render(impatient, "{{text}}", time_budget=time_budget)
    # What is no template goes on, and so do other runs.
    assert await render(impatient, "text", time_budget=time_budget) == ["text"]
    assert await render(impatient, NEEDS_A_PROCESS) == ["HELLO"]


@pytest.mark.timing
async def test_a_run_has_one_process_at_a_time(impatient: Renderer) -> None:
    time_budget = impatient.time_budget()
    hostile = [asyncio.create_task(render(impatient, FOREVER, time_budget=time_budget)) for _ in range(20)]
    await asyncio.sleep(0.3)
    began = time.perf_counter()

    assert await render(impatient, NEEDS_A_PROCESS) == ["HELLO"]
    assert time.perf_counter() - began < 1
    assert len(impatient._all) <= 2
    for task in hostile:
        task.cancel()
    await asyncio.wait(hostile)


async def test_more_hostile_runs_than_processes(impatient: Renderer) -> None:
    hostile = [asyncio.create_task(render(impatient, FOREVER)) for _ in range(5)]

    assert await render(impatient, "{{ text }}") == ["hello"]
    problems = await asyncio.gather(*hostile, return_exceptions=True)
    assert [problem.message for problem in problems if isinstance(problem, TemplateFailedError)] == [
        "it took longer than 0.5 seconds"
    ] * 5


async def test_waiting_for_a_process_costs_a_run_nothing(impatient: Renderer) -> None:
    hostile = [asyncio.create_task(render(impatient, FOREVER)) for _ in range(4)]
    await asyncio.sleep(0)
    time_budget = TimeBudget(0.6)  # of which the others keep it waiting for 0.5

    assert await render(impatient, NEEDS_A_PROCESS, time_budget=time_budget) == ["HELLO"]
    assert time_budget.left > 0.2
    await asyncio.gather(*hostile, return_exceptions=True)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_process_stays_small(own_renderer: Renderer) -> None:
    with pytest.raises(TemplateFailedError, match=r"memory|longer"):
        await render(own_renderer, "{% set x = 'x' * 300000000 %}{% set y = x ~ x %}{{ y|length }}", most=10)
    await render(own_renderer, NEEDS_A_PROCESS)

    (process,) = own_renderer._idle
    assert process._child is not None
    status = await asyncio.to_thread(Path(f"/proc/{process._child.pid}/status").read_text)
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak"))
    assert peak <= 512 * 1024


async def test_a_cancelled_template_is_ended(own_renderer: Renderer) -> None:
    task = asyncio.create_task(render(own_renderer, FOREVER))
    await asyncio.sleep(0.3)
    (process,) = own_renderer._all
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    process.join(2)

    assert process._child is not None
    assert process._child.returncode is not None


@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="there are no groups of processes here")
async def test_ctrl_c_on_a_terminal_is_not_for_the_process(own_renderer: Renderer) -> None:
    await render(own_renderer, NEEDS_A_PROCESS)
    (process,) = own_renderer._idle
    assert process._child is not None

    assert os.getpgid(process._child.pid) != os.getpgid(0)


async def test_a_process_that_dies_is_an_error_and_replaced(own_renderer: Renderer) -> None:
    await render(own_renderer, NEEDS_A_PROCESS)
    (process,) = own_renderer._idle
    assert process._child is not None
    process._child.kill()

    with pytest.raises(TemplateFailedError, match="died"):
        await render(own_renderer, NEEDS_A_PROCESS)
    assert await render(own_renderer, NEEDS_A_PROCESS) == ["HELLO"]


def test_rendering_without_a_process() -> None:
    texts = render_all(["{{ text }}", "{{ tone }}"], STATE, most=9)

    assert next(texts) == "hello"
    with pytest.raises(TemplateFailedError) as caught:
        next(texts)
    assert caught.value.index == 1


@pytest.mark.packaging  # the module that this process runs
def test_a_limit_that_the_system_sets_is_not_raised() -> None:
    pytest.importorskip("resource", reason="Windows has no such limits")
    program = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))
from scout.local import template_process
template_process._limit_cpu(5)
soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
print(soft < 60, hard)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "True 1000\n"
