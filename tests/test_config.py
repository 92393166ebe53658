"""Settings: where they come from, when they are read, what is refused, and that the key never shows."""

import dataclasses
import pickle
import traceback
from typing import Any

import httpx
import pytest

from scout import AsyncScout, ConfigurationError, Environment, Scout
from scout._config import NOT_GIVEN, Config, NotGiven, Secret, is_loopback

KEY = "sk-planted-4711"
HTTPS = "https://scout.example"


def config(**changes: Any) -> Config:
    """The settings of a client, as the constructors make them."""
    key = changes.pop("api_key", KEY)
    return Scout(key, **changes)._config


def refusal(**changes: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config(**changes)
    assert caught.value.run_may_have_started is False
    assert KEY not in str(caught.value)
    return str(caught.value)


def key_of(settings: Config) -> str:
    return settings.secret().reveal()


# --- Argument over variable over default --------------------------------------------------------------------------


@pytest.mark.parametrize("client", [Scout, AsyncScout])
def test_defaults(client: Any) -> None:
    settings = client(KEY)._config

    assert settings == dataclasses.replace(
        settings,
        base_url="https://api.scoutos.com",
        environment=Environment.PRODUCTION,
        timeout=600.0,
        connect_timeout=10.0,
        deadline=None,
        retries=2,
        rate_limit_timeout=120.0,
        at_least_once=False,
        headers={},
        allow_http=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("SCOUT_BASE_URL", "https://other.example/v1/", "base_url", "https://other.example/v1"),
        ("SCOUT_ENVIRONMENT", "staging", "environment", Environment.STAGING),
    ],
)
def test_a_variable_comes_before_the_default(
    variable: str, value: str, name: str, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    assert getattr(config(), name) == expected


@pytest.mark.parametrize(
    ("variable", "value", "name", "given", "expected"),
    [
        ("SCOUT_BASE_URL", "not a url", "base_url", HTTPS, HTTPS),
        ("SCOUT_ENVIRONMENT", "nowhere", "environment", "console", Environment.CONSOLE),
        ("SCOUT_ENVIRONMENT", "staging", "environment", Environment.DEVELOPMENT, Environment.DEVELOPMENT),
        ("SCOUT_ENVIRONMENT", "staging", "environment", None, None),
    ],
)
def test_an_argument_comes_before_the_variable(
    variable: str, value: str, name: str, given: object, expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    assert getattr(config(**{name: given}), name) == expected


def test_the_key_of_the_argument_comes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "sk-from-the-environment")

    assert key_of(config()) == KEY
    assert key_of(config(api_key=None)) == "sk-from-the-environment"


@pytest.mark.parametrize(("variable", "name"), [("SCOUT_BASE_URL", "base_url"), ("SCOUT_ENVIRONMENT", "environment")])
def test_a_variable_that_is_empty_is_not_set(variable: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = getattr(config(), name)
    monkeypatch.setenv(variable, "")

    assert getattr(config(), name) == default


def test_variables_are_read_when_a_client_is_made_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "sk-before")
    monkeypatch.setenv("SCOUT_BASE_URL", "https://before.example")
    monkeypatch.setenv("SCOUT_ENVIRONMENT", "staging")
    client = Scout()

    monkeypatch.setenv("SCOUT_API_KEY", "sk-after")
    monkeypatch.setenv("SCOUT_BASE_URL", "https://after.example")
    monkeypatch.setenv("SCOUT_ENVIRONMENT", "console")
    copied = client.with_options(timeout=1)

    for settings in (client._config, copied._config):
        assert key_of(settings) == "sk-before"
        assert settings.base_url == "https://before.example"
        assert settings.environment is Environment.STAGING
    assert key_of(Scout()._config) == "sk-after"


def test_changes_make_a_copy() -> None:
    original = config(timeout=5)

    changed = original.changed(timeout=None, retries=0, deadline=NOT_GIVEN, environment="console", base_url=HTTPS + "/")

    assert (changed.timeout, changed.retries, changed.deadline) == (None, 0, None)
    assert (changed.environment, changed.base_url) == (Environment.CONSOLE, HTTPS)
    assert (original.timeout, original.retries, original.environment) == (5, 2, Environment.PRODUCTION)


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no option 'timeoot'"):
        config().changed(timeoot=1)


@pytest.mark.parametrize(
    "change", [{"timeout": 0}, {"retries": -1}, {"base_url": "http://h.example"}, {"environment": "x"}]
)
def test_a_change_is_checked_like_an_argument(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        config().changed(**change)


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        config().timeout = 5  # type: ignore[misc]


def test_what_was_left_out_is_one_value_and_survives_pickling() -> None:
    assert repr(NOT_GIVEN) == "NOT_GIVEN"
    assert pickle.loads(pickle.dumps(NOT_GIVEN)) is NOT_GIVEN
    assert list(NotGiven) == [NOT_GIVEN]


# --- The key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "is empty"),
        ("sk planted", "holds a space"),
        ("sk-planted\n", "holds a space, line break"),
        ("sk-\x00planted", "control character"),
        ("sk-planted\x7f", "control character"),
        ("sk-plänted", "outside ASCII"),
        (4711, "not int"),
        (b"sk-planted", "not bytes"),
    ],
)
def test_what_cannot_be_a_key(key: Any, words: str) -> None:
    for source in (key, lambda: key):
        with pytest.raises(ConfigurationError) as caught:
            config(api_key=source).secret()

        assert words in str(caught.value)
        assert "planted" not in str(caught.value)
        assert "4711" not in str(caught.value)


def test_no_key_at_all() -> None:
    message = refusal(api_key=None)

    for words in ("Scout(api_key=...)", "SCOUT_API_KEY", "Scout.local()"):
        assert words in message


def test_a_key_shows_itself_to_nobody() -> None:
    secret = Secret(KEY)
    settings = config(headers={"x": KEY})

    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr(settings)):
        assert KEY not in shown
    with pytest.raises(TypeError):
        vars(secret)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(KEY), protocol)


def test_a_key_of_a_function_is_asked_for_each_time() -> None:
    keys = iter(["sk-first", "sk-second"])
    settings = config(api_key=lambda: next(keys))

    assert [key_of(settings), key_of(settings)] == ["sk-first", "sk-second"]


def test_a_key_function_that_fails_is_the_callers_own_error() -> None:
    def vault() -> str:
        raise KeyError("vault is sealed")

    with pytest.raises(KeyError, match="sealed"):
        config(api_key=vault).secret()


def test_the_header_that_a_key_makes() -> None:
    headers: dict[str, str] = {}

    Secret(KEY).authorize(headers)

    assert headers == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        (f"a {KEY} b {KEY}", "a [redacted] b [redacted]"),
        (f"a {KEY}".encode(), b"a [redacted]"),
        ({KEY: [KEY, 1, None, {"x": (KEY,)}]}, {"[redacted]": ["[redacted]", 1, None, {"x": ("[redacted]",)}]}),
        ("nothing", "nothing"),
        (5, 5),
    ],
)
def test_an_echoed_key_is_cut_out(value: object, cleaned: object) -> None:
    assert Secret(KEY).redact(value) == cleaned


def test_a_placeholder_is_not_cut_out_of_ordinary_words() -> None:
    assert Secret("local").redact("the local Scout") == "the local Scout"


def test_a_value_too_deep_to_be_cleaned_is_not_shown() -> None:
    value: Any = KEY
    for _ in range(5000):
        value = [value]

    assert KEY not in str(Secret(KEY).redact(value))


def test_settings_are_pickled_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config(base_url=HTTPS, timeout=5, environment=None, headers={"a": "b"}, at_least_once=True)

    pickled = pickle.dumps(settings)
    without = pickle.loads(pickled)
    monkeypatch.setenv("SCOUT_API_KEY", "sk-there")
    there = pickle.loads(pickled)

    assert KEY.encode() not in pickled
    assert without.api_key is None
    assert dataclasses.replace(without, api_key=settings.api_key) == settings
    assert key_of(there) == "sk-there"
    with pytest.raises(ConfigurationError, match="there is no API key"):
        without.secret()


# --- The base URL -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://scout.example", "https://scout.example"),
        ("https://scout.example/", "https://scout.example"),
        ("https://scout.example//", "https://scout.example"),
        ("https://scout.example:8443/a/b/", "https://scout.example:8443/a/b"),
        ("HTTPS://Scout.Example", "https://Scout.Example"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://größe.example", "https://größe.example"),
        ("http://localhost", "http://localhost"),
        ("http://LOCALHOST:8787/", "http://LOCALHOST:8787"),
        ("http://scout.localhost:8787", "http://scout.localhost:8787"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:8787/", "http://[::1]:8787"),
    ],
)
def test_base_urls(given: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Scout(KEY, base_url=given).base_url == kept

    monkeypatch.setenv("SCOUT_BASE_URL", given)
    assert Scout(KEY).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://scout.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://[2001:db8::1]",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "HTTP://scout.example",
    ],
)
def test_http_needs_a_word_of_consent(url: str) -> None:
    message = refusal(base_url=url)
    in_lower_case = url.replace("HTTP:", "http:")

    assert in_lower_case in message
    assert "allow_http=True" in message
    assert config(base_url=url, allow_http=True).base_url == in_lower_case


@pytest.mark.parametrize(
    "url",
    ["", "scout.example", "//scout.example", "ftp://scout.example", "https://", "https:///x", "file:///etc/hosts", "x"],
)
def test_what_is_no_url(url: str) -> None:
    assert "it should look like https://api.scoutos.com" in refusal(base_url=url)


@pytest.mark.parametrize("url", ["https://h:99999", "https://h:port", "https://[::1", "https://h:-1"])
def test_what_cannot_be_parsed_as_a_url(url: str) -> None:
    assert refusal(base_url=url) == "base_url is not a URL; it should look like https://api.scoutos.com"


@pytest.mark.parametrize(
    ("url", "right"),
    [
        (f"{HTTPS}/v2", HTTPS),
        (f"{HTTPS}/v2/", HTTPS),
        (f"{HTTPS}/v2/workflows/execute", HTTPS),
        ("https://v2.example/api/v2", "https://v2.example/api"),
        ("http://127.0.0.1:8787/v2", "http://127.0.0.1:8787"),
    ],
)
def test_the_version_does_not_belong_into_a_base_url(url: str, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"base_url is {url.rstrip('/')!r}; leave /v2 away, because each request adds it: {right}"

    assert refusal(base_url=url) == said
    with pytest.raises(ConfigurationError, match="leave /v2 away"):
        Scout(KEY).with_options(base_url=url)
    monkeypatch.setenv("SCOUT_BASE_URL", url)
    with pytest.raises(ConfigurationError, match="leave /v2 away"):
        Scout(KEY)


@pytest.mark.parametrize("url", ["https://v2.example", f"{HTTPS}/v2x", f"{HTTPS}/api/v1"])
def test_a_base_url_without_the_version_is_kept(url: str) -> None:
    assert config(base_url=url).base_url == url


@pytest.mark.parametrize("end", ["?x=1", "/a?x=1", "#top", "/a b", "\t", "/\n", "/\x7f", "?", "/a#"])
def test_what_a_base_url_must_not_hold(end: str) -> None:
    assert "must not hold a query, a fragment or spaces" in refusal(base_url=HTTPS + end)


@pytest.mark.parametrize("url", [5, b"https://scout.example", httpx.URL(HTTPS)])
def test_a_url_is_text(url: Any) -> None:
    assert refusal(base_url=url) == f"base_url must be text, not {type(url).__name__}"


@pytest.mark.parametrize(
    "url",
    [
        "https://user:sesame@scout.example",
        "https://:sesame@scout.example",
        "https://sesame@scout.example",
        "https://user:sesame@scout.example?x=1",
        "http://localhost:sesame@scout.example",
        "ftp://user:sesame@scout.example",
        "https://user:12#sesame@scout.example",
        "https://user:12?sesame@scout.example",
        "user:sesame@scout.example",
        "//user:sesame@scout.example",
    ],
)
def test_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Scout(KEY, base_url=url)

    assert "sesame" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["https://xn--a.com", "https://\u00ad", "https://a\u00a0b.example", "https://[v1.x]"])
def test_a_host_that_cannot_be_is_known_before_anything_is_sent(url: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200))

    with pytest.raises(ConfigurationError):
        Scout(KEY, base_url=url, transport=transport).execute({"blocks": []})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("a.b.localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("128.0.0.1", False),
        ("::2", False),
        ("0.0.0.0", False),
        ("2130706433", False),
        ("", False),
    ],
)
def test_which_hosts_are_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


# --- Everything else that cannot work -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "deadline"])
@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "must be more than 0 seconds (None for no limit), not 0"),
        (-0.5, "must be more than 0 seconds (None for no limit), not -0.5"),
        (float("nan"), "must be more than 0 seconds (None for no limit), not nan"),
        (float("inf"), "must be more than 0 seconds (None for no limit), not inf"),
        ("5", "must be a number of seconds or None, not '5'"),
        (True, "must be a number of seconds or None, not True"),
        ([5], "must be a number of seconds or None, not [5]"),
    ],
)
def test_what_is_no_length_of_time(name: str, seconds: Any, words: str) -> None:
    assert refusal(**{name: seconds}) == f"{name} {words}"


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "5", True])
def test_what_is_no_time_for_the_rate_limit(seconds: Any) -> None:
    """0 is one: then no 429 is waited for."""
    words = "0 seconds or more (None for no limit)" if type(seconds) in (int, float) else "a number of seconds or None"
    assert refusal(rate_limit_timeout=seconds) == f"rate_limit_timeout must be {words}, not {seconds!r}"
    changed = config().changed(rate_limit_timeout=0)
    assert (changed.rate_limit_timeout, changed.changed(rate_limit_timeout=None).rate_limit_timeout) == (0, None)


def test_a_time_longer_than_a_float_can_say() -> None:
    assert "timeout must be" in refusal(timeout=10**400)


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "deadline"])
@pytest.mark.parametrize("seconds", [None, 1, 0.001, 10**6])
def test_what_is_a_length_of_time(name: str, seconds: float | None) -> None:
    assert getattr(config(**{name: seconds}), name) == seconds


@pytest.mark.parametrize("retries", [-1, 1.0, "2", None, True])
def test_what_is_no_number_of_retries(retries: Any) -> None:
    assert refusal(retries=retries) == f"retries must be a whole number, 0 or more, not {retries!r}"


@pytest.mark.parametrize("environment", ["prod", "Staging", "", 5, ["staging"], b"staging"])
def test_what_is_no_environment(environment: Any) -> None:
    message = refusal(environment=environment)

    assert message.startswith(f"environment is {environment!r}, which is none of production, staging,")
    assert "extra_query=" in message


def test_an_unknown_environment_in_the_variable_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_ENVIRONMENT", "prod")

    assert refusal().startswith("SCOUT_ENVIRONMENT is 'prod', which is none of")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("a", "b")], "headers must be a mapping of names to texts, not list"),
        ({"a": 5}, "headers: names and values must be text; see 'a'"),
        ({5: "a"}, "headers: names and values must be text; see 5"),
        ({"a": None}, "headers: names and values must be text; see 'a'"),
        ({"AUTHORIZATION": KEY}, "headers: the key belongs into api_key=, not into an Authorization header"),
        ({"a b": "c"}, "headers: 'a b' cannot be the name of a header"),
        ({"": "c"}, "headers: '' cannot be the name of a header"),
        ({"ä": "c"}, "headers: 'ä' cannot be the name of a header"),
        ({"a": f"{KEY}\r\nx: y"}, "headers: the value of 'a' holds characters that a header cannot carry"),
        ({"a": f"{KEY}\0"}, "headers: the value of 'a' holds characters that a header cannot carry"),
        ({"a": f"é{KEY}"}, "headers: the value of 'a' holds characters that a header cannot carry"),
    ],
)
def test_headers_that_cannot_be_sent(headers: Any, message: str) -> None:
    assert refusal(headers=headers) == message


@pytest.mark.parametrize("value", [" b", "b ", "\tb"])
def test_a_header_with_blanks_around_its_value(value: str) -> None:
    assert "'a'" in refusal(headers={"a": value})


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_a_header_that_frames_the_body_is_not_the_callers(name: str) -> None:
    assert name in refusal(headers={name: "5"})


@pytest.mark.parametrize("headers", [{}, {"X-Trace": "a b; c=d"}, {"x": ""}, None])
def test_headers_that_can_be_sent(headers: Any) -> None:
    assert config(headers=headers).headers == {name.lower(): value for name, value in (headers or {}).items()}
