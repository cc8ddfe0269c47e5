// One call on one page.
import { get, type Attempt, type Call } from "./api";
import { CallTrace } from "./trace";
import { bytes, count, money, us } from "./text";
import { Copy, Json, link, Outcome, Problem, useLoad, usePlace } from "./ui";

function Waterfall({call}: {call: Call}) {
    const total = Math.max(1, call.timing.total_us, ...call.attempts.map(a => a.end_us ?? 0));
    const bar = (from: number | null, to: number | null, kind: string, what: string) =>
        from != null && to != null && to >= from &&
        <span class={`bar ${kind}`} title={`${what}: ${us(to - from)}`} style={{left: `${from / total * 100}%`, width: `${Math.max(0.3, (to - from) / total * 100)}%`}} />;
    const row = (a: Attempt) => <tr>
        <th scope="row">{a.target}{a.error && <small class="bad"> {a.error}</small>}{a.status != null && <small> {a.status}</small>}</th>
        <td class="track">
            {bar(a.started_us, a.connect_us, "connect", "connecting")}
            {bar(a.connect_us ?? a.started_us, a.first_byte_us, "wait", "waiting for the first byte")}
            {bar(a.first_byte_us, a.end_us, "read", "answer")}
        </td>
        <td class="n">{us(a.end_us == null ? null : a.end_us - a.started_us)}</td>
        <td class="n">{bytes(a.bytes_out)} out, {bytes(a.bytes_in)} in</td>
    </tr>;
    const t = call.timing;
    return <div class="scroll" tabIndex={0} role="region" aria-label="Attempts over time"><table class="waterfall"><tbody>
        <tr><th scope="row">the call</th><td class="track">
            {bar(0, t.queue_us, "queue", "before the first attempt")}
            {bar(t.queue_us ?? 0, t.first_token_us ?? t.total_us, "wait", "until the first token")}
            {bar(t.first_token_us, t.total_us, "read", "answer")}
        </td><td class="n">{us(t.total_us)}</td><td /></tr>
        {call.attempts.map(row)}
    </tbody></table></div>;
}

function parts(content: unknown): string {
    if (content == null) return "";
    if (typeof content === "string") return content;
    if (!Array.isArray(content)) return JSON.stringify(content, null, 2);
    return content.map(p => p.text ?? p.thinking ?? (p.content ? parts(p.content) : `[${p.type ?? "part"}${p.name ? " " + p.name : ""}]${p.input ? " " + JSON.stringify(p.input) : ""}`)).join("\n");
}

function Message({role, message}: {role: string; message: any}) {
    const tools = message.tool_calls ?? [];
    return <article class={`message ${role}`}>
        <h3>{role}</h3>
        {message.reasoning_content && <details><summary>thoughts</summary><div class="text dim">{message.reasoning_content}</div></details>}
        <div class="text">{parts(message.content ?? message.refusal)}</div>
        {tools.map((t: any) => <pre class="json">{t.function?.name}({t.function?.arguments})</pre>)}
    </article>;
}

function Bodies({call}: {call: Call}) {
    const asked = call.request?.messages ?? (Array.isArray(call.request?.input) ? call.request.input : call.request?.input ? [{role: "user", content: call.request.input}] : []);
    const system = call.request?.system ?? call.request?.instructions;
    const answers = call.response?.choices?.map((c: any) => c.message ?? {content: c.text}) ?? (call.response?.content ? [call.response] : call.response?.output ?? []);
    return <section class="bodies">
        {system && <Message role="system" message={{content: system}} />}
        {Array.isArray(asked) && asked.map((m: any) => <Message role={m.role ?? m.type ?? "input"} message={typeof m === "string" ? {content: m} : m} />)}
        {answers.map((m: any) => <Message role={m.role ?? m.type ?? "assistant"} message={m} />)}
    </section>;
}

export function CallView() {
    const {rest: id} = usePlace();
    const {data: c, error} = useLoad(signal => get<Call>("calls/" + encodeURIComponent(id), {}, signal), [id]);
    if (!c) return <><h1>Call</h1><Problem error={error} /></>;
    const tools = c.request?.tools?.length;
    const curl = `curl ${location.origin}/v1/${({chat: "chat/completions"} as Record<string, string>)[c.endpoint] ?? c.endpoint} -H "Authorization: Bearer $WEIR_KEY" -H "Content-Type: application/json" -d '${JSON.stringify(c.request).replace(/'/g, "'\\''")}'`;
    return <>
        <h1>{c.model} <Outcome outcome={c.outcome} status={c.status} /></h1>
        <p class="dim">{new Date(c.time).toLocaleString()} · <code>{c.id}</code> <Copy text={c.id} label="Copy id" /> <Copy text={curl} label="Copy as curl" />{" "}
            {c.endpoint === "chat" && <a class="button" href={link("playground", "", {call: c.id})}>Open in playground</a>}</p>
        {c.error && <p class="problem" role="alert"><strong>{c.error.type}</strong> {c.error.message}</p>}
        <dl class="facts">
            <dt>target</dt><dd>{c.target ?? "none"}</dd>
            <dt>key</dt><dd><a href={link("calls", "", {key: c.key})}>{c.key}</a></dd>
            <dt>endpoint</dt><dd>{c.endpoint}{c.stream ? ", streamed" : ""}{tools ? `, ${tools} tools` : ""}</dd>
            <dt>tokens</dt><dd>{c.usage ? <>{count(c.usage.input)} in{c.usage.cached_input ? ` (${count(c.usage.cached_input)} cached)` : ""}, {count(c.usage.output)} out{c.usage.reasoning ? ` (${count(c.usage.reasoning)} reasoning)` : ""}{c.usage.source === "counted" ? ", counted here" : ""}</> : "not told"}</dd>
            <dt>cost</dt><dd>{money(c.cost)}{c.cost && <small class="dim"> prices of {c.cost.prices.split(".")[0]}</small>}</dd>
            <dt>first token</dt><dd>{us(c.timing.first_token_us)}</dd>
            <dt>total</dt><dd>{us(c.timing.total_us)}, of which Weir {us(c.timing.overhead_us)}</dd>
            {c.user && <><dt>user</dt><dd>{c.user}</dd></>}
            {c.metadata && <><dt>metadata</dt><dd><code>{JSON.stringify(c.metadata)}</code></dd></>}
            {c.session && <><dt>session</dt><dd>{c.session}</dd></>}
            <dt>trace</dt><dd><a href={link("trace", c.trace_id)}><code>{c.trace_id}</code></a></dd>
        </dl>
        <h2>Route</h2>
        <Waterfall call={c} />
        <h2>Conversation{c.response_complete ? "" : " (the answer was cut)"}</h2>
        <Bodies call={c} />
        <CallTrace key={c.id} call={c} />
        <details><summary>The whole record</summary><Json value={c} /></details>
    </>;
}
