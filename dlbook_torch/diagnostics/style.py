"""The looks of the HTML page, in light and in dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfbfa; --card: #ffffff; --ink: #1c1e21; --soft: #666c75; --line: #e3e4e6;
  --train: #2563c9; --val: #d9660a; --rate: #5b7a3a;
  --error: #c22f2f; --warning: #a86a00; --notice: #1c7a90; --info: #2c7d46;
  --error-bg: #fdeeed; --warning-bg: #fdf5e2; --notice-bg: #e9f6f9; --info-bg: #eaf6ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --card: #1d2024; --ink: #e7e8ea; --soft: #9aa1ab; --line: #33373d;
    --train: #75a7ff; --val: #ffa057; --rate: #a5c882;
    --error: #ff8079; --warning: #f0b949; --notice: #62c4da; --info: #72cf8e;
    --error-bg: #381f20; --warning-bg: #352b16; --notice-bg: #16303a; --info-bg: #1a3022;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2, h4 { margin: 0; } h2::first-letter, h4::first-letter { text-transform: uppercase; }
h3 { font-size: 1.05rem; margin: 0 0 .6rem; }
p { margin: .3rem 0; }
code { font: .86em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere;
  background: color-mix(in srgb, var(--soft) 13%, transparent); padding: .1em .35em; border-radius: 4px; }
a { color: inherit; text-underline-offset: .2em; }
.soft, cite, figcaption, footer { color: var(--soft); }
.error { --tone: var(--error); --tint: var(--error-bg); }
.warning { --tone: var(--warning); --tint: var(--warning-bg); }
.notice { --tone: var(--notice); --tint: var(--notice-bg); }
.info { --tone: var(--info); --tint: var(--info-bg); }
b[class] { color: var(--tone); }
.counts { font-size: 1.05rem; }
.failure { border-left: 4px solid var(--error); background: var(--error-bg); padding: .7rem 1rem;
  border-radius: 0 8px 8px 0; overflow-wrap: anywhere; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 1.4rem 1.6rem 1.7rem; margin: 1.6rem 0; }
.path { margin: 0 0 .9rem; color: var(--soft); font-size: .86rem; display: flex; gap: 1rem;
  justify-content: space-between; overflow-wrap: anywhere; }
.path span { white-space: nowrap; }
.verdict { display: flex; gap: 1rem; background: var(--tint); border-radius: 10px; padding: 1rem 1.2rem; }
.verdict h2 { color: var(--tone); font-size: 1.35rem; line-height: 1.3; }
.verdict p { margin: .15rem 0; }
.icon { flex: none; width: 2rem; height: 2rem; border-radius: 50%; background: var(--tone);
  color: var(--card); display: grid; place-items: center; font-weight: 700; margin-top: .1rem; }
.part { margin-top: 1.3rem; }
.part + .part { border-top: 1px solid var(--line); padding-top: 1.2rem; }
figure { margin: 0; }
figcaption { font-size: .86rem; margin: -.1rem 0 .8rem; }
svg { width: 100%; height: auto; display: block; font-size: 12px; }
svg text { fill: var(--ink); }
svg .title { font-weight: 600; font-size: 13px; }
svg .tick, svg tspan.soft, svg .soft { fill: var(--soft); font-weight: 400; }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.train { stroke: var(--train); } .line.val { stroke: var(--val); } .line.rate { stroke: var(--rate); }
.dot.train, svg .name.train, svg .lost.train { fill: var(--train); }
.dot.val, svg .name.val, svg .lost.val { fill: var(--val); }
.dot.rate, svg .name.rate, svg .lost.rate { fill: var(--rate); }
svg .name { font-weight: 600; font-size: 12.5px; }
.shade { fill: var(--tone); opacity: .07; }
.mark { stroke: var(--tone); stroke-dasharray: 4 4; stroke-width: 1.3; }
.badge circle { fill: var(--tone); } svg .badge text { fill: var(--card); font-weight: 700; font-size: 11px; }
.best { fill: var(--card); stroke: var(--val); stroke-width: 2.5; }
svg .note { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; font-weight: 600; }
.tip { fill: transparent; } .tip:hover { fill: var(--soft); fill-opacity: .12; }
.small { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: .8rem; max-width: 100%; }
.small svg:only-child { max-width: 30rem; }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 2.2rem; margin: .8rem 0 1.1rem; }
.facts dt { color: var(--soft); font-size: .8rem; } .facts dd { margin: 0; font-weight: 600; }
.facts i { font-weight: 400; font-style: normal; color: var(--soft); margin-left: .25em; }
.finding { border-left: 4px solid var(--tone); padding: .1rem 0 .1rem 1rem; margin: 1.1rem 0; }
.finding h4 { font-size: 1.02rem; display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; }
.count { background: var(--tone); color: var(--card); border-radius: 50%; width: 1.35rem; height: 1.35rem;
  display: inline-grid; place-items: center; font-size: .78rem; }
.pill { background: var(--tint); color: var(--tone); border-radius: 99px; padding: .08rem .6rem;
  font-size: .8rem; font-weight: 600; white-space: nowrap; }
.since { font-size: .86rem; font-weight: 400; }
.finding p { max-width: 46rem; }
.sure { color: var(--soft); font-size: .84rem; display: flex; gap: .6rem; align-items: center; }
meter { width: 7rem; height: .7rem; }
details { font-size: .88rem; margin-top: .3rem; } summary { color: var(--soft); cursor: pointer; }
table { border-collapse: collapse; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: .84rem; }
td, th { padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
td.n, th:nth-child(n+3) { text-align: right; } details td { padding: .15rem 1.2rem .15rem 0; }
.wide { overflow-x: auto; margin: 1.2rem 0; } .wide table { width: 100%; }
.advice { margin-top: 1.4rem; border-top: 1px solid var(--line); padding-top: 1.1rem; }
.advice ol { margin: 0; padding-left: 1.5rem; } .advice li { margin: .3rem 0; padding-left: .2rem; }
.advice li .soft::before { content: "– "; }
cite { font-style: normal; font-size: .82rem; }
.notes { margin-top: 1.2rem; font-size: .9rem; color: var(--soft); } .notes h3 { font-size: .95rem; color: var(--ink); }
.notes ul { margin: 0; padding-left: 1.2rem; }
footer { font-size: .86rem; margin-top: 2rem; }
@media print { body { background: none; } article { break-inside: avoid; border: 0; padding: 0; } }
"""
