// A conversation with one model.
import { useEffect, useRef, useState } from "preact/hooks";
import { chat, get, type Call } from "./api";
import { ModelChoice, useModelNames } from "./playground";
import { age } from "./text";
import { Thumbs } from "./trace";
import { link, Problem, useFollow, useLoad, usePlace } from "./ui";

interface Said { role: "user" | "assistant"; content: string; call?: string | null }

interface Session { session: string; last: string; calls: number; cost: string }
interface SessionPage { sessions: Session[]; calls: Call[] }

const OURS = "chat-";

function newSession(): string { return OURS + crypto.getRandomValues(new Uint32Array(2)).join("-"); }

function plain(content: unknown): string {
    return typeof content === "string" ? content : Array.isArray(content) ? content.map(p => p.text ?? "").join("") : "";
}

// The newest call of a conversation holds all of it.
function saidIn(calls: Call[]): {model: string; said: Said[]} | undefined {
    const whole = calls.filter(c => c.endpoint === "chat" && c.outcome === "ok").sort((a, b) => a.time.localeCompare(b.time));
    const last = whole[whole.length - 1];
    if (!last) return;
    const answers = whole.map(c => c.id);
    const asked: Said[] = (last.request?.messages ?? []).filter((m: any) => m.role === "user" || m.role === "assistant")
        .map((m: any) => ({role: m.role, content: plain(m.content)}));
    const all = [...asked, {role: "assistant" as const, content: plain(last.response?.choices?.[0]?.message?.content), call: last.id}];
    // Each turn was a call, in this order, unless somebody began in the middle.
    const turns = all.filter(m => m.role === "assistant");
    if (turns.length === answers.length) turns.forEach((m, i) => { m.call = answers[i]; });
    return {model: last.model, said: all};
}

function Sessions({current, turn}: {current: string; turn: number}) {
    const {data} = useLoad(signal => get<SessionPage>("sessions", {limit: 50}, signal), [turn], 4000);
    const ours = (data?.sessions ?? []).filter(s => s.session.startsWith(OURS));
    if (ours.length === 0) return null;
    return <aside class="sessions" aria-label="Conversations">{ours.map(s =>
        <a href={link("chat", s.session)} aria-current={s.session === current ? "true" : undefined}>{age(s.last)} ago<small>{s.calls} {s.calls === 1 ? "turn" : "turns"}</small></a>)}</aside>;
}

export function Chat() {
    const {query, rest} = usePlace();
    const session = useRef(rest || newSession());
    const [turn, setTurn] = useState(0);
    const names = useModelNames();
    const [model, setModel] = useState(query.get("model") ?? "");
    const [said, setSaid] = useState<Said[]>([]);
    const [text, setText] = useState("");
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<Error>();
    const stop = useRef<AbortController>();
    const follow = useFollow<HTMLDivElement>(said);
    useEffect(() => { if (!model && names.length) setModel(names.find(n => n.startsWith("local/")) ?? names[0]); }, [names.length]);
    useEffect(() => () => stop.current?.abort(), []);
    useEffect(() => {
        if (rest === session.current && said.length) return; // ours, and it is here
        session.current = rest || newSession();
        setSaid([]);
        setError(undefined);
        if (!rest) return;
        const gone = new AbortController();
        get<SessionPage>("sessions/" + encodeURIComponent(rest), {}, gone.signal).then(page => {
            const before = saidIn(page.calls);
            if (before) { setModel(before.model); setSaid(before.said); }
        }, e => { if (!gone.signal.aborted) setError(e); });
        return () => gone.abort();
    }, [rest]);

    const say = async () => {
        if (!text.trim() || busy) return;
        const before: Said[] = [...said, {role: "user", content: text}];
        const {signal} = stop.current = new AbortController();
        let answer = "";
        setText("");
        setError(undefined);
        setBusy(true);
        setSaid([...before, {role: "assistant", content: ""}]);
        try {
            const result = await chat({model, messages: before.map(({role, content}) => ({role, content}))}, {
                onText: piece => { answer += piece; setSaid([...before, {role: "assistant", content: answer}]); },
                onThought: () => {}, onTool: () => {},
            }, signal, session.current);
            setSaid([...before, {role: "assistant", content: answer, call: result.callId}]);
            if (!rest) location.hash = link("chat", session.current);
            setTimeout(() => setTurn(n => n + 1), 800); // the view has it then
        } catch (e) {
            if (!answer) setSaid(said), setText(text);
            if (!signal.aborted) setError(e as Error);
        }
        setBusy(false);
    };

    return <div class="chat">
        <h1>Chat</h1>
        <div class="filters"><ModelChoice label="Model" value={model} names={names} onChange={setModel} />
            <button class="quiet" disabled={busy || !said.length} onClick={() => { setSaid([]); location.hash = link("chat"); }}>New conversation</button></div>
        <div class="chat-frame"><Sessions current={session.current} turn={turn} /><div>
        <div class="talk" role="log" tabIndex={0} {...follow}>
            {said.length === 0 && <p class="note">Say something to {model || "a model"}.</p>}
            {said.map((m, i) => <article class={`message ${m.role}`}><h2>{m.role === "user" ? "you" : model}{m.call && <small> <a href={link("call", m.call)}>the call</a></small>}</h2>
                <div class="text">{m.content}{busy && i === said.length - 1 && <span class="cursor" />}</div>
                {m.call && <Thumbs key={m.call} call={m.call} />}</article>)}
        </div>
        <Problem error={error} />
        <form class="say" onSubmit={e => { e.preventDefault(); void say(); }}>
            <label class="hidden" for="filter">Message</label>
            <textarea id="filter" rows={2} value={text} onInput={e => setText(e.currentTarget.value)} placeholder="Message; Enter sends, Shift Enter begins a line"
                onKeyDown={e => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); void say(); } }} />
            {busy ? <button type="button" onClick={() => stop.current?.abort()}>Stop</button> : <button type="submit" disabled={!text.trim()}>Send</button>}
        </form>
        </div></div>
    </div>;
}
