"use strict";
// The page is complete without this script, which keeps it up to date: when the server says that something has changed,
// it fetches the same address again and swaps the regions that differ. Texts of runs are never read as markup here: the
// server has escaped them in what it renders, and events are added as text.

const shortest = 400; // milliseconds between two fetches, and twenty times as long as the last one took
let next = 0, waiting = false;

async function refresh() {
  if (waiting) return;
  waiting = true;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
  waiting = false;
  const began = performance.now();
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  if (response.ok) swap(new DOMParser().parseFromString(await response.text(), "text/html"));
  const took = performance.now() - began;
  next = performance.now() + Math.max(shortest, 20 * took);
}

function swap(fresh) {
  document.title = fresh.title;
  for (const there of fresh.querySelectorAll("[data-region]")) {
    const here = document.getElementById(there.id);
    if (here && here.dataset.was !== there.outerHTML && here.outerHTML !== there.outerHTML) here.replaceWith(there);
  }
}

function addEvent(list, event) {
  const item = document.createElement("li");
  item.textContent = `${event.at} s ${event.name} ${event.block}`;
  if (event.text) {
    const details = document.createElement("details"), summary = document.createElement("summary"), text = document.createElement("pre");
    summary.textContent = item.textContent;
    text.textContent = event.text;
    details.append(summary, text);
    item.replaceChildren(details);
  }
  list.append(item);
}

function connect() {
  const source = new EventSource(document.body.dataset.live);
  const list = document.getElementById("events");
  source.addEventListener("changed", refresh);
  source.addEventListener("event", (message) => list && addEvent(list, JSON.parse(message.data)));
  source.addEventListener("end", () => source.close());
}

connect();
