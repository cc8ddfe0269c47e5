// The official Anthropic client for Node against a server, at a target of its own kind and at another: what it saw, as JSON.
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there" }];
const tools = [{ name: "look_up", input_schema: { type: "object", required: ["city"], properties: { city: { type: "string" } } } }];
const text = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");

const seen = {};
for (const model of ["claude", "gpt", "gemini"]) {
  const whole = await client.messages.create({ model, max_tokens: 100, messages });
  const stream = await client.messages.stream({ model, max_tokens: 100, messages }).finalMessage();
  const called = await client.messages.stream({ model, max_tokens: 100, messages, tools }).finalMessage();
  let status = 0;
  try {
    await client.messages.create({ model: "nothing", max_tokens: 100, messages });
  } catch (error) {
    status = error.status;
  }
  seen[model] = {
    whole: text(whole),
    stream: text(stream),
    tool: called.content.find((b) => b.type === "tool_use").name,
    status,
    stop: stream.stop_reason,
    output: stream.usage.output_tokens,
  };
}
console.log(JSON.stringify(seen));
