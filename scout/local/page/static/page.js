"use strict";
// The page is complete without this script, which keeps it up to date: when the server says that something has changed,
// it fetches the same address again and swaps the regions that differ. Texts of runs are never read as markup here: the
// server has escaped them in what it renders, and events are added as text.

const SHORTEST = 400; // milliseconds between two fetches, and forty times as long as the last one took
const AGAIN = 2000; // milliseconds from a lost connection to the next attempt
const MOST_EVENTS = 500; // in the list
const MOST_SHOWN = 20000; // characters of an event, and of a text that grows
const LOST = "The connection to the local Scout is lost. The page goes on when it is back.";

const rendered = new Map(); // the id of each region -> what the server rendered last
const growing = new Map(); // the id of each block that sends its text in pieces -> the end of the text so far
let stream = null, seen = 0, isOver = false; // seen: the number of events that have come
let isLoading = false, isWanted = false, isBehind = false, isLost = false, next = 0;

// --- Regions ---

// What the server rendered of a region, without the regions in it, which are compared for themselves.
function own(region) {
  const copy = region.cloneNode(true);
  for (const inner of copy.querySelectorAll("[data-region]")) inner.replaceChildren();
  return copy.outerHTML;
}

// Whether the user would lose something: a selected text, or a form that is being filled in.
function isInUse(region) {
  const selection = document.getSelection();
  return (!selection.isCollapsed && selection.containsNode(region, true)) || region.querySelector("form[data-edited]");
}

function swap(fresh) {
  document.title = fresh.title;
  isBehind = false;
  for (const there of fresh.querySelectorAll("[data-region]")) {
    const here = document.getElementById(there.id), text = own(there);
    if (!here || rendered.get(there.id) === text) continue;
    if (here !== there) { // it is the same when it came with the region around it
      if (isInUse(here)) {
        isBehind = true;
        continue;
      }
      replace(here, there);
    }
    rendered.set(there.id, text);
  }
  grow();
}

function replace(here, there) {
  for (const inner of there.querySelectorAll("[data-region]")) {
    const kept = document.getElementById(inner.id);
    if (kept) inner.replaceWith(kept);
  }
  const focused = here.contains(document.activeElement) && keyOf(document.activeElement);
  const scrolled = [];
  const row = scrollY > 0 && [...here.querySelectorAll("[data-key]")].find((each) => topOf(each) >= 0);
  const top = row && topOf(row); // the first row that is seen stays where it is when others come above it
  for (const now of [there, ...there.querySelectorAll("[id]")]) {
    const before = document.getElementById(now.id);
    if (!before || before === now) continue;
    if (now.localName === "details") now.open = before.open;
    if (before.scrollTop || before.scrollLeft) scrolled.push([now, before.scrollLeft, before.scrollTop]);
  }
  here.replaceWith(there);
  const moved = row && document.getElementById(row.id);
  if (moved) scrollBy(0, topOf(moved) - top);
  for (const [now, left, top] of scrolled) now.scrollTo(left, top);
  if (focused) [there, ...there.querySelectorAll("*")].find((each) => keyOf(each) === focused)?.focus({ preventScroll: true });
}

const topOf = (element) => element.getBoundingClientRect().top;

// What names an element that can have the focus, before and after a swap.
function keyOf(element) {
  const { localName, id, parentElement } = element;
  const name = id || element.getAttribute("href") || element.getAttribute("name") || (localName === "summary" && parentElement.id);
  return name && `${localName} ${name}`;
}

// --- Fetching the page again ---

async function refresh() {
  isWanted = true;
  if (isLoading) return;
  isLoading = true;
  while (isWanted) {
    await pause(next - performance.now());
    isWanted = false;
    const began = performance.now();
    await load();
    next = performance.now() + Math.max(SHORTEST, 40 * (performance.now() - began));
  }
  isLoading = false;
}

// Return true when the page is there.
async function load() {
  try {
    const response = await fetch(location.href, { headers: { accept: "text/html" } });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.ok) swap(fresh);
    else if (response.status === 404) isOver = true;
    say(response.ok ? "" : fresh.querySelector("[role=alert]")?.textContent ?? `The local Scout answers with status ${response.status}.`);
    return response.ok;
  } catch {
    say(LOST);
    return false;
  }
}

function say(text) {
  const place = document.getElementById("connection");
  if (place.textContent !== text) place.textContent = text;
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, Math.max(0, milliseconds)));

// --- Events ---

function addEvents(views) {
  const list = document.getElementById("events");
  const items = [];
  for (const view of views) {
    seen = view.number + 1;
    if (view.piece) growing.set(view.block, ((growing.get(view.block) ?? "") + view.piece).slice(-MOST_SHOWN));
    items.push(itemOf(view, list.dataset.address));
  }
  follow(list, () => list.append(...items), list.childElementCount > 0);
  while (list.childElementCount > MOST_EVENTS) list.firstElementChild.remove();
  grow();
}

// Make a change at the end of a list or text, which stays in sight when it is.
function follow(place, change, isWanted = true) {
  const isAtEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 20;
  change();
  if (isAtEnd && isWanted) place.scrollTop = place.scrollHeight;
}

function itemOf(view, address) {
  const item = element("li"), line = element(view.sent ? "summary" : "p");
  item.value = seen;
  line.append(element("span", `${view.at} s`), " ", element("code", view.name), " ", element("bdi", view.block));
  if (view.piece) line.append(" ", element("q", view.piece.slice(0, 60)));
  item.append(view.sent ? foldOf(line, address + view.number) : line);
  return item;
}

// The text of an event is here only while it is open.
function foldOf(summary, address) {
  const details = element("details"), text = element("pre"), whole = element("a", "Only this event, as text");
  whole.href = address;
  text.tabIndex = 0;
  details.append(summary, text, whole);
  details.addEventListener("toggle", async () => {
    text.textContent = details.open ? (await textAt(address)).slice(0, MOST_SHOWN) : "";
  });
  return details;
}

async function textAt(address) {
  try {
    const response = await fetch(address);
    return response.ok ? await response.text() : "This event is not kept any more.";
  } catch {
    return LOST;
  }
}

function element(name, text = "") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function grow() {
  for (const place of document.querySelectorAll("[data-growing]")) {
    const text = growing.get(place.dataset.growing) ?? "";
    if (place.textContent !== text) follow(place, () => { place.textContent = text; });
  }
}

// --- The stream of the server ---

function connect() {
  if (stream || isOver || isLost || document.hidden) return;
  stream = new EventSource(`${document.body.dataset.live}?from=${seen}`);
  stream.addEventListener("changed", refresh);
  stream.addEventListener("events", (message) => addEvents(JSON.parse(message.data)));
  stream.addEventListener("end", () => { isOver = true; disconnect(); });
  stream.addEventListener("error", async () => {
    disconnect();
    say(LOST);
    isLost = true;
    do await pause(AGAIN); while (!(await load()) && !isOver);
    isLost = false;
    connect();
  });
}

// A browser allows six connections to a server, so that a page that nobody sees has none.
function disconnect() {
  stream?.close();
  stream = null;
}

// --- Commands and programs to copy ---

document.addEventListener("click", async ({ target }) => {
  if (!target.matches("[data-copy]")) return;
  try {
    await navigator.clipboard.writeText(target.nextElementSibling.textContent);
    say("Copied.");
  } catch {
    say("The browser does not allow to copy.");
  }
});

if (document.body.dataset.live) {
  for (const region of document.querySelectorAll("[data-region]")) rendered.set(region.id, own(region));
  document.addEventListener("input", (event) => event.target.form?.setAttribute("data-edited", ""));
  document.addEventListener("selectionchange", () => isBehind && document.getSelection().isCollapsed && refresh());
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  connect();
}
