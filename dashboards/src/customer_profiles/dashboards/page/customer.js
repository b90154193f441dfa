"use strict";
// One customer: the profile and the history, in the page or at an address of its own.

const PROFILE_NAMES = {
  customer_segment: "Segment", total_revenue: "Revenue", total_purchases: "Purchases", avg_order_value: "Average order",
  conversion_rate: "Purchases per 100 events", total_events: "Events", total_sessions: "Sessions", total_product_views: "Views",
  total_cart_additions: "Additions to a cart", days_active: "Active days", first_seen: "First event", last_seen: "Last event",
  favorite_category: "Favorite category", favorite_brand: "Favorite brand", profile_generated_at: "Profile made at",
  segments_version: "Version of the segments",
};

function table(rows, head) {
  const made = document.createElement("table");
  if (head) made.insertRow().append(...head.map((text) => element("th", "", text)));
  for (const row of rows) {
    const line = made.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      cell.textContent = typeof value === "number" ? value.toLocaleString("en") : value ?? "–";
      if (typeof value === "number") cell.className = "number";
    }
  }
  return made;
}

function facts(profile) {
  const list = element("dl");
  for (const [name, title] of Object.entries(PROFILE_NAMES)) {
    if (!(name in profile)) continue;
    const value = profile[name];
    const text = typeof value === "number" ? value.toLocaleString("en") : /_seen|_at$/.test(name) && value ? value.replace("T", " ").slice(0, 19) : value ?? "–";
    const fact = element("div");
    fact.append(element("dt", "", title), element("dd", "", text));
    list.append(fact);
  }
  return list;
}

async function showCustomer(id) {
  const place = document.getElementById("found");
  try {
    const { profile, events, all_events } = await get(`/customers/${encodeURIComponent(id)}`);
    const columns = Object.keys(events[0] || {});
    const history = element("div", "wide");
    history.tabIndex = 0;
    history.append(table(events.map((row) => columns.map((name) => row[name])), columns.map((name) => name.replace(/_/g, " "))));
    const link = element("a", "", `Customer ${profile.user_id}`);
    link.href = `/customer/${encodeURIComponent(profile.user_id)}`;
    const name = element("h2");
    name.append(link);
    place.replaceChildren(name, facts(profile),
      element("h2", "", `History: ${whole(all_events)} events, the newest ${whole(events.length)}`), history);
  } catch (error) {
    place.textContent = error.message;
  }
}

document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  showCustomer(event.target.elements.user_id.value.trim());
});
