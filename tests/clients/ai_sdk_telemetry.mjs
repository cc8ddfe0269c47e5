// The Vercel AI SDK with OpenTelemetry's exporter, in its new names (gen_ai.*) and its old ones (ai.*): the first argument says which.
import {createOpenAI} from "@ai-sdk/openai";
import {LegacyOpenTelemetry, OpenTelemetry} from "@ai-sdk/otel";
import {OTLPTraceExporter} from "@opentelemetry/exporter-trace-otlp-proto";
import {SimpleSpanProcessor, TracerProvider} from "@opentelemetry/sdk-trace";
import {generateText, registerTelemetry} from "ai";

const exporter = new OTLPTraceExporter({url: process.env.WEIR_URL + "/v1/traces", headers: {authorization: "Bearer " + process.env.WEIR_KEY}});
const provider = new TracerProvider({spanProcessors: [new SimpleSpanProcessor({exporter})]});
const Telemetry = process.argv[2] === "legacy" ? LegacyOpenTelemetry : OpenTelemetry;
registerTelemetry(new Telemetry({tracer: provider.getTracer("ai")}));
const openai = createOpenAI({baseURL: process.env.WEIR_URL + "/v1", apiKey: process.env.WEIR_KEY});
await generateText({model: openai.chat("mock/gpt-5-mini"), prompt: "Hello there", telemetry: {functionId: "answer"}});
await provider.forceFlush();
await provider.shutdown();
