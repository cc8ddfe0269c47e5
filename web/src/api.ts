// The native API, and what its answers hold. The key lives in this tab only, unless its user asks to be remembered.

export interface Usage {
    input: number; cached_input: number; cache_write: number; output: number; reasoning: number; source: string;
}
export interface Attempt {
    target: string; status: number | null; error: string | null; started_us: number; connect_us: number | null;
    first_byte_us: number | null; end_us: number | null; bytes_in: number; bytes_out: number; reused?: boolean;
}
export interface Call {
    id: string; trace_id: string; span_id: string; parent_span_id?: string; session?: string; time: string; key: string; endpoint: string; model: string; target: string | null;
    status: number; outcome: string; stream: boolean; attempts: Attempt[];
    timing: {queue_us: number | null; overhead_us: number | null; first_byte_us: number | null;
             first_token_us: number | null; total_us: number};
    usage: Usage | null; usage_raw: unknown; cost: {amount: string; currency: string; prices: string} | null;
    error: {type: string; message: string; code?: string | null} | null;
    request: any; response: any; response_complete: boolean; metadata: Record<string, unknown> | null; user: string | null;
}
export interface Span {
    trace_id: string; span_id: string; parent_span_id?: string; name: string; kind: string; time: string; duration_us: number; start_ns: string; end_ns: string;
    status: string; status_message?: string; key: string; service?: string; session?: string; user?: string; inference?: boolean; gen_ai?: Record<string, any>; usage?: Usage;
}
export interface Score { id: string; time: string; key: string; name: string; kind: string; value: number | boolean | string; comment?: string; source: string; call?: string; trace_id?: string }
export interface Trace { trace_id: string; spans: Span[]; calls: Call[]; scores: Score[] }
export interface CallPage { calls: Call[]; next: string | null }
export interface Status {
    version: string; started: string; draining: boolean; calls: Record<string, number>; log: Record<string, number>;
    providers: {name: string; api: string; url: string; left_out: string | null}[];
}
export interface Spread { p50: number; p90: number; p99: number }
export interface Sums {
    calls: number; errors: number; input: number; cached_input: number; output: number; reasoning: number; cost: string;
    total_us: Spread | null; first_token_us: Spread | null; overhead_us: Spread | null;
}
export interface Group extends Sums { name: string | null; points?: (Sums & {time_s: number})[] }
export interface Stats { groups: Group[]; cut: boolean; folded: number; end: number }
export interface Partition {
    partition: number; start_offset: number; end_offset: number; bytes: number; segments: number; newest_ms: number;
}
export interface Topic {
    name: string; durability: string; compression: string; retention_ms: number; retention_bytes: number; partitions: Partition[];
}
export interface LogRecord {
    partition: number; offset: number; timestamp_ms: number; key: string | null; value: unknown; headers: Record<string, string>;
}
export interface Model {
    id: string; kind: string; targets?: string[]; size_bytes?: number; state?: string; reason: string | null;
    context_tokens?: number; uses?: number; load_ms?: number; progress?: number | null;
}

export interface AlertGroup { group: string; firing: boolean; value: number; shown: string; since: string | null; told: string | null }
export interface Alert {
    name: string; when: string; over_ms: number; by: string; where: Record<string, string>; to: string[]; firing: boolean;
    silenced_until: string | null; group_count: number; groups: AlertGroup[];
}
export interface Alerts { alerts: Alert[]; notify: {name: string; form: string}[]; told: number; failed: number }
export interface Lag { group: string; topic: string; partition: number; committed: number; behind: number }

export class Failure extends Error {
    constructor(readonly status: number, message: string) { super(message); }
}

const SLOT = "weir-key";
export function key(): string { return sessionStorage.getItem(SLOT) ?? localStorage.getItem(SLOT) ?? ""; }
export function signIn(key: string, remember: boolean) { (remember ? localStorage : sessionStorage).setItem(SLOT, key); }
export function signOut() { localStorage.removeItem(SLOT); sessionStorage.removeItem(SLOT); }

async function failure(answer: Response): Promise<Failure> {
    let message = `HTTP ${answer.status}`;
    try { message = (await answer.json()).error.message; } catch { /* not ours: the status says enough */ }
    return new Failure(answer.status, message);
}

export async function get<T>(path: string, query: Record<string, string | number | undefined> = {}, signal?: AbortSignal): Promise<T> {
    const words = Object.entries(query).filter(([, v]) => v !== undefined && v !== "").map(([k, v]) => `${k}=${encodeURIComponent(v!)}`);
    const answer = await fetch("/api/v1/" + path + (words.length ? "?" + words.join("&") : ""),
                               {headers: {authorization: `Bearer ${key()}`}, signal});
    if (!answer.ok) throw await failure(answer);
    return answer.json();
}

export async function send<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await fetch("/api/v1/" + path, {method, headers: {authorization: `Bearer ${key()}`}, body: body === undefined ? undefined : JSON.stringify(body)});
    if (!answer.ok) throw await failure(answer);
    return answer.json();
}

// Resolves when the tab is in sight, or the signal says stop.
function inSight(signal: AbortSignal): Promise<void> {
    return new Promise(done => {
        const look = () => {
            if (document.hidden && !signal.aborted) return;
            document.removeEventListener("visibilitychange", look);
            signal.removeEventListener("abort", look);
            done();
        };
        document.addEventListener("visibilitychange", look);
        signal.addEventListener("abort", look);
        look();
    });
}

// Records of a topic as they come, by server-sent events, until the signal says stop. What breaks off is taken up again where it was.
// A tab that nobody sees holds no connection: browsers have six of them for a server, over all tabs.
export async function follow(topic: string, query: Record<string, string | number>, onRecord: (r: LogRecord) => void, signal: AbortSignal, onGap?: (skipped: number) => void) {
    const words = Object.entries({topic, ...query}).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
    let last = "";
    for (let pause = 1000; !signal.aborted; pause = Math.min(2 * pause, 30000)) {
        await inSight(signal);
        if (signal.aborted) return;
        const connection = new AbortController();
        const leave = () => { if (document.hidden || signal.aborted) connection.abort(); };
        document.addEventListener("visibilitychange", leave);
        signal.addEventListener("abort", leave);
        try {
            const answer = await fetch("/api/v1/events?" + words, {headers: {authorization: `Bearer ${key()}`, ...(last ? {"last-event-id": last} : {})}, signal: connection.signal});
            if (!answer.ok) {
                const error = await failure(answer);
                if (answer.status < 500) throw error;
            } else {
                pause = 1000;
                await readEvents(answer, (event, data, id) => {
                    last = id || last;
                    if (event === "record") onRecord(data);
                    else if (event === "gap") onGap?.(data.skipped);
                });
            }
        } catch (e) {
            if (signal.aborted) return;
            if (e instanceof Failure) throw e;
        } finally {
            document.removeEventListener("visibilitychange", leave);
            signal.removeEventListener("abort", leave);
        }
        if (document.hidden) continue;
        await new Promise(done => setTimeout(done, pause));
    }
}

async function readEvents(answer: Response, onEvent: (event: string, data: any, id: string) => void) {
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
        const {value, done} = await reader.read();
        if (done) return;
        const events = (rest + value).split("\n\n");
        rest = events.pop()!;
        for (const text of events) {
            const fields: Record<string, string> = {};
            for (const line of text.split("\n")) {
                const at = line.indexOf(": ");
                if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
            }
            if (fields.data) onEvent(fields.event ?? "", JSON.parse(fields.data), fields.id ?? "");
        }
    }
}

// What a chat's answer brings, as it comes.
export interface ChatEvents { onText(text: string): void; onThought(text: string): void; onTool(index: number, name: string, json: string): void }
export interface ChatResult { callId: string | null; target: string | null; finish: string | null }

export async function chat(body: object, events: ChatEvents, signal: AbortSignal, session = ""): Promise<ChatResult> {
    const answer = await fetch("/v1/chat/completions", {
        method: "POST", signal, body: JSON.stringify({...body, stream: true, stream_options: {include_usage: true}}),
        headers: {authorization: `Bearer ${key()}`, "content-type": "application/json", ...(session ? {"x-weir-session": session} : {})},
    });
    if (!answer.ok) throw await failure(answer);
    const result: ChatResult = {callId: answer.headers.get("x-weir-call-id"), target: answer.headers.get("x-weir-target"), finish: null};
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
        const {value, done} = await reader.read();
        if (done) return result;
        const lines = (rest + value).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
            if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
            const event = JSON.parse(line.slice(6));
            if (event.error) throw new Failure(502, event.error.message);
            for (const {delta, finish_reason} of event.choices ?? []) {
                result.finish = finish_reason ?? result.finish;
                if (delta?.content) events.onText(delta.content);
                if (delta?.reasoning_content) events.onThought(delta.reasoning_content);
                for (const call of delta?.tool_calls ?? [])
                    events.onTool(call.index ?? 0, call.function?.name ?? "", call.function?.arguments ?? "");
            }
        }
    }
}

export async function models(signal?: AbortSignal): Promise<string[]> {
    const answer = await fetch("/v1/models", {headers: {authorization: `Bearer ${key()}`}, signal});
    if (!answer.ok) throw await failure(answer);
    return (await answer.json()).data.map((m: {id: string}) => m.id);
}
