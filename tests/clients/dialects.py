"""A Weir with a target for each language that a target can speak, for the tests of translation: mock and weir are fixtures' bodies."""
import gateway, servers
from gateway import provider

TEXT = "alpha0 бета1 gamma2 δέλτα3 naïve4 水5 🙂6 omega7"
SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
TOOL = {"name": "look_up", "description": "Look a city up.", "input_schema": SCHEMA}
FUNCTION = {"type": "function", "function": {"name": "look_up", "description": "Look a city up.", "parameters": SCHEMA}}
WEATHER = {"name": "weather", "description": "The weather there.", "input_schema": SCHEMA}
# Who answers: a target for each language that one can speak.
TARGETS = ["claude", "gpt", "gemini"]


def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


def weir(mock):
    config = {
        "providers": {"openai": provider(mock.url), "anthropic": provider(mock.url, api="anthropic"),
                      "google": provider(mock.url, api="gemini") | {"url": mock.url + "/v1beta"}},
        "models": {
            "claude": "anthropic/claude-sonnet-4-5",
            "gpt": "openai/gpt-5",
            "gemini": "google/gemini-2.5-flash",
            # LlamaIndex takes names that it knows only.
            "claude-sonnet-4-5": "anthropic/claude-sonnet-4-5",
            "claude-haiku-4-5": "openai/gpt-5",
            "claude-first": {"targets": ["anthropic/fault-503", "openai/gpt-5"]},
            "gpt-first": {"targets": ["openai/fault-role-then-reset", "anthropic/claude-sonnet-4-5"]},
            "gemini-first": {"targets": ["google/fault-reset-before-head", "anthropic/claude-sonnet-4-5"]},
            "patient": {"targets": ["anthropic/fault-429=77"], "deadline": "5s"},
        },
        "prices": {"anthropic/claude-sonnet-4-5": {"input": 3, "output": 15}, "openai/gpt-5": {"input": 1, "output": 10},
                   "google/gemini-2.5-flash": {"input": 0.3, "output": 2.5}},
    }
    with gateway.serve(config) as server:
        yield server
