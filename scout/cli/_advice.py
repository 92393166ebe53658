"""The messages of the package in terms of the command line: options instead of arguments in Python."""

from __future__ import annotations

import re

# Whole phrases, so that the words of a server or of a file are not changed.
_PHRASES = (
    (r" \(None for no limit\)", ""),
    (r"(for|within) (\S+ s) \((timeout|deadline)\)", r"\1 \2 (--\3)"),
    (r"(within \S+ s) \(connect_timeout\)", r"\1"),
    (r" \(max_event_bytes\)", ""),
    (r"\(api_key= or SCOUT_API_KEY\)", "(SCOUT_API_KEY)"),
    (r"pass Scout\(api_key=\.\.\.\) or set SCOUT_API_KEY", "set SCOUT_API_KEY"),
    (r"Scout\.local\(\) runs workflows on this machine", "scout run --local runs workflows on this machine"),
    (r"check base_url \(SCOUT_BASE_URL\)", "check --base-url (SCOUT_BASE_URL)"),
    (r"pass its address as base_url", "give its address as --base-url"),
    (r"pass allow_http=True if", "give --allow-http if"),
    (r"; to send another value all the same, pass environment=None and extra_query=\{'environment': \.\.\.\}", ""),
    (r" \(the whole is in \.body\)", ""),
    (r", because an event could not be read; \.run has what is known", ", because an event could not be read"),
    (r"exists already; pass overwrite=True to replace it", "exists already; --overwrite replaces it"),
    (r"exists already; overwrite=True replaces it", "exists already; --record writes a new file"),
    (r" \(start_at=", " (--start-at "),
    (r"use scout\.workflows\.execute, or `scout workflows run`", "use `scout workflows run`"),
    (r"pass key=, or put workflow_key", "give --key, or put workflow_key"),
    (r"; a workflow without one gets revisions by create_revision\(id=\.\.\.\)", ""),
    (r"(this was to find what is stored under .*), without force=True", r"\1, without --force"),
    (r"wants a key \(llm_api_key, --llm-api-key-env\)", "wants a key (--llm-api-key-env)"),
    (
        r"llm_api_key is for the server that llm_base_url names; give both",
        "--llm-api-key-env is for the server that --llm-base-url names; give both",
    ),
    (
        r"Give it a function: LocalScout\(blocks=.*?\), or an output: (.*), for LocalScout\(.*?\) or --stubs \S+",
        r"Give it an output: \1 beside the workflow, or in the file of --stubs",
    ),
    (r'LocalScout\(env=\{.*?: "\.\.\."\}\) or in the file of --env-file', "the file of --env-file"),
    (
        r'unknown="rerun" sends it again, unknown="skip" leaves it',
        "--unknown rerun sends it again, --unknown skip leaves it",
    ),
    (r'workflows\[(".*?")\] (is no config|does not fit into JSON)', r"the workflow \1 \2"),
)

# The arguments that an error can begin with, as far as they are not options of the same name.
_NAMES = {
    "base_url": "--base-url (SCOUT_BASE_URL)",
    "id": "WORKFLOW",
    "workflow_id": "WORKFLOW",
    "run_id": "RUN",
    "api_key": "the key that --api-key-env names",
    "llm_api_key": "the key that --llm-api-key-env names",
}
_OPTIONS = (
    *(
        "timeout",
        "deadline",
        "retries",
        "rate_limit_timeout",
        "environment",
        "session_id",
        "revision_id",
        "workflow_key",
        "key",
    ),
    *("concurrency", "rate", "stop_after_failures", "journal"),
    *("since", "until", "status", "within", "resolve"),
    *("query", "tags", "sort", "direction", "limit", "start_at", "port", "store", "stubs", "llm_base_url"),
    "token_delay",
)
_FIRST_NAME = re.compile(rf"({'|'.join((*_NAMES, *_OPTIONS))})(?=:| must| is)")


def in_options(message: str) -> str:
    """Return a message with options instead of arguments in what it advises."""
    for pattern, replacement in _PHRASES:
        message = re.sub(pattern, replacement, message)
    return message


def about_option(message: str) -> str:
    """Return the message of a `ConfigurationError`, which may begin with the name of an argument, about the option."""
    found = _FIRST_NAME.match(message)
    if found is None:
        return message
    option = _NAMES.get(found[1]) or f"--{found[1].replace('_', '-')}"
    return option + message[found.end() :]
