"use strict";
// The key figures' changes and sparklines, and what changed.

const ARROWS = { up: "▲", down: "▼", same: "■" };

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function change(now, before) {
  if (now === null || !before) return { way: "same", text: now ? "new" : "–" };
  const part = (now - before) / before;
  const text = `${Math.abs(100 * part).toFixed(1)} %`;
  const shown = Number((100 * part).toFixed(1));
  return { way: shown > 0 ? "up" : shown < 0 ? "down" : "same", text };
}

// A line of the values with a point at the end. It is 100 by 28 units, stretched to the card.
function sparkline(values) {
  const numbers = values.map((value) => value ?? 0);
  const most = Math.max(...numbers), least = Math.min(0, ...numbers);
  const points = numbers.map((value, at) => [
    (100 * at) / Math.max(1, numbers.length - 1),
    26 - (24 * (value - least)) / (most - least || 1),
  ]);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const svg = drawn("svg", { viewBox: "0 0 100 28", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" });
  svg.append(
    drawn("polygon", { points: `0,28 ${line} 100,28`, class: "under" }),
    drawn("polyline", { points: line, class: "over" }),
  );
  return svg;
}

function dayText(day) {
  return new Date(`${day}T00:00Z`).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

function showFigure(card, figure, days) {
  const place = card.querySelector(".change");
  const { way, text } = change(figure.now, figure.before);
  const mark = element("strong", way, `${ARROWS[way]} ${text}`);
  const what = days === 1 ? "1 day vs the day before" : `${days} days vs the ${days} before`;
  place.replaceChildren(mark, element("span", "", ` ${what}`));
  card.querySelector(".line").replaceChildren(...(figure.spark.length > 1 ? [sparkline(figure.spark)] : []));
}

function showSummary(summary, cards) {
  const story = document.getElementById("story");
  const { periods, figures, movements } = summary;
  for (const [name, { panel, card }] of cards) card.querySelector(".value").textContent = number(panel, figures[name].value);
  story.hidden = !periods;
  if (!periods) {
    for (const { card } of cards.values()) {
      card.querySelector(".change").textContent = "Nothing to compare with";
      card.querySelector(".line").replaceChildren();
    }
    return;
  }
  for (const [name, figure] of Object.entries(figures)) if (cards.has(name)) showFigure(cards.get(name).card, figure, periods.days);
  const revenue = figures["total-revenue"];
  const headline = document.getElementById("headline");
  if (revenue) {
    const { way, text } = change(revenue.now, revenue.before);
    const moved = { up: "rose by", down: "fell by", same: "stayed the same:" }[way];
    headline.replaceChildren(
      element("span", "", "Revenue "), element("strong", way, `${moved} ${text}`),
      element("span", "", ` to ${whole(revenue.now)} from ${dayText(periods.since)} to ${dayText(periods.until)}, compared with the ${periods.days === 1 ? "day" : `${periods.days} days`} before.`),
    );
    const { leader } = summary;
    if (leader) headline.append(element("span", "", " Of all segments, "), element("b", "", leader.key), element("span", "", ` earns most: ${(100 * leader.share).toFixed(0)} % of the revenue since ${dayText(periods.first)}.`));
  }
  document.getElementById("movements").replaceChildren(...movements.map((row) => {
    const { way, text } = change(row.now, row.before);
    const item = element("li");
    const more = row.now - row.before;
    item.append(
      element("span", "dimension", row.dimension), element("b", "", row.key),
      element("strong", way, `${ARROWS[way]} ${more > 0 ? "+" : "−"}${whole(Math.abs(more))}`),
      element("span", "", `${whole(row.before)} → ${whole(row.now)}${row.before ? ` (${way === "down" ? "−" : "+"}${text})` : ""}`),
    );
    return item;
  }));
}

function whole(value) {
  return (value ?? 0).toLocaleString("en", { maximumFractionDigits: 0 });
}
