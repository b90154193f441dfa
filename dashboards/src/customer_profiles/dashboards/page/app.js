"use strict";
// Draws each panel once. Refreshes put new data into the existing chart.

const REFRESH_MS = 5000;
const TABS = { customers: "Customers", pipeline: "Pipeline", experiments: "Experiments", quality: "Data quality" };
const charts = new Map();
const filters = document.getElementById("filters");
const state = document.getElementById("state");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
// The page loads the library and the data in parallel.
const drawing = new Promise((loaded) => {
  if (window.vegaEmbed) loaded();
  else document.getElementById("vega").addEventListener("load", loaded);
});
let asked = 0;
let summaryText;

async function get(path) {
  const answer = await fetch(path);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error || answer.statusText);
  return content;
}

function query() {
  const chosen = new URLSearchParams();
  for (const [name, value] of new FormData(filters)) if (value) chosen.set(name, value);
  return chosen.toString();
}

function config() {
  const style = getComputedStyle(document.body);
  const [ink, soft, line, plain] = ["--ink", "--soft", "--line", "--plain"].map((name) => style.getPropertyValue(name));
  return {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, labelLimit: 170, titleFontWeight: "normal", labelFontSize: 12 },
    axisY: { domain: false, ticks: false, labelPadding: 6 },
    legend: { labelColor: soft, labelFontSize: 12 }, text: { fill: ink }, bar: { color: plain, cornerRadiusEnd: 3 },
    area: { color: plain, fillOpacity: 0.85 }, line: { color: plain },
  };
}

// A dashboard is a section with a tab of its own, in the order of its first panel.
function section(name) {
  const found = document.getElementById(name);
  if (found) return found;
  const made = element("section");
  made.id = name;
  const title = TABS[name] || name[0].toUpperCase() + name.slice(1);
  made.setAttribute("aria-label", title);
  made.append(element("h2", "part", title), element("div", "figures"), element("div", "grid"));
  document.getElementById("charts").append(made);
  tab(name, title);
  return made;
}

function tab(name, title) {
  const link = element("a", "", title);
  link.href = `#${name}`;
  document.getElementById("tabs").append(link);
}

function place(panel) {
  const card = element("article", panel.width);
  card.id = `panel-${panel.name}`;
  const title = element("h2", "", panel.title);
  const about = element("p", "about", panel.about);
  const figure = panel.chart === "metric";
  if (figure) {
    card.append(title, element("div", "value", "…"), element("p", "change"), element("div", "line"), about);
  } else {
    const empty = element("p", "empty", panel.empty);
    empty.hidden = true;
    card.append(title, element("p", "total"), about, element("div", "chart"), empty);
    if (panel.chart === "documents" && !["customers", "pipeline"].includes(panel.dashboard)) card.classList.add("table");
    if (!panel.row_height) card.style.setProperty("--height", `${panel.spec.height}px`);
  }
  section(panel.dashboard).querySelector(figure ? ".figures" : ".grid").append(card);
  charts.set(panel.name, { ...panel, card });
}

function number(chart, value) {
  if (value === null) return "–";
  const decimals = value < 100_000 ? chart.decimals : 0;
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return value.toLocaleString("en", chart.percent ? { ...digits, style: "percent" } : digits);
}

// The one number of a chart, or its first name, beside its title.
function total(chart, rows) {
  if (!chart.whole || !rows.length || chart.name === "funnel") return "";
  const sum = rows.reduce((all, row) => all + (row.value ?? 0), 0);
  if (chart.chart !== "bar" || chart.dashboard !== "customers") return whole(sum);
  if (!chart.name.startsWith("segment")) return (rows.find((row) => !["(none)", "(other)"].includes(row.key)) || rows[0]).key;
  return `${rows[0].key}: ${((100 * rows[0].value) / (sum || 1)).toFixed(0)} %`;
}

async function show(chart, text) {
  const rows = JSON.parse(text);
  const isEmpty = rows.length === 0;
  chart.card.querySelector(".empty").hidden = !isEmpty;
  chart.card.querySelector(".chart").hidden = isEmpty;
  chart.card.querySelector(".total").textContent = total(chart, rows);
  if (!isEmpty) await draw(chart, rows);
  chart.text = text;
}

async function draw(chart, rows) {
  // The server's height is that of one row.
  const height = chart.spec.height + chart.row_height * (rows.length - 1);
  if (chart.view) {
    await chart.view.height(height).data("rows", rows).resize().runAsync();
    return;
  }
  const spec = { ...chart.spec, height, data: { name: "rows", values: rows } };
  // The page's policy allows no code from texts and no inline styles: Vega interprets expressions
  // instead of compiling them, and its styles are in style.css.
  const options = {
    actions: false, renderer: "svg", config: config(), ast: true, defaultStyle: false,
    tooltip: { disableDefaultStyle: true },
  };
  chart.view = (await vegaEmbed(chart.card.querySelector(".chart"), spec, options)).view;
}

async function fetchText(path) {
  const answer = await fetch(path);
  const text = await answer.text();
  if (!answer.ok) throw new Error(JSON.parse(text).error);
  return text;
}

async function load() {
  const mine = ++asked;
  const chosen = query();
  history.replaceState(null, "", (chosen ? `?${chosen}` : location.pathname) + location.hash);
  try {
    const compare = fetchText(`/summary?${chosen}`).then((text) => {
      if (mine !== asked || text === summaryText) return;
      summaryText = text;
      const figures = [...charts].filter(([, chart]) => chart.chart === "metric");
      showSummary(JSON.parse(text), new Map(figures.map(([name, chart]) => [name, { panel: chart, card: chart.card }])));
    });
    // One answer has all key figures.
    const drawn = [...charts.values()].filter((chart) => chart.chart !== "metric");
    await Promise.all([compare, ...drawn.map(async (chart) => {
      const text = await fetchText(`/data/${chart.name}?${chosen}`);
      await drawing;
      // Skip an answer that a newer request has overtaken, or that changes nothing.
      if (mine === asked && text !== chart.text) await show(chart, text);
    })]);
    if (mine === asked) {
      state.className = "";
      state.textContent = `As of ${new Date().toLocaleTimeString()}`;
      document.body.dataset.loaded = chosen || "all";
      performance.mark("shown");
    }
  } catch (error) {
    state.className = "bad";
    state.textContent = error.message;
  }
}

function fill(choices) {
  const given = new URLSearchParams(location.search);
  for (const name of ["segment", "category", "brand"])
    for (const value of choices[name]) filters.elements[name].append(new Option(value, value));
  for (const name of ["since", "until"]) {
    filters.elements[name].min = choices.first || "";
    filters.elements[name].max = choices.last || "";
  }
  for (const [name, value] of given) if (filters.elements[name]) filters.elements[name].value = value;
}

async function start() {
  const customer = location.pathname.match(/^\/customer\/([^/]+)$/);
  if (customer) {
    document.body.classList.add("one");
    await showCustomer(decodeURIComponent(customer[1]));
    state.textContent = "";
    document.body.dataset.loaded = "customer";
    return;
  }
  try {
    const [panels, choices] = await Promise.all([get("/panels"), get("/choices")]);
    fill(choices);
    panels.forEach(place);
    tab("customer", "One customer");
    filters.addEventListener("change", load);
    filters.addEventListener("reset", () => setTimeout(load));
    dark.addEventListener("change", () => {
      for (const chart of charts.values()) chart.view = chart.text = undefined;
      load();
    });
    await load();
    setInterval(() => { if (document.getElementById("live").checked && !document.hidden) load(); }, REFRESH_MS);
  } catch (error) {
    state.className = "bad";
    state.textContent = error.message;
  }
}

start();
