//! Style and script of the page.

/// The script opens what a link leads to, and filters responses; without it all of them are there.
pub(super) const SCRIPT: &str = "
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === 'DETAILS') at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', unfold);
addEventListener('load', unfold);
for (const filter of document.querySelectorAll('.filter')) {
  filter.hidden = false;
  filter.addEventListener('change', () => {
    const [verdict, domain] = ['verdict', 'domain'].map(
      name => filter.querySelector(`[name=${name}]`).value);
    for (const answer of filter.parentElement.querySelectorAll('.answer')) {
      const claims = [...answer.querySelectorAll('li')];
      for (const claim of claims) claim.hidden = verdict && claim.dataset.verdict !== verdict;
      answer.hidden = (domain && answer.dataset.domain !== domain)
        || (verdict && claims.every(claim => claim.hidden));
    }
  });
}
";

/// Colours of figures are those of Okabe and Ito (2008), lighter on a dark background.
pub(super) const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --ink: #1a1a1a; --line: #8884; --good: #007a4d; \
--bad: #b83a20; --dim: #666; --link: #0a58a8; --hue0: #0072B2; --hue1: #D55E00; --hue2: #009E73; \
--hue3: #CC79A7; --hue4: #E69F00; --hue5: #56B4E9 }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e6e6e6; --good: #35c48f; \
--bad: #ff8a70; --dim: #a0a0a0; --link: #7db8f5; --hue0: #4aa8e0; --hue1: #ff8a3d; \
--hue2: #2fc79b; --hue3: #e39ac2; --hue4: #f0b429; --hue5: #8fd0f5 } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 1.5em auto; \
padding: 0 1em; background: var(--paper); color: var(--ink); overflow-wrap: break-word }
h1 { margin: 0 } h2 { font-size: 1.25em; margin: 1.2em 0 .4em }
h3 { font-size: 1.05em; margin: 1em 0 .3em }
a { color: var(--link) }
code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { overflow-x: auto; padding: 1em; border: 1px solid var(--line); border-radius: 6px }
.small { font-size: 12px; color: var(--dim) }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; \
font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid var(--line); \
vertical-align: top }
td { white-space: nowrap } td.long { white-space: normal; min-width: 24em }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; margin: .5em 0 }
dt { color: var(--dim) } dd { margin: 0; min-width: 0 }
nav { columns: 15em; margin: 1em 0; padding: .5em 0; border-top: 1px solid var(--line); \
border-bottom: 1px solid var(--line) }
nav a { display: block }
body > details { border-bottom: 1px solid var(--line); padding: .35em 0 }
body > details > summary { font-size: 1.15em; font-weight: 600; cursor: pointer }
body > details > summary .small { font-weight: 400 }
.findings li { margin: .15em 0 }
.findings h2 { margin-bottom: 0 } .findings ul { margin-top: .2em; padding-left: 1.3em }
figure { margin: 1em 0; overflow-x: auto }
figure svg { max-width: 100%; min-width: 560px; height: auto }
figcaption { font-size: 13px; color: var(--dim) }
svg text { font-family: system-ui, sans-serif }
.graph { overflow-x: auto }
.graph svg { color: inherit }
.graph text { font-size: 11px; fill: currentColor } .graph text.small { fill: var(--dim) }
.graph rect { fill: var(--paper); stroke: var(--dim) }
.graph .ran rect { stroke: var(--good); stroke-width: 2 }
.graph .cached rect { stroke: var(--hue0); stroke-width: 2 }
.graph .failed rect { stroke: var(--bad); stroke-width: 2 }
.graph .skipped rect, .graph .waiting rect { stroke-dasharray: 4 3 }
.edge { fill: none; stroke: var(--dim); opacity: .6 }
.failed { color: var(--bad) }
.answer { border-left: 3px solid var(--line); padding-left: 1em; margin: 1em 0 }
.answer p { margin: .2em 0 }
.answer ul { margin: .2em 0; padding-left: 1.2em }
.prompt { font-weight: 600 }
.filter label { margin-right: 1.5em }
mark { background: none; color: inherit; border-bottom: 3px solid var(--dim) }
mark.supported { border-color: var(--good) }
mark.unsupported { border-color: var(--bad); border-bottom-style: double }
mark.irrelevant { border-color: var(--dim); border-bottom-style: dotted }
mark.undecided { border-color: var(--dim); border-bottom-style: dashed }
@media print { body { max-width: none } nav, .filter { display: none } }
";
