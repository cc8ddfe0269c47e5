"""A pytest plugin (-p package_suites) that runs the openai and anthropic packages' own API tests, as they are, against a Weir: with the clients
that their conftest.py makes (which wants more packages for the other tests). TEST_API_BASE_URL, WEIR_TEST_PACKAGE and WEIR_TEST_KEY say which and where.

EXCLUDED says what cannot pass, and why. Such a test must fail, in its first form (synchronous, loose); its other forms are left out."""
import os, re

import pytest
from pytest_asyncio import is_async_test

URL = os.environ.get("TEST_API_BASE_URL", "")
PACKAGE = os.environ.get("WEIR_TEST_PACKAGE", "openai")
KEY = os.environ.get("WEIR_TEST_KEY", "")
CLIENTS = {"openai": ("OpenAI", "AsyncOpenAI"), "anthropic": ("Anthropic", "AsyncAnthropic")}[PACKAGE]

SERVED = {
    "openai": ["chat/test_completions.py", "test_completions.py", "test_embeddings.py", "test_models.py", "test_responses.py", "responses"],
    "anthropic": ["test_messages.py", "test_models.py", "beta/test_messages.py", "beta/test_models.py"],
}
NOT_MADE = "it reads a response that was never made, and 404 is right; test_responses.py does the same with one that was"
EXCLUDED = {
    "openai": {
        r"chat/test_completions.py.*(_retrieve|_update|_list|_delete)": "chat completions are not kept under /v1/chat/completions: /api/v1/calls has them",
        r"test_models.py.*_delete": "models are not deleted by clients",
        r"test_embeddings.py.*\[strict|test_embeddings.py.*aiohttp": "a strict client refuses the base64 that the package itself asks for",
        r"test_responses.py.*_create_overload": "it names no model, which only OpenAI's stored prompts can do without",
        r"test_responses.py.*create_with_all_params": "it continues a response that was never made, in a conversation and with a prompt of OpenAI's",
        r"test_responses.py.*(_retrieve|_delete)": NOT_MADE,
        r"test_responses.py.*_cancel": "nothing is made in the background, so nothing can be cancelled",
        r"test_responses.py.*_compact": "/v1/responses/compact is not offered",
        r"test_input_items.py.*_list": NOT_MADE,
        r"test_input_tokens.py": "/v1/responses/input_tokens is not offered",
    },
    "anthropic": {},
}[PACKAGE]


def reason_to_exclude(item):
    if "test_path_params" in item.nodeid:
        return None  # an empty id, which the package itself refuses
    return next((why for pattern, why in EXCLUDED.items() if re.search(pattern, item.nodeid)), None)


def pytest_collection_modifyitems(config, items):
    left_out = []
    for item in items:
        if is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
        why = reason_to_exclude(item)
        if why and ("Async" in item.nodeid or "[loose]" not in item.nodeid):
            left_out.append(item)
        elif why:
            item.add_marker(pytest.mark.xfail(reason=why, strict=True))
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def options_of(request):
    """How a test wants its client: True or False (strict), or {"strict": …, "http_client": "aiohttp"}."""
    param = getattr(request, "param", True)
    return param if isinstance(param, dict) else {"strict": param}


@pytest.fixture(scope="session")
def client(request):
    make = getattr(__import__(PACKAGE), CLIENTS[0])
    with make(base_url=URL, api_key=KEY, max_retries=0, _strict_response_validation=options_of(request)["strict"]) as made:
        yield made


@pytest.fixture(scope="session")
async def async_client(request):
    package = __import__(PACKAGE)
    options = options_of(request)
    transport = package.DefaultAioHttpClient() if options.get("http_client") == "aiohttp" else None
    async with getattr(package, CLIENTS[1])(base_url=URL, api_key=KEY, max_retries=0, http_client=transport,
                                            _strict_response_validation=options.get("strict", True)) as made:
        yield made
