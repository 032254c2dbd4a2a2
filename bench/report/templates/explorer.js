// The explorer: filters over every factor, a scatter of runs, a table of cells and a view of one run.
// Data: `explorer-data` (JSON) and `explorer-traces` (16-bit integers), both gzip in base64. See bench/report/sections/explorer.py.

const MISSING = -32768, INFINITE = 32767, ZERO = -32767, SCALE = 100;
const SUPERSCRIPTS = Object.fromEntries([..."-0123456789"].map((c, k) => [c, [..."⁻⁰¹²³⁴⁵⁶⁷⁸⁹"][k]]));
const byId = (id) => document.getElementById(id);

const styled = document.createElement("style");
styled.textContent = await unpacked("table-style");
document.querySelector("style").before(styled); // the page's own rules come after it
await Promise.all([load("vega-code"), load("table-code")]);
const data = JSON.parse(await unpacked("explorer-data"));
const traces = numbers(await inflate("explorer-traces"));
const specs = JSON.parse(byId("explorer-charts").textContent);
const { runs, cells, factors, structures } = data;
const total = runs.id.length;
const indexOf = new Map(runs.id.map((id, k) => [id, k]));
const offsets = (() => {
  const sizes = structures.shared.map((s) => s.layers.length * s.steps.length + s.losses.length + 3 * s.evaluations.length);
  let sum = 0;
  return structures.of.map((k) => { const at = sum; sum += sizes[k]; return at; });
})();

// State: the levels that are let through by factor, the brushed rectangle, and the axes of the scatter.
const chosen = new Map(factors.map((f) => [f.name, new Set(f.levels.keys())]));
let brushed = null;
const axis = { x: data.responses[0].name, y: (data.responses[1] ?? data.responses[0]).name };

const number = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);
const shown = (value) => {
  const v = number(value);
  if (v === null || v === undefined) return "–";
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
  const [digits, power] = v.toExponential(2).split("e").map(Number);
  if (v !== 0 && (power >= 6 || power < -3)) return `${String(digits).replace("-", "−")}·10${[...String(power)].map((c) => SUPERSCRIPTS[c]).join("")}`;
  return String(Number(v.toPrecision(3))).replaceAll("-", "−");
};
const spoken = (name) => name.replaceAll("_", " ");
const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "onchange") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const passes = (levels, k) => factors.every((f) => chosen.get(f.name).has(levels[f.name][k]));

// Charts

function resolved(value) {
  if (typeof value === "string" && value.startsWith("--")) return colour(value);
  if (Array.isArray(value)) return value.map(resolved);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolved(v)]));
  return value;
}

// A chart has its ground within itself, so that what is saved of it can be read anywhere.
function themed(spec, description, ground) {
  const ink = colour("--ink"), muted = colour("--muted"), grid = colour("--grid");
  const font = getComputedStyle(document.body).fontFamily;
  const config = {
    ...spec.config, font, background: colour(ground), view: { stroke: grid },
    axis: { labelColor: muted, titleColor: muted, gridColor: grid, domainColor: grid, tickColor: grid, titleFontWeight: 400, labelFontSize: 12, titleFontSize: 12 },
    axisX: { labelAngle: 0 },
    legend: { orient: "top", labelColor: ink, titleColor: muted, titleFontWeight: 400, labelFontSize: 12, titleFontSize: 12 },
  };
  return { ...resolved(spec), config, description };
}

const views = new Map();

async function draw(id, spec, datasets, description, columns) {
  views.get(id)?.finalize();
  const full = { ...themed(spec, description, id === "scatter" ? "--paper" : "--card"), datasets };
  const result = await window.vegaEmbed(byId(id), full, { actions: false, renderer: id === "scatter" ? "canvas" : "svg" });
  views.set(id, result);
  offer(id, description, { SVG: () => picture(result.view, "svg"), PNG: () => picture(result.view, "png"), CSV: () => csv(Object.values(datasets)[0], columns) });
  return result.view;
}

// Under every chart the same buttons as under the static ones: its picture as SVG and PNG, its data as CSV.
function offer(id, description, kinds) {
  const buttons = Object.entries(kinds).map(([kind, made]) => {
    const button = element("button", { type: "button", "aria-label": `Save as ${kind}: ${description}` }, kind);
    button.onclick = async () => save(`${id}.${kind.toLowerCase()}`, await made());
    return button;
  });
  const row = byId(`${id}-downloads`) ?? element("p", { id: `${id}-downloads`, class: "downloads" });
  row.replaceChildren(...buttons);
  byId(id).after(row);
}

async function picture(view, kind) {
  if (kind === "svg") return new Blob([await view.toSVG()], { type: "image/svg+xml" });
  const canvas = await view.toCanvas(2);
  return new Promise((resolve) => canvas.toBlob(resolve));
}

function csv(rows, columns) {
  const cell = (value) => {
    const text = String(value ?? "");
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [columns, ...rows.map((row) => columns.map((name) => cell(row[name])))];
  return new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], { type: "text/csv" });
}

// Filters

function buildFilters() {
  for (const factor of factors) {
    const boxes = factor.levels.map((level, k) => {
      const box = element("input", { type: "checkbox", "data-factor": factor.name, "data-level": k, onchange: () => {
        const set = chosen.get(factor.name);
        if (box.checked) set.add(k); else set.delete(k);
        refresh();
      } });
      box.checked = true;
      return element("label", {}, box, ` ${level}`);
    });
    byId("filters").append(element("fieldset", {}, element("legend", {}, factor.title), ...boxes));
  }
  byId("filters-clear").onclick = () => { setFilters({}); refresh(); };
  for (const side of ["x", "y"]) {
    const select = byId(`axis-${side}`);
    for (const response of data.responses) {
      const unit = response.unit === "1" ? "" : ` (${response.unit})`;
      select.append(element("option", { value: response.name, title: response.definition }, response.title + unit));
    }
    select.value = axis[side];
    select.onchange = () => { axis[side] = select.value; brushed = null; drawScatter(); refreshTable(); };
  }
}

function setFilters(levelsByFactor) {
  for (const factor of factors) {
    const named = levelsByFactor[factor.name];
    const keep = named ? factor.levels.map((level, k) => (named.includes(level) ? k : -1)).filter((k) => k >= 0) : [...factor.levels.keys()];
    chosen.set(factor.name, new Set(keep));
  }
  for (const box of document.querySelectorAll("#filters input")) {
    box.checked = chosen.get(box.dataset.factor).has(Number(box.dataset.level));
  }
}

// Scatter

function runRows() {
  const x = runs.responses[axis.x], y = runs.responses[axis.y], rows = [];
  for (let k = 0; k < total; k++) {
    if (!passes(runs.levels, k)) continue;
    const row = { k, run: runs.id[k], outcome: spoken(data.outcomes[runs.outcome[k]]), symptom: data.symptoms[runs.verdicts.symptom_start[k]], x: number(x[k]), y: number(y[k]) };
    for (const factor of factors) row[factor.name] = factor.levels[runs.levels[factor.name][k]];
    rows.push(row);
  }
  return rows;
}

const titled = (name) => {
  const r = data.responses.find((each) => each.name === name);
  return r.unit === "1" ? r.title : `${r.title} (${r.unit})`;
};

const happened = new Set(runs.outcome.map((k) => data.outcomes[k])); // the legend is of these outcomes only

async function drawScatter() {
  const spec = structuredClone(specs.scatter);
  spec.encoding.x.title = titled(axis.x);
  spec.encoding.y.title = titled(axis.y);
  for (const channel of ["color", "shape"]) {
    const { domain, range } = spec.encoding[channel].scale, kept = [...domain.keys()].filter((k) => happened.has(domain[k]));
    spec.encoding[channel].scale = { domain: kept.map((k) => spoken(domain[k])), range: kept.map((k) => range[k]) };
  }
  spec.encoding.tooltip.at(-2).title = titled(axis.x);
  spec.encoding.tooltip.at(-1).title = titled(axis.y);
  const drawn = runRows().filter((row) => Number.isFinite(row.x) && Number.isFinite(row.y));
  if (!drawn.length) for (const side of ["x", "y"]) spec.encoding[side].scale.domain = [0, 1];
  byId("scatter-note").textContent = `${drawn.length.toLocaleString("en")} runs drawn; a run in which either number was not measured, or is infinite, has no mark.`;
  const view = await draw("scatter", spec, { runs: drawn }, `Scatter of ${titled(axis.y)} against ${titled(axis.x)}, one mark a run. The table below holds the same cells.`, ["run", "outcome", "symptom", ...factors.map((f) => f.name), "x", "y"]);
  view.addSignalListener("brush", (_, value) => { brushed = Object.keys(value).length ? value : null; refreshTable(); });
  view.addEventListener("click", (_, item) => { if (item?.datum?.run) location.hash = `run=${encodeURIComponent(item.datum.run)}`; });
}

const within = (range, value) => value !== null && Number.isFinite(value) && value >= Math.min(...range) && value <= Math.max(...range);
function brushedCells() {
  if (!brushed?.x || !brushed?.y) return null;
  const x = runs.responses[axis.x], y = runs.responses[axis.y], found = new Set();
  for (let k = 0; k < total; k++) {
    if (passes(runs.levels, k) && within(brushed.x, number(x[k])) && within(brushed.y, number(y[k]))) found.add(runs.cell[k]);
  }
  return found;
}

// Table of cells

const runsOf = (() => {
  const found = cells.key.map(() => []);
  runs.cell.forEach((cell, k) => found[cell].push(k));
  return found;
})();

const replicateLinks = (c) => runsOf[c].map((k) => `<a href="#run=${encodeURIComponent(runs.id[k])}" aria-label="replicate ${runs.replicate[k]} of ${factors.map((f) => f.levels[cells.levels[f.name][c]]).join(", ").replace(/[&<>"]/g, "")}">${runs.replicate[k]}</a>`).join(" ");

let table;
function buildTable() {
  const columns = [
    ...factors.map((f) => ({ title: f.title, data: (c) => cells.levels[f.name][c], render: (value, kind) => (kind === "sort" || kind === "type" ? value : window.DataTable.render.text().display(f.levels[value])) })),
    { title: "runs", data: (c) => cells.runs[c] },
    ...["learned", "diverged", "failed"].map((name) => ({ title: name, data: (c) => cells.outcomes[name]?.[c] ?? 0 })),
    { title: `${structures.lag ? "time" : "signal"} ratio at start (decades)`, data: (c) => number(cells.medians[structures.lag ? "time_ratio_start" : "signal_ratio_start"][c]), render: (v, kind) => (kind === "display" ? shown(v) : v ?? -1e9) },
    { title: "final validation accuracy", data: (c) => number(cells.medians.final_validation_accuracy[c]), render: (v, kind) => (kind === "display" ? shown(v) : v ?? -1) },
    { title: "replicates", data: (c) => c, orderable: false, searchable: false, render: (c, kind) => (kind === "display" ? replicateLinks(c) : c) },
  ];
  table = new window.DataTable("#cells", {
    data: [], columns, deferRender: true, pageLength: 10, order: [], autoWidth: false,
    columnDefs: [{ targets: "_all", className: "dt-left" }],
    layout: { bottomEnd: { paging: { numbers: true, firstLast: false } } },
    language: { search: "Search cells:", info: "_START_ to _END_ of _TOTAL_ cells", infoEmpty: "no cells", infoFiltered: "(of _MAX_)", lengthMenu: "_MENU_ a page", zeroRecords: "No cell fits.", emptyTable: "No cell fits." },
  });
  const scroller = byId("cells").parentElement;
  for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", "Table of cells"]]) scroller.setAttribute(name, value);
  // The headings say that they are buttons, and a button is pressed with the space bar too.
  byId("cells").tHead.addEventListener("keydown", (event) => {
    if (event.key === " " && !event.repeat && event.target.matches("[role=button]")) { event.preventDefault(); event.target.click(); }
  });
}

function refreshTable() {
  const inside = brushedCells(), rows = [];
  for (let c = 0; c < cells.key.length; c++) if (passes(cells.levels, c) && (!inside || inside.has(c))) rows.push(c);
  table.clear().rows.add(rows).draw();
  const fitting = rows.reduce((sum, c) => sum + cells.runs[c], 0), learned = rows.reduce((sum, c) => sum + (cells.outcomes.learned?.[c] ?? 0), 0);
  byId("filtered").textContent = `${rows.length.toLocaleString("en")} of ${cells.key.length.toLocaleString("en")} cells, ${fitting.toLocaleString("en")} of ${total.toLocaleString("en")} runs; ${learned.toLocaleString("en")} of these runs learned.`;
}

const refresh = () => { brushed = null; refreshTable(); return drawScatter(); };

// One run

const decode = (value) => (value === MISSING ? null : value === INFINITE ? Infinity : value === ZERO ? -Infinity : value / SCALE);

async function showRun(id) {
  const k = indexOf.get(id), section = byId("run");
  section.hidden = false;
  byId("run-name").textContent = id;
  if (k === undefined) { byId("run-body").hidden = true; byId("run-said").textContent = "There is no such run on this page."; section.focus(); section.scrollIntoView(); return; }
  byId("run-body").hidden = false;
  const gradients = structures.lag ? "" : `; by its gradients ${data.symptoms[runs.verdicts.symptom_start[k]]} at initialization, ${data.symptoms[runs.verdicts.symptom_end[k]]} at the last recorded step`;
  byId("run-said").textContent = `${data.became[runs.became[k]]} (${data.score.title} ${shown(runs.score[k])}${data.score.bar})${gradients}.`;
  showCause(k);
  showSimilar(k);
  const usual = (name, level) => (data.baseline[name] === undefined || data.baseline[name] === level ? "" : `baseline ${data.baseline[name]}`);
  const rows = [
    ...factors.map((f) => [f, f.levels[runs.levels[f.name][k]]]).map(([f, level]) => [f.title, level, "varied", usual(f.name, level)]),
    ["replicate", runs.replicate[k], "", ""],
    ...data.fixed.map(([name, level]) => [name, level, "fixed", ""]),
  ];
  fill("run-settings", rows);
  fill("run-verdicts", data.sets.map((s) => [s.title, data.symptoms[runs.verdicts[s.name][k]]]));
  fill("run-responses", data.responses.map((r) => [r.title, shown(runs.responses[r.name][k]), r.unit === "1" ? "" : r.unit]));
  const events = eventsOf(k);
  byId("run-events").replaceChildren(...(events.length ? events.map(({ step, event }) => element("li", {}, `step ${step}: ${event}`)) : [element("li", {}, "none")]));
  if (runs.errors[k]) byId("run-events").append(element("li", {}, runs.errors[k]));
  byId("run-code").textContent = `import pandas as pd\nrun = [("run_id", "==", "${id}")]\npd.read_parquet("tables/runs", filters=run)\npd.read_parquet("tables/gradient_norms", filters=run)\n\n# bench show RESULTS ${id} --html${data.scripts && !runs.errors[k] ? `\n# bench script RESULTS ${id} --out run.py` : ""}`;
  await drawRun(k, id);
  section.focus();
  section.scrollIntoView();
}

const eventsOf = (k) => data.events.run.flatMap((run, e) => (run === k ? [{ step: data.events.step[e], event: `${spoken(data.events.kind[e])} in the ${data.events.place[e]}` }] : []));

// The rules on causes that hold, the cause of a run that ended badly first; each with layer, step, number and threshold.
function showCause(k) {
  const { signs } = data, at = signs.run.flatMap((run, s) => (run === k ? [s] : []));
  const told = at.map((s) => {
    const rule = signs.rules[signs.rule[s]], place = signs.place[s] < 0 ? "" : `${signs.places[signs.place[s]]}, `;
    const said = rule.said.replace("{value}", shown(signs.value[s])).replace("{threshold}", shown(signs.threshold[s])).replace("{tensor}", signs.tensors[signs.tensor[s]] ?? "");
    return `${rule.cause} – ${place}step ${signs.step[s]}: ${said}`;
  });
  const cause = runs.cause[k] < 0 ? "" : signs.causes[runs.cause[k]];
  const first = cause && told.length && told[0].startsWith(cause) ? told.shift() : cause;
  byId("run-cause").textContent = cause ? `Cause: ${first}` : "It learned, so that no cause is looked for.";
  byId("run-signs").replaceChildren(...told.map((each) => element("li", {}, `${cause ? "also: " : "on the way: "}${each}`)));
}

// Runs of the same replicate with one change; an update rule and its rate count as one, as in bench/analysis/similar.py.
function showSimilar(k) {
  const found = [];
  for (let other = 0; other < total; other++) {
    if (other === k || runs.replicate[other] !== runs.replicate[k]) continue;
    const changed = factors.filter((f) => runs.levels[f.name][other] !== runs.levels[f.name][k]);
    if (new Set(changed.map((f) => (f.name === "learning_rate" ? "optimizer" : f.name))).size === 1) found.push({ other, changed });
  }
  const worse = ({ other }) => { const score = number(runs.score[other]); return score === null ? Infinity : data.score.least ? score : -score; };
  found.sort((a, b) => runs.became[a.other] - runs.became[b.other] || worse(a) - worse(b));
  const trained = found.filter(({ other }) => runs.became[other] === 0).length;
  byId("run-changes").textContent = `Of ${found.length} runs that differ by one change, ${trained} trained.`;
  byId("run-score").textContent = data.score.title;
  fill("run-similar", found.map(({ other, changed }) => [
    element("a", { href: `#run=${encodeURIComponent(runs.id[other])}` }, changed.map((f) => `${f.title} ${f.levels[runs.levels[f.name][other]]}`).join(" and ")),
    changed.map((f) => f.levels[runs.levels[f.name][k]]).join(" and "), data.became[runs.became[other]], shown(runs.score[other]),
  ]));
}

function fill(id, rows) {
  byId(id).tBodies[0].replaceChildren(...rows.map(([name, ...rest]) => element("tr", {}, element("th", { scope: "row" }, name instanceof Node ? name : String(name)), ...rest.map((cell) => element("td", {}, String(cell))))));
}

function decadesIn([low, high]) {
  const every = Math.max(1, Math.ceil((high - low) / 6)), first = Math.ceil(low);
  return Array.from({ length: Math.floor((Math.floor(high) - first) / every) + 1 }, (_, k) => first + k * every);
}

async function drawRun(k, id) {
  const s = structures.shared[structures.of[k]];
  let at = offsets[k];
  const norms = [];
  for (const layer of s.layers) for (const step of s.steps) {
    const value = decode(traces[at++]);
    if (value !== null) norms.push({ layer, step, log10_norm: value, norm: Math.max(-300, Math.min(300, value)), said: shown(value) });
  }
  const curve = (split, name, steps, value) => steps.map((step) => ({ split, step, [name]: value(decode(traces[at++])) }));
  const loss = (v) => (v === null ? NaN : 10 ** v), rate = (v) => (v ?? NaN) / 100;
  const known = (name) => (row) => Number.isFinite(row[name]) && (name !== "loss" || row.loss > 0);
  const batches = curve("training batch", "loss", s.losses, loss);
  const accuracies = ["train", "validation"].flatMap((split) => curve(split, "accuracy", s.evaluations, rate)).filter(known("accuracy"));
  const losses = [...batches, ...curve("validation", "loss", s.evaluations, loss)].filter(known("loss")), events = eventsOf(k);
  const heat = structuredClone(specs.heatmap);
  heat.encoding.color.scale.domain = structures.limits;
  heat.encoding.color.legend.values = decadesIn(structures.limits);
  if (structures.lag) {
    heat.encoding.y.title = "lag: steps before the loss";
    heat.encoding.color.legend.title = "gradient over lag 0's";
    heat.encoding.tooltip[1].title = "lag";
    const told = " Gradient for the state over that at lag 0 of the same step. The colour scale is that of every run of this page. From the table time_gradients.";
    byId("run-heatmap").previousElementSibling.replaceChildren(element("strong", {}, "Gradient left by lag and step"), told);
  }
  const what = structures.lag ? "Gradient left by lag and step" : "Pre-activation gradient norm by layer and step";
  await draw("run-heatmap", heat, { cells: norms }, `${what} of ${id}; the colour scale is the same for every run.`, ["layer", "step", "log10_norm"]);
  const layered = (spec) => (events.length ? spec : { ...spec, layer: spec.layer.slice(1) }); // Vega warns of a layer without data
  await draw("run-loss", layered(specs.loss), { losses, events }, `Loss by step of ${id}.`, ["split", "step", "loss"]);
  await draw("run-accuracy", layered(specs.accuracy), { accuracies, events }, `Accuracy by step of ${id}.`, ["split", "step", "accuracy"]);
}

// Links: #run=ID shows a run; #where=factor:level|level;factor:level sets the filters.

async function follow() {
  const hash = location.hash.slice(1);
  if (hash.startsWith("run=")) await showRun(decoded(hash.slice(4)));
  else if (hash.startsWith("where=")) {
    const parts = hash.slice(6).split(";").filter(Boolean).map((part) => part.split(":"));
    setFilters(Object.fromEntries(parts.map(([name, ...levels]) => [decoded(name), levels.join(":").split("|").map(decoded)])));
    await refresh();
    byId("explorer").scrollIntoView();
    byId("filtered").focus();
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const setTheme = () => document.documentElement.classList.toggle("dark", dark.matches);
dark.addEventListener("change", async () => { setTheme(); await refresh(); if (!byId("run").hidden && indexOf.has(byId("run-name").textContent)) await drawRun(indexOf.get(byId("run-name").textContent), byId("run-name").textContent); });

setTheme();
byId("explorer-live").hidden = false;
buildFilters();
buildTable();
byId("run-close").onclick = () => { byId("run").hidden = true; history.pushState(null, "", "#explorer"); byId("filtered").focus(); };
refreshTable();
window.addEventListener("hashchange", follow);
await drawScatter();
await follow();
document.documentElement.dataset.explorer = "ready";
