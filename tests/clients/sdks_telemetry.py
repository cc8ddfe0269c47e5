"""A program that is observed by DIALECT (opentelemetry, openinference, openllmetry, langfuse), unmodified: it asks the model at
OPENAI_BASE_URL, its spans go to WEIR_URL. It prints what it asked as one line of JSON."""
import json, os, sys

import openai

dialect = sys.argv[1]
weir, key = os.environ["WEIR_URL"], os.environ["WEIR_KEY"]
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def provider():
    """OpenTelemetry's SDK with its exporter, as its documentation sets it up."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    made = TracerProvider(resource=Resource.create({"service.name": f"app-{dialect}"}))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=weir + "/v1/traces", headers={"authorization": f"Bearer {key}"})))
    trace.set_tracer_provider(made)
    return made


def ask(client=None):
    client = client or openai.OpenAI()
    client.chat.completions.create(model="mock/gpt-5-mini", messages=[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello there"}])
    for _ in client.chat.completions.create(model="mock/gpt-5-mini", stream=True, stream_options={"include_usage": True},
                                            messages=[{"role": "user", "content": "Hello stream"}]):
        pass
    client.chat.completions.create(model="mock/gpt-5-mini", messages=[{"role": "user", "content": "Which weather?"}], tools=TOOLS,
                                   tool_choice={"type": "function", "function": {"name": "weather"}})


if dialect == "opentelemetry":
    made = provider()
    tracer = made.get_tracer("app")
    with tracer.start_as_current_span("chat gpt-5-mini", attributes={
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini", "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 8, "gen_ai.response.finish_reasons": ["stop"], "gen_ai.conversation.id": "talk",
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hello there"}]}])}) as span:
        span.add_event("first token", {"at": 1.5})
        with tracer.start_as_current_span("inner"):
            pass
        try:
            with tracer.start_as_current_span("broken"):
                raise ValueError("on purpose")
        except ValueError:
            pass
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    headers = {"authorization": f"Bearer {key}"}
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=weir + "/v1/metrics", headers=headers))])
    meter = meters.get_meter("app")
    meter.create_counter("questions").add(3, {"kind": "a"})
    meter.create_histogram("gen_ai.client.operation.duration", unit="s").record(0.25, {"gen_ai.operation.name": "chat"})
    meters.shutdown()
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=weir + "/v1/logs", headers=headers)))
    import logging
    try:
        from opentelemetry.instrumentation.logging.handler import LoggingHandler
    except ImportError:
        from opentelemetry.sdk._logs import LoggingHandler
    logging.getLogger("app").addHandler(LoggingHandler(logger_provider=logs))
    logging.getLogger("app").warning("something happened")
    logs.shutdown()
    made.shutdown()
elif dialect == "openinference":
    from openinference.instrumentation import using_session, using_user
    from openinference.instrumentation.openai import OpenAIInstrumentor
    made = provider()
    OpenAIInstrumentor().instrument(tracer_provider=made)
    with using_session("talk"), using_user("ada"):
        ask()
    made.shutdown()
elif dialect == "openllmetry":
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    made = provider()
    OpenAIInstrumentor().instrument(tracer_provider=made)
    ask()
    made.shutdown()
elif dialect == "langfuse":
    from langfuse import Langfuse, propagate_attributes
    from langfuse.openai import openai as observed
    langfuse = Langfuse(public_key="pk-lf-weir", secret_key=key, base_url=weir)
    with langfuse.start_as_current_observation(name="answer", as_type="span"):
        with propagate_attributes(session_id="talk", user_id="ada"):
            ask(observed.OpenAI())
    langfuse.flush()
    langfuse.shutdown()
