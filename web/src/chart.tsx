// A line chart over time (uPlot), in the page's colours.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { useScheme } from "./ui";

export interface Line { label: string; colour: string; show?: (value: number) => string }

// "0.00002", "12k": what fits beside an axis.
function short(v: number): string {
    return v === 0 ? "0" : v >= 1e6 ? `${v / 1e6}M` : v >= 1e4 ? `${v / 1e3}k` : String(Number(v.toPrecision(3)));
}

export function Chart({title, xs, ys, lines}: {title: string; xs: number[]; ys: (number | null)[][]; lines: Line[]}) {
    const box = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot>();
    const scheme = useScheme();
    useEffect(() => {
        const frame = box.current!;
        const style = getComputedStyle(document.documentElement);
        const ink = style.getPropertyValue("--dim"), grid = style.getPropertyValue("--line");
        const axis = {stroke: ink, grid: {stroke: grid, width: 1}, ticks: {stroke: grid, width: 1}};
        const make = (width: number) => new uPlot({
            width, height: 160, cursor: {y: false}, legend: {live: true}, padding: [8, 8, 0, 0],
            scales: {y: {range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1]}},
            series: [{label: "time"}, ...lines.map(line => ({
                label: line.label, stroke: style.getPropertyValue(line.colour), width: 1.6, points: {show: true, size: 4},
                value: (_: uPlot, v: number | null) => v == null ? "–" : line.show ? line.show(v) : String(v)}))],
            axes: [{...axis, space: 70}, {...axis, size: 52, values: (_, ticks) => ticks.map(short)}],
        }, [xs, ...ys] as uPlot.AlignedData, frame);
        const made = plot.current = make(frame.clientWidth);
        const resize = new ResizeObserver(() => made.setSize({width: frame.clientWidth, height: 160}));
        resize.observe(frame);
        return () => { resize.disconnect(); made.destroy(); plot.current = undefined; };
    }, [scheme]);
    useEffect(() => plot.current?.setData([xs, ...ys] as uPlot.AlignedData), [xs, ys]);
    return <figure class="chart"><figcaption>{title}</figcaption><div ref={box} /></figure>;
}
