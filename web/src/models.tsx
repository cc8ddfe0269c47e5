import { useState } from "preact/hooks";
import { get, key, send, type Model, type Status } from "./api";
import { bytes, count } from "./text";
import { Empty, link, Problem, useLoad } from "./ui";

// Any call loads a model; one token is the smallest.
async function load(id: string) {
    const answer = await fetch("/v1/completions", {method: "POST", headers: {authorization: `Bearer ${key()}`, "content-type": "application/json"},
                                                   body: JSON.stringify({model: id, prompt: ".", max_tokens: 1})});
    if (!answer.ok) throw new Error((await answer.json()).error?.message ?? `HTTP ${answer.status}`);
}

// Loaded, or what it takes to: a bar that goes on while nobody knows how long it will be.
function State({model}: {model: Model}) {
    return <><span class={`badge ${model.state}`}>{model.state}</span>
        {model.state === "loading" && <> <progress aria-label={`Loading ${model.id}`} value={model.progress ?? undefined} max={1} /></>}
        {model.reason && <small class="bad"> {model.reason}</small>}</>;
}

export function Models() {
    const [turn, setTurn] = useState(0);
    const [busy, setBusy] = useState("");
    const [error, setError] = useState<Error>();
    const models = useLoad(signal => get<{models: Model[]}>("models", {}, signal), [turn], busy ? 500 : 3000);
    const act = async (id: string, what: () => Promise<unknown>) => {
        setBusy(id);
        setError(undefined);
        setTimeout(() => setTurn(n => n + 1), 50);
        try { await what(); } catch (e) { setError(e as Error); }
        setBusy("");
        setTurn(n => n + 1);
    };
    const status = useLoad(signal => get<Status>("status", {}, signal), []);
    const all = models.data?.models ?? [];
    const local = all.filter(m => m.kind === "local"), aliases = all.filter(m => m.kind === "alias");
    return <>
        <h1>Models</h1>
        <Problem error={models.error ?? error} />
        <h2>Inside Weir</h2>
        {models.data && local.length === 0 && <Empty title="No model inside"><p>Put a GGUF file into the models folder, or bring one there; it appears here under its name.</p><pre class="json">weir model pull https://…/model.gguf</pre></Empty>}
        {local.length > 0 && <div class="scroll" tabIndex={0} role="region" aria-label="Local models"><table>
            <thead><tr><th>model</th><th>state</th><th class="n">size</th><th class="n">context</th><th class="n">under way</th><th class="n">loaded in</th><td /></tr></thead>
            <tbody>{local.map(m => <tr key={m.id}>
                <td>{m.id}</td><td><State model={m} /></td>
                <td class="n">{bytes(m.size_bytes ?? 0)}</td><td class="n">{m.context_tokens ? `${count(m.context_tokens)} tokens` : "–"}</td>
                <td class="n">{count(m.uses)}</td><td class="n">{m.load_ms ? `${count(m.load_ms)} ms` : "–"}</td>
                <td class="acts"><a href={link("playground", "", {model: m.id})}>try</a>{" "}
                    {m.state === "ready"
                        ? <button class="quiet" disabled={busy !== ""} onClick={() => act(m.id, () => send("POST", `models/${m.id}/unload`))}>Unload</button>
                        : <button class="quiet" disabled={busy !== "" || m.state === "loading"} onClick={() => act(m.id, () => load(m.id))}>Load</button>}</td>
            </tr>)}</tbody>
        </table></div>}
        {aliases.length > 0 && <><h2>Aliases</h2><div class="scroll" tabIndex={0} role="region" aria-label="Aliases"><table>
            <thead><tr><th>name</th><th>goes to</th><td /></tr></thead>
            <tbody>{aliases.map(m => <tr key={m.id}><td>{m.id}</td><td>{m.targets?.join(" → ")}</td><td><a href={link("playground", "", {model: m.id})}>try</a></td></tr>)}</tbody>
        </table></div></>}
        {status.data && status.data.providers.length > 0 && <><h2>Providers</h2><div class="scroll" tabIndex={0} role="region" aria-label="Providers"><table>
            <thead><tr><th>name</th><th>speaks</th><th>address</th><td /></tr></thead>
            <tbody>{status.data.providers.map(p => <tr key={p.name}><td>{p.name}</td><td>{p.api}</td><td class="dim">{p.url}</td><td>{p.left_out ? <span class="bad">left out: {p.left_out}</span> : <span class="badge ok">in use</span>}</td></tr>)}</tbody>
        </table></div></>}
    </>;
}
