// The official OpenAI client for Node and its Responses API against a server: what it saw, as JSON.
import OpenAI from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const tools = [{ type: "function", name: "look_up", strict: false, parameters: { type: "object", required: ["city"], properties: { city: { type: "string" } } } }];

const whole = await client.responses.create({ model, input: "Hello there" });
let stream = "";
for await (const event of await client.responses.create({ model, input: "Hello there", stream: true }))
  if (event.type === "response.output_text.delta") stream += event.delta;

let response, previous, turns = 0;
for (; turns < 5; turns++) {
  let input = `Look up city ${turns}`;
  for (;;) {
    response = await client.responses.stream({ model, input, previous_response_id: previous, tools }).finalResponse();
    previous = response.id;
    const calls = response.output.filter((item) => item.type === "function_call");
    if (calls.length === 0) break;
    input = calls.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: JSON.stringify(JSON.parse(call.arguments)) }));
  }
}
let status = 0;
try {
  await client.responses.retrieve("resp_0123456789abcdef0123456789abcdef");
} catch (error) {
  status = error.status;
}
console.log(JSON.stringify({ whole: whole.output_text, stream, turns, last: response.output_text, status }));
