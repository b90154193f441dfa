"use strict";
// Draws each panel once. Refreshes put new data into the existing chart.

const REFRESH_MS = 5000;
const charts = new Map();
const filters = document.getElementById("filters");
const state = document.getElementById("state");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
// The page loads the library and the data in parallel.
const drawing = new Promise((loaded) => document.getElementById("vega").addEventListener("load", loaded));
let asked = 0;

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
  const ink = getComputedStyle(document.body).getPropertyValue("--ink");
  const soft = getComputedStyle(document.body).getPropertyValue("--soft");
  const line = getComputedStyle(document.body).getPropertyValue("--line");
  return {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, gridColor: line, domainColor: line, tickColor: line, labelLimit: 170, titleFontWeight: "normal" },
    legend: { labelColor: soft }, text: { fill: ink }, bar: { color: dark.matches ? "#3d6fa5" : "#9cc2e8" },
    area: { color: dark.matches ? "#3d6fa5" : "#5b9bd5" }, line: { color: dark.matches ? "#7db4f0" : "#2563a8" },
    range: { category: dark.matches ? ["#7db4f0", "#f0a35e", "#7ed0a4", "#e58a94"] : ["#3b7fc4", "#d9822b", "#3a9d6b", "#c4525f"] },
  };
}

function place(panel) {
  const card = document.createElement("article");
  card.id = `panel-${panel.name}`;
  card.className = panel.width;
  card.innerHTML = '<h2></h2><p></p><div class="chart"></div><p class="empty" hidden>Nothing here yet.</p>';
  card.querySelector("h2").textContent = panel.title;
  card.querySelector("p").textContent = panel.about;
  card.style.setProperty("--height", `${panel.spec.height}px`);
  document.getElementById("charts").append(card);
  charts.set(panel.name, { ...panel, card });
}

async function show(chart, text) {
  const rows = JSON.parse(text);
  chart.card.querySelector(".empty").hidden = rows.length > 0;
  chart.card.querySelector(".chart").hidden = rows.length === 0;
  if (rows.length) {
    if (chart.view) {
      await chart.view.data("rows", rows).resize().runAsync();
    } else {
      const spec = { ...chart.spec, data: { name: "rows", values: rows } };
      // The page's policy allows no code from texts and no inline styles: Vega interprets expressions
      // instead of compiling them, and its styles are in style.css.
      const options = {
        actions: false, renderer: "svg", config: config(), ast: true, defaultStyle: false,
        tooltip: { disableDefaultStyle: true },
      };
      chart.view = (await vegaEmbed(chart.card.querySelector(".chart"), spec, options)).view;
    }
  }
  chart.text = text;
}

async function load() {
  const mine = ++asked;
  const chosen = query();
  history.replaceState(null, "", chosen ? `?${chosen}` : location.pathname);
  try {
    await Promise.all([...charts.values()].map(async (chart) => {
      const answer = await fetch(`data/${chart.name}?${chosen}`);
      const text = await answer.text();
      if (!answer.ok) throw new Error(JSON.parse(text).error);
      await drawing;
      // Skip an answer that a newer request has overtaken, or that changes nothing.
      if (mine === asked && text !== chart.text) await show(chart, text);
    }));
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

function table(rows, head) {
  const made = document.createElement("table");
  if (head) made.insertRow().append(...head.map((text) => Object.assign(document.createElement("th"), { textContent: text })));
  for (const row of rows) {
    const line = made.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      cell.textContent = value ?? "–";
      if (typeof value === "number") cell.className = "number";
    }
  }
  return made;
}

async function find(event) {
  event.preventDefault();
  const place = document.getElementById("found");
  const id = event.target.elements.user_id.value.trim();
  try {
    const { profile, events, all_events } = await get(`customers/${encodeURIComponent(id)}`);
    const columns = Object.keys(events[0] || {});
    const history = document.createElement("div");
    history.className = "wide";
    history.tabIndex = 0;
    history.append(table(events.map((row) => columns.map((name) => row[name])), columns));
    const title = document.createElement("h2");
    title.textContent = `History: ${all_events.toLocaleString()} events, the newest ${events.length.toLocaleString()}`;
    place.replaceChildren(table(Object.entries(profile)), title, history);
  } catch (error) {
    place.textContent = error.message;
  }
}

async function start() {
  try {
    const [panels, choices] = await Promise.all([get("panels"), get("choices")]);
    fill(choices);
    panels.forEach(place);
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

document.getElementById("find").addEventListener("submit", find);
start();
