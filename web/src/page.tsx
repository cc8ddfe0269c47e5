// The page: who is signed in, which view, and the keys.
import "./page.css";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import * as api from "./api";
import { Alerts } from "./alerts";
import { CallView } from "./call";
import { Calls } from "./calls";
import { Chat } from "./chat";
import { Models } from "./models";
import { Overview } from "./overview";
import { Playground } from "./playground";
import { Topics } from "./topics";
import { TraceView } from "./trace";
import { link, usePlace } from "./ui";

const VIEWS = [
    {name: "overview", title: "Overview", key: "o", show: Overview},
    {name: "calls", title: "Calls", key: "c", show: Calls},
    {name: "playground", title: "Playground", key: "p", show: Playground},
    {name: "chat", title: "Chat", key: "h", show: Chat},
    {name: "models", title: "Models", key: "m", show: Models},
    {name: "topics", title: "Topics", key: "t", show: Topics},
    {name: "alerts", title: "Alerts", key: "a", show: Alerts},
];

function SignIn({done}: {done: () => void}) {
    const [key, setKey] = useState("");
    const [remember, setRemember] = useState(false);
    const [problem, setProblem] = useState("");
    const check = async () => {
        const answer = await fetch("/v1/models", {headers: {authorization: `Bearer ${key.trim()}`}}).catch(() => null);
        if (answer?.ok) { api.signIn(key.trim(), remember); done(); }
        else setProblem(answer ? "This key is not valid here." : "Weir does not answer.");
    };
    return <main class="signin"><form onSubmit={e => { e.preventDefault(); void check(); }}>
        <h1>Weir</h1>
        <label>Key <input type="password" autoFocus autocomplete="current-password" value={key} onInput={e => setKey(e.currentTarget.value)} aria-describedby="where" /></label>
        <label class="check"><input type="checkbox" checked={remember} onChange={e => setRemember(e.currentTarget.checked)} /> remember it in this browser</label>
        {problem && <p class="problem" role="alert">{problem}</p>}
        <button type="submit" disabled={!key.trim()}>Sign in</button>
        <p id="where" class="dim">The admin key was shown once, at the first start; <code>make run</code> prints it each time.</p>
    </form></main>;
}

// "g" and a view's letter goes there, "/" is the first field, "?" lists the keys.
function useKeys(setHelp: (f: (on: boolean) => boolean) => void) {
    useEffect(() => {
        let before = "";
        const on = (e: KeyboardEvent) => {
            if ((e.target as Element).matches("input, textarea, select") || e.ctrlKey || e.metaKey || e.altKey) {
                if (e.key === "Escape") (e.target as HTMLElement).blur();
                return;
            }
            const view = before === "g" && VIEWS.find(v => v.key === e.key);
            if (view) location.hash = link(view.name);
            else if (e.key === "/") { e.preventDefault(); document.getElementById("filter")?.focus(); }
            else if (e.key === "?") setHelp(help => !help);
            else if (e.key === "Escape") setHelp(() => false);
            before = e.key;
        };
        addEventListener("keydown", on);
        return () => removeEventListener("keydown", on);
    }, []);
}

function theme(next?: string): string {
    const now = next ?? localStorage.getItem("weir-theme") ?? "";
    if (next !== undefined) localStorage.setItem("weir-theme", next);
    document.documentElement.dataset.theme = now;
    return now;
}

function Page() {
    const {view} = usePlace();
    const [signedIn, setSignedIn] = useState(api.key() !== "");
    const [help, setHelp] = useState(false);
    const [dark, setDark] = useState(() => theme());
    useKeys(setHelp);
    const current = view === "call" ? {title: "Call", name: "calls", show: CallView} : view === "trace" ? {title: "Trace", name: "calls", show: TraceView} : VIEWS.find(v => v.name === view) ?? VIEWS[0];
    useEffect(() => { document.title = `${current.title} · Weir`; scrollTo(0, 0); }, [view]);
    if (!signedIn) return <SignIn done={() => setSignedIn(true)} />;
    const next = dark === "dark" ? "light" : dark === "light" ? "" : "dark";
    return <>
        <a class="skip" href="#content" onClick={e => { e.preventDefault(); document.getElementById("content")?.focus(); }}>Skip to the content</a>
        <nav aria-label="Views">
            <a class="brand" href={link("overview")}>Weir</a>
            {VIEWS.map(v => <a href={link(v.name)} aria-current={v.name === current.name ? "page" : undefined}>{v.title}</a>)}
            <span class="space" />
            <button class="quiet" onClick={() => setDark(theme(next))} title="Colours: as the system, dark, light">{dark === "dark" ? "Dark" : dark === "light" ? "Light" : "System"}</button>
            <button class="quiet" onClick={() => setHelp(!help)} aria-expanded={help}>Keys</button>
            <button class="quiet" onClick={() => { api.signOut(); setSignedIn(false); }}>Sign out</button>
        </nav>
        {help && <aside class="help"><p><kbd>/</kbd> first field, <kbd>Esc</kbd> leave it, {VIEWS.map(v => <span><kbd>g</kbd> <kbd>{v.key}</kbd> {v.title}, </span>)}<kbd>?</kbd> this</p></aside>}
        <main id="content" tabIndex={-1}><current.show /></main>
    </>;
}

theme();
const root = document.getElementById("page")!;
root.textContent = "";
render(<Page />, root);
