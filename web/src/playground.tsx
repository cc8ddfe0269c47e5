// Models side by side on one prompt.
import { useEffect, useRef, useState } from "preact/hooks";
import { chat, get, models as listModels, type Call } from "./api";
import { count, money, us } from "./text";
import { link, Problem, useFollow, useLoad, usePlace } from "./ui";

const COLUMNS_MAX = 4;

const TOOL = JSON.stringify([{type: "function", function: {name: "get_weather", description: "The weather of a city",
    parameters: {type: "object", properties: {city: {type: "string"}}, required: ["city"]}}}], null, 2);

// What is wrong with them; empty: nothing.
function toolsProblem(text: string): string {
    if (!text.trim()) return "";
    try { return Array.isArray(JSON.parse(text)) ? "" : "Tools are a list: [{\"type\": \"function\", …}]"; }
    catch (e) { return "This is no JSON: " + (e as Error).message; }
}

interface Run { text: string; thought: string; tools: {name: string; json: string}[]; busy: boolean; error?: Error; call?: Call; firstMs?: number; totalMs?: number; finish?: string | null }
const NOTHING: Run = {text: "", thought: "", tools: [], busy: false};

export function useModelNames(): string[] {
    const {data} = useLoad(signal => listModels(signal), []);
    return data ?? [];
}

export function ModelChoice({value, names, label, onChange}: {value: string; names: string[]; label: string; onChange: (v: string) => void}) {
    return <label>{label} <input list="models" value={value} placeholder="provider/model" onChange={e => onChange(e.currentTarget.value)} />
        <datalist id="models">{names.map(n => <option value={n} />)}</datalist></label>;
}

function Column({run}: {run: Run}) {
    const follow = useFollow<HTMLDivElement>(run.text);
    return <div class="column" aria-live="polite" aria-busy={run.busy}>
        <Problem error={run.error} />
        {run.thought && <details><summary>thoughts</summary><div class="text dim">{run.thought}</div></details>}
        <div class="text answer" tabIndex={0} {...follow}>{run.text}{run.busy && <span class="cursor" />}</div>
        {run.tools.map(t => <pre class="json">{t.name}({t.json})</pre>)}
        <p class="dim">{run.firstMs != null && <>first token {us(Math.round(run.firstMs * 1000))}, </>}{run.totalMs != null && <>total {us(Math.round(run.totalMs * 1000))}</>}
            {run.finish && run.finish !== "stop" && <>, ended by {run.finish}</>}
            {run.call?.usage && <>, {count(run.call.usage.input)} + {count(run.call.usage.output)} tokens, {money(run.call.cost)}</>}
            {run.call && <> · <a href={link("call", run.call.id)}>the call</a></>}</p>
    </div>;
}

// The record is written before the answer ends, so it is there.
async function record(id: string | null): Promise<Call | undefined> {
    return id ? get<Call>("calls/" + id).catch(() => undefined) : undefined;
}

export function Playground() {
    const {query} = usePlace();
    const names = useModelNames();
    const [models, setModels] = useState<string[]>([query.get("model") ?? ""]);
    const [system, setSystem] = useState("");
    const [user, setUser] = useState("");
    const [temperature, setTemperature] = useState("");
    const [maxTokens, setMaxTokens] = useState("");
    const [more, setMore] = useState<Record<string, unknown>>({});
    const [tools, setTools] = useState("");
    const [showTools, setShowTools] = useState(false);
    const wrongTools = toolsProblem(tools);
    const [earlier, setEarlier] = useState<any[]>([]);
    const [runs, setRuns] = useState<Run[]>([NOTHING]);
    const [error, setError] = useState<Error>();
    const stop = useRef<AbortController>();
    useEffect(() => { if (!models[0] && names.length) setModels([names.find(n => n.startsWith("local/")) ?? names[0], ...models.slice(1)]); }, [names.length]);
    useEffect(() => () => stop.current?.abort(), []);

    const from = query.get("call");
    useEffect(() => {
        if (!from) return;
        get<Call>("calls/" + from).then(c => {
            const {model, messages = [], temperature: t, max_tokens: m, max_completion_tokens: mc, stream: _, stream_options: __, ...rest} = c.request;
            const first = messages[0]?.role === "system" && typeof messages[0].content === "string" ? messages[0] : undefined;
            const last = messages[messages.length - 1];
            const plain = last?.role === "user" && typeof last.content === "string";
            setModels([model]);
            setSystem(first?.content ?? "");
            setUser(plain ? last.content : "");
            setEarlier(messages.slice(first ? 1 : 0, plain ? -1 : undefined));
            setTemperature(t?.toString() ?? "");
            setMaxTokens((mc ?? m)?.toString() ?? "");
            setTools(rest.tools ? JSON.stringify(rest.tools, null, 2) : "");
            setShowTools(!!rest.tools);
            delete rest.tools;
            setMore(rest);
        }, setError);
    }, [from]);

    const change = (i: number, f: (run: Run) => Run) => setRuns(old => old.map((run, n) => n === i ? f(run) : run));
    const busy = runs.some(r => r.busy);

    const start = async () => {
        stop.current?.abort();
        const {signal} = stop.current = new AbortController();
        const messages = [...(system ? [{role: "system", content: system}] : []), ...earlier, ...(user ? [{role: "user", content: user}] : [])];
        setRuns(models.map(() => ({...NOTHING, busy: true})));
        await Promise.all(models.map(async (model, i) => {
            const began = performance.now();
            const first = (run: Run) => ({...run, firstMs: run.firstMs ?? performance.now() - began});
            try {
                const body = {...more, ...(tools.trim() ? {tools: JSON.parse(tools)} : {}), model, messages, ...(temperature ? {temperature: Number(temperature)} : {}), ...(maxTokens ? {max_tokens: Number(maxTokens)} : {})};
                const result = await chat(body, {
                    onText: text => change(i, run => ({...first(run), text: run.text + text})),
                    onThought: text => change(i, run => ({...first(run), thought: run.thought + text})),
                    onTool: (n, name, json) => change(i, run => {
                        const tools = [...run.tools];
                        tools[n] = {name: name || tools[n]?.name || "", json: (tools[n]?.json ?? "") + json};
                        return {...first(run), tools};
                    }),
                }, signal);
                const totalMs = performance.now() - began;
                const call = await record(result.callId);
                change(i, run => ({...run, busy: false, totalMs, finish: result.finish, call}));
            } catch (e) {
                change(i, run => ({...run, busy: false, totalMs: performance.now() - began, error: signal.aborted ? undefined : e as Error}));
            }
        }));
    };
    const column = (n: number) => { setModels(Array.from({length: n}, (_, i) => models[i] ?? names[i] ?? "")); setRuns(Array.from({length: n}, (_, i) => runs[i] ?? NOTHING)); };

    return <>
        <h1>Playground</h1>
        <Problem error={error} />
        <form class="prompt" onSubmit={e => { e.preventDefault(); void start(); }}>
            <label>System <textarea rows={2} value={system} onInput={e => setSystem(e.currentTarget.value)} placeholder="optional" /></label>
            {earlier.length > 0 && <p class="note">{earlier.length} earlier messages of <a href={link("call", from!)}>the call</a> go along. <button type="button" class="quiet" onClick={() => setEarlier([])}>Leave them out</button></p>}
            <label>User <textarea id="filter" rows={4} value={user} onInput={e => setUser(e.currentTarget.value)}
                onKeyDown={e => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) void start(); }} /></label>
            <details open={showTools} onToggle={e => setShowTools(e.currentTarget.open)}><summary>Tools{tools && !wrongTools ? ` (${JSON.parse(tools).length})` : ""}</summary>
                <label>Tools as JSON <textarea rows={6} class="code" value={tools} onInput={e => setTools(e.currentTarget.value)} placeholder={TOOL} aria-invalid={wrongTools !== ""} aria-describedby="tools-problem" /></label>
                <p id="tools-problem" class="bad" role="status">{wrongTools}</p>
                {!tools && <button type="button" class="quiet" onClick={() => setTools(TOOL)}>An example</button>}
            </details>
            <div class="filters">
                <label>Temperature <input type="number" step="0.1" min="0" max="2" value={temperature} onInput={e => setTemperature(e.currentTarget.value)} placeholder="default" /></label>
                <label>Most tokens <input type="number" min="1" value={maxTokens} onInput={e => setMaxTokens(e.currentTarget.value)} placeholder="default" /></label>
                {busy ? <button type="button" onClick={() => stop.current?.abort()}>Stop</button> : <button type="submit" disabled={(!user && !earlier.length) || wrongTools !== ""}>Run <kbd>Ctrl ⏎</kbd></button>}
                <button type="button" class="quiet" disabled={models.length >= COLUMNS_MAX} onClick={() => column(models.length + 1)}>Add a model</button>
                {models.length > 1 && <button type="button" class="quiet" onClick={() => column(models.length - 1)}>Remove the last</button>}
            </div>
        </form>
        <section class="columns">{models.map((model, i) => <div>
            <ModelChoice label={`Model${models.length > 1 ? " " + (i + 1) : ""}`} value={model} names={names} onChange={v => setModels(models.map((m, n) => n === i ? v : m))} />
            <Column run={runs[i] ?? NOTHING} />
        </div>)}</section>
    </>;
}
