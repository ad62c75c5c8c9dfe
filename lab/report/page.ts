import { escapeXml } from "../../bench/svg.ts";

/** One self-contained page: its style knows light, dark and paper, and it asks nobody for anything. */
export function page(title: string, body: readonly string[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>${escapeXml(title)}</title>
<style>${style}</style></head>
<body><main>
${body.filter(Boolean).join("\n")}
</main><script>${script}</script></body></html>
`;
}

export const section = (title: string, note: string, body: string): string =>
  body && `<section><h2>${escapeXml(title)}</h2>${note && `<p class="note">${escapeXml(note)}</p>`}${body}</section>`;

/** Cells are text; `{ html }` is taken as it is. */
export type Cell = string | { html: string };

export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const td = (cell: Cell) => `<td>${typeof cell === "object" ? cell.html : escapeXml(cell)}</td>`;
  const body = rows.map((row) => `<tr>${row.map(td).join("")}</tr>`).join("\n");
  return `<div class="wide"><table><thead><tr>${head.map((name) => `<th scope="col">${escapeXml(name)}</th>`).join("")}</tr></thead><tbody>${body}</tbody></table></div>`;
}

export const badge = (verdict: string, words = verdict): { html: string } => ({
  html: `<span class="badge ${escapeXml(verdict)}">${escapeXml(words)}</span>`,
});

export const tiles = (all: readonly (readonly [value: string, name: string, bad?: boolean])[]): string =>
  `<dl class="tiles">${all.map(([value, name, bad]) => `<div${bad ? ' class="bad"' : ""}><dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd></div>`).join("")}</dl>`;

/** Hues told apart with every kind of colour vision (Okabe and Ito), as in the benchmarks' charts. */
const style = `
:root{--paper:#fff;--card:#fbfbf9;--ink:#1b2128;--quiet:#66707b;--rule:#e4e5e1;--leader:#1f6fb8;--follower:#c9d9e8;--candidate:#e69f00;
--up:#cfe3d8;--down:#f1efec;--downline:#b9b4ac;--fault:#c8501e;--shade:#c8501e14;--hit:#c8501e;--gap:#d7263d;--good:#0a7f5a;--bad:#c3172f;
--g0:#1f6fb8;--g1:#0a8f68;--g2:#b8609a;--g3:#d98a00;--on:#fff;--halo:#ffffffd0}
@media (prefers-color-scheme:dark){:root{--paper:#0e1318;--card:#141a21;--ink:#e8ecf0;--quiet:#93a0ad;--rule:#27303a;--leader:#3d93e0;--follower:#2b4257;
--candidate:#f0b429;--up:#24463a;--down:#1a2027;--downline:#4b545e;--fault:#ff8a5c;--shade:#ff8a5c1c;--hit:#ff8a5c;--gap:#ff5d6c;--good:#3fca97;--bad:#ff6b78;
--g0:#58a8ef;--g1:#35c295;--g2:#dd8fc2;--g3:#f0b429;--on:#fff;--halo:#0e1318d0}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:1176px;margin:0 auto;padding:40px 28px 72px}
header{margin-bottom:28px}
.kicker{color:var(--quiet);letter-spacing:.02em;margin:0 0 6px}
h1{font-size:38px;line-height:1.15;letter-spacing:-.02em;margin:0 0 10px;display:flex;flex-wrap:wrap;gap:14px;align-items:center}
h2{font-size:19px;letter-spacing:-.01em;margin:0 0 4px}
h3{font-size:14px;margin:22px 0 4px}
.lead{font-size:17px;max-width:72ch;margin:0}
.note{color:var(--quiet);margin:0 0 12px;max-width:92ch}
section{margin:44px 0 0}
.badge{font-size:14px;font-weight:650;padding:3px 11px;border-radius:99px;color:var(--paper);background:var(--quiet);letter-spacing:0;white-space:nowrap}
.badge.passed,.badge.met,.badge.better{background:var(--good)}.badge.failed,.badge.worse{background:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1px;background:var(--rule);border:1px solid var(--rule);border-radius:10px;overflow:hidden;margin:26px 0 0}
.tiles div{background:var(--card);padding:14px 16px;display:flex;flex-direction:column;justify-content:space-between;gap:4px}.tiles dt{color:var(--quiet);font-size:13px}.tiles dd{margin:0;font-size:25px;font-weight:620;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tiles .bad dd{color:var(--bad)}
.violation{border-left:3px solid var(--bad);padding:2px 0 2px 14px;margin:16px 0;overflow-wrap:anywhere}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:var(--quiet);border-bottom:1px solid var(--rule);padding:6px 14px 6px 0;white-space:nowrap}
td{border-bottom:1px solid var(--rule);padding:6px 14px 6px 0;vertical-align:top}
pre,code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace}
table+.note,.wide+.note{margin-top:16px}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:14px 16px;overflow-x:auto;margin:10px 0}
details{margin-top:12px}summary{cursor:pointer;color:var(--quiet)}
a{color:var(--leader)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:28px}
.pair>*{min-width:0}main:has(.pair){max-width:1900px}h1 .note{margin:0;font-weight:400}
.keys{display:flex;flex-wrap:wrap;gap:6px 20px;color:var(--quiet);font-size:13px;margin:10px 0 0;padding:0;list-style:none}
.keys i{display:inline-block;width:14px;height:12px;border-radius:2px;margin-right:7px;vertical-align:-1px}
.hit-key{border:1.5px solid var(--hit)}.gap-key{background:var(--gap);opacity:.4}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:12.5px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
svg .end{text-anchor:end}svg .middle{text-anchor:middle}svg .quiet{fill:var(--quiet)}svg .bad{fill:var(--bad)}svg .fault{fill:var(--fault);font-weight:600}
svg .name{font-weight:560}svg .on{fill:var(--on);font-weight:600}
.grid{stroke:var(--rule);fill:none}.edge{stroke:var(--fault);stroke-dasharray:3 3;fill:none}.shade{fill:var(--shade)}
.leader{fill:var(--leader)}.follower,.starting{fill:var(--follower)}.candidate,.election{fill:var(--candidate)}.up,.ready{fill:var(--up)}
.down,.not-ready{fill:var(--down);stroke:var(--downline);stroke-dasharray:3 3}.starting{fill-opacity:.5}
.hit{fill:none;stroke:var(--hit);stroke-width:1.6}.election{stroke:var(--paper);stroke-width:1.5}.election.won{fill:var(--ink)}
.ack{stroke:var(--good);stroke-width:1.2;fill:none}.gap{fill:var(--gap);fill-opacity:.16;stroke:var(--gap)}svg .gap-text{fill:var(--gap);font-weight:700}.paper{fill:var(--paper)}
.dot{stroke-width:3;stroke-linecap:round;fill:none}.line{fill:none;stroke:var(--ink);stroke-width:1.4;stroke-linejoin:round}.line.p50{stroke-dasharray:4 3}.line.halo{stroke:var(--halo);stroke-width:3.5}
.lost{stroke:var(--bad);stroke-width:2}.area{stroke:none}.errors{fill:var(--bad)}.moment{stroke:var(--fault);stroke-width:2;fill:none}
.group-0{fill:var(--g0);stroke:var(--g0)}.group-1{fill:var(--g1);stroke:var(--g1)}.group-2{fill:var(--g2);stroke:var(--g2)}.group-3{fill:var(--g3);stroke:var(--g3)}
.metric{fill:none;stroke-width:1.6;stroke-linejoin:round}
.step-0{fill:#c77700}.step-1{fill:var(--leader)}.step-2{fill:#0a7f5a}.step-3{fill:#a2508a}.step-4{fill:#5b6b7c}
.cursor{stroke:var(--ink);stroke-opacity:.5;fill:none}
#now{position:fixed;pointer-events:none;background:var(--ink);color:var(--paper);font-size:12px;padding:1px 7px;border-radius:4px;display:none;font-variant-numeric:tabular-nums}
@media (max-width:760px){.pair{grid-template-columns:1fr}h1{font-size:28px}main{padding:24px 16px}}
@media print{main{padding:0;max-width:none}section{break-inside:avoid}#now,.cursor{display:none!important}pre{white-space:pre-wrap}details>*{display:block}}
`;

/** The one thing that moves: a line through all pictures of one time, with the time at the pointer. */
const script = `
const timed=[...document.querySelectorAll("svg.timed")],tip=document.body.appendChild(Object.assign(document.createElement("div"),{id:"now"}));
for(const svg of timed){svg.onpointermove=e=>{const c=svg.querySelector(".cursor"),l=+c.dataset.left,r=+c.dataset.right,
p=new DOMPoint(e.clientX,e.clientY).matrixTransform(svg.getScreenCTM().inverse()),f=+svg.dataset.from,t=+svg.dataset.to,ms=f+(p.x-l)/(r-l)*(t-f);
if(ms<f||ms>t)return svg.onpointerleave();
for(const o of timed){const k=o.querySelector(".cursor"),a=+o.dataset.from,b=+o.dataset.to;
k.setAttribute("d",ms<a||ms>b?"":"M"+(l+(ms-a)/(b-a)*(r-l))+" 0V"+k.dataset.height)}
tip.style.cssText="display:block;left:"+(e.clientX+12)+"px;top:"+(e.clientY-28)+"px";tip.textContent=t-f<3000?ms.toFixed(1)+" ms":(ms/1000).toFixed(3)+" s"};
svg.onpointerleave=()=>{tip.style.display="none";for(const o of timed)o.querySelector(".cursor").setAttribute("d","")}}
`;
