// The official OpenAI client for Node against a server: what it saw, as JSON.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there" }];
const tools = [{ type: "function", function: { name: "look_up", parameters: { type: "object", required: ["city"], properties: { city: { type: "string" } } } } }];

const whole = await client.chat.completions.create({ model: "fast", messages });
let stream = "";
for await (const chunk of await client.chat.completions.create({ model: "fast", messages, stream: true }))
  stream += chunk.choices[0].delta.content ?? "";
const called = await client.chat.completions.stream({ model: "fast", messages, tools }).finalChatCompletion();
let status = 0;
try {
  await client.chat.completions.create({ model: "nothing", messages });
} catch (error) {
  status = error.status;
}
const ids = [];
for await (const model of client.models.list()) ids.push(model.id);
console.log(JSON.stringify({
  whole: whole.choices[0].message.content,
  stream,
  tool: called.choices[0].message.tool_calls[0].function.name,
  status,
  models: ids.includes("fast"),
}));
