// The Vercel AI SDK with its OpenAI and Anthropic providers against a server, at targets of both kinds: what it saw, as JSON.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [baseURL, apiKey] = process.argv.slice(2);
const clients = {
  openai: (name) => createOpenAI({ baseURL, apiKey }).chat(name),
  anthropic: (name) => createAnthropic({ baseURL, apiKey })(name),
};
const stopAfter = stepCountIs ?? isStepCount;
const look_up = tool({
  description: "Look a city up.",
  inputSchema: jsonSchema({ type: "object", required: ["city"], properties: { city: { type: "string" } } }),
  execute: async () => "It is there.",
});

const seen = {};
for (const client of ["openai", "anthropic"])
  for (const name of ["claude", "gpt", "gemini"]) {
    const ask = { model: clients[client](name), prompt: "Hello there", maxRetries: 0 };
    const whole = await generateText(ask);
    let stream = "";
    const streamed = streamText({ ...ask, onError: ({ error }) => { throw error; } });
    for await (const piece of streamed.textStream) stream += piece;
    const looped = await generateText({ ...ask, tools: { look_up }, stopWhen: stopAfter(3) });
    seen[`${client} at ${name}`] = {
      whole: whole.text,
      stream,
      steps: looped.steps.length,
      tool: looped.steps[0].toolCalls[0]?.toolName,
      finish: looped.finishReason,
      output: (await streamed.usage).outputTokens,
    };
  }
console.log(JSON.stringify(seen));
