// A conversation with one model.
import { useEffect, useRef, useState } from "preact/hooks";
import { chat } from "./api";
import { ModelChoice, useModelNames } from "./playground";
import { link, Problem, useFollow, usePlace } from "./ui";

interface Said { role: "user" | "assistant"; content: string; call?: string | null }

export function Chat() {
    const {query} = usePlace();
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
            }, signal);
            setSaid([...before, {role: "assistant", content: answer, call: result.callId}]);
        } catch (e) {
            if (!answer) setSaid(said), setText(text);
            if (!signal.aborted) setError(e as Error);
        }
        setBusy(false);
    };

    return <div class="chat">
        <h1>Chat</h1>
        <div class="filters"><ModelChoice label="Model" value={model} names={names} onChange={setModel} />
            <button class="quiet" disabled={busy || !said.length} onClick={() => setSaid([])}>New conversation</button></div>
        <div class="talk" role="log" tabIndex={0} {...follow}>
            {said.length === 0 && <p class="note">Say something to {model || "a model"}.</p>}
            {said.map((m, i) => <article class={`message ${m.role}`}><h2>{m.role === "user" ? "you" : model}{m.call && <small> <a href={link("call", m.call)}>the call</a></small>}</h2>
                <div class="text">{m.content}{busy && i === said.length - 1 && <span class="cursor" />}</div></article>)}
        </div>
        <Problem error={error} />
        <form class="say" onSubmit={e => { e.preventDefault(); void say(); }}>
            <label class="hidden" for="filter">Message</label>
            <textarea id="filter" rows={2} value={text} onInput={e => setText(e.currentTarget.value)} placeholder="Message; Enter sends, Shift Enter begins a line"
                onKeyDown={e => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); void say(); } }} />
            {busy ? <button type="button" onClick={() => stop.current?.abort()}>Stop</button> : <button type="submit" disabled={!text.trim()}>Send</button>}
        </form>
    </div>;
}
