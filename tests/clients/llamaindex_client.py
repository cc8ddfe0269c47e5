"""LlamaIndex's models for OpenAI's and Anthropic's APIs against a server, at targets of both kinds: what they saw, as JSON."""
import json, sys

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai_like import OpenAILike

url, key = sys.argv[1:]


def look_up(city: str) -> str:
    """Look a city up."""
    return city


def clients(model):
    yield "openai", OpenAILike(model=model, api_base=url + "/v1", api_key=key, is_chat_model=True, is_function_calling_model=True,
                               max_retries=0, context_window=8000)
    yield "anthropic", Anthropic(model=model, base_url=url, api_key=key, max_retries=0, max_tokens=100)


seen = {}
for target in "claude-sonnet-4-5", "claude-haiku-4-5":
    for client, llm in clients(target):
        say = [ChatMessage(role="system", content="Be kind."), ChatMessage(role="user", content="Hello there")]
        called = llm.chat_with_tools([FunctionTool.from_defaults(look_up)], user_msg="Look Paris up")
        seen[f"{client} at {target}"] = {
            "whole": llm.chat(say).message.content,
            "stream": "".join(piece.delta or "" for piece in llm.stream_chat(say)),
            "tool": llm.get_tool_calls_from_response(called)[0].tool_name,
        }
print(json.dumps(seen))
