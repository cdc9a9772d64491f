// The page: a hub client, and the parts that it moves.

import { Board } from "./board.js";
import { Cards } from "./cards.js";
import { HubClient } from "./client.js";
import { Cursors } from "./cursors.js";
import { announce, byId } from "./dom.js";
import { Inspector } from "./inspector.js";
import { palette } from "./palette.js";
import { People } from "./people.js";
import { json, messagepack } from "./protocol.js";
import { Wire } from "./wire.js";

/** @typedef {import("./cursors.js").Person} Person */
/** @typedef {{ room: string, you: number, people: Person[], board: string[] }} Snapshot */

/** Milliseconds between two reports of the pen. */
const moveEvery = 50;
const measureEvery = 2_000;

const kept = recall();
let room = kept.room ?? "Lobby";
let name = kept.name ?? "";
let you = 0;
/** Whether the reader has a colour; the first is the one that the hub gave. */
let chosen = false;

const inspector = new Inspector();
const wire = new Wire({
  cut: () => client.cut(),
  retry: () => (client.state.name === "stopped" ? client.start() : client.retryNow()),
});
const people = new People(byId("people", HTMLElement));
const board = new Board(byId("board", HTMLCanvasElement), byId("pen", HTMLElement), {
  paint: (x, y, colour) => {
    client.send("Paint", x, y, colour);
    byId("hint", HTMLElement).textContent = "A second tab would show it too.";
  },
  point: report,
  choose: (colour) => choose(colour),
});
const cursors = new Cursors(byId("cursors", HTMLElement), board);
const choose = palette((colour) => (board.colour = colour));
const nameField = byId("name", HTMLInputElement);
const veil = byId("veil", HTMLElement);

const client = new HubClient(new URL("hub", location.href), {
  protocol: kept.protocol === "messagepack" ? messagepack : json,
  onFrame: (f) => {
    inspector.add(f);
    wire.frame(f);
  },
  onState: (s) => {
    wire.state(s);
    if (s.name === "connected") void enter();
    else cards.lost();
    veil.hidden = s.name !== "stopped" || !s.error;
    if (s.error) veil.textContent = s.error.message;
  },
});
const cards = new Cards(client, () => ({
  x: Math.floor(Math.random() * (board.width - 8)),
  y: Math.floor(Math.random() * (board.height - 8)),
}));

client.on("Entered", (/** @type {Snapshot} */ s) => {
  room = s.room;
  you = s.you;
  people.show(s.people, s.you);
  cursors.clear();
  board.show(s.board);
  byId("hub-name", HTMLElement).textContent = s.room;
});
client.on("Came", (/** @type {Person} */ p) => people.add(p));
client.on("Left", (/** @type {number} */ id) => {
  people.remove(id);
  cursors.remove(id);
});
client.on("Renamed", (/** @type {number} */ id, /** @type {string} */ name) => {
  people.rename(id, name);
  cursors.rename(id, name);
});
client.on("Moved", (/** @type {number} */ id, /** @type {number} */ x, /** @type {number} */ y) => {
  const who = people.get(id);
  if (who && id !== you) cursors.move(who, x, y);
});
client.on("Painted", (/** @type {number} */ id, /** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ colour) => {
  board.set(x, y, colour);
  const who = people.get(id);
  if (who && id !== you) cursors.move(who, x + 0.5, y + 0.5);
});

/** Takes a seat in the room, on every new connection and on every change of room. */
async function enter() {
  try {
    /** @type {Person} */
    const me = await client.invoke("Enter", room, name);
    name = me.name;
    if (document.activeElement !== nameField) nameField.value = me.name;
    if (!chosen) choose(me.colour);
    chosen = true;
    keep();
    await cards.connected();
    for (let i = 0; i < 3; i++) await measure(); // the first find the page busy
  } catch (err) {
    console.error("enter:", err);
  }
}

/** One round trip, for the latency on the wire. */
async function measure() {
  const begun = performance.now();
  await client.invoke("Echo", 0);
  cards.measured(wire.latency(performance.now() - begun));
}
setInterval(() => {
  if (client.state.name === "connected" && !document.hidden) measure().catch(() => {});
}, measureEvery);

/** @type {{ x: number, y: number } | undefined} the newest place of the pen, not yet reported */
let pen;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let reporting;

/**
 * Reports the pen at most so often, and always where it came to rest.
 * @param {number} x @param {number} y
 */
function report(x, y) {
  pen = { x, y };
  reporting ??= setTimeout(() => {
    reporting = undefined;
    if (pen) client.send("Move", tenth(pen.x), tenth(pen.y));
    pen = undefined;
  }, moveEvery);
}

/** @param {number} v */
function tenth(v) {
  return Math.round(v * 10) / 10;
}

for (const radio of byId("rooms", HTMLFieldSetElement).querySelectorAll("input")) {
  radio.checked = radio.value === room;
  radio.addEventListener("change", () => {
    room = radio.value;
    keep();
    announce(`Room ${room}`);
    if (client.state.name === "connected") void enter();
  });
}

for (const radio of byId("protocols", HTMLFieldSetElement).querySelectorAll("input")) {
  radio.checked = radio.value === client.protocol.name;
  radio.addEventListener("change", () => {
    void client.use(radio.value === "messagepack" ? messagepack : json);
    keep();
  });
}

nameField.addEventListener("keydown", (e) => {
  if (e.key === "Enter") nameField.blur();
  if (e.key === "Escape") {
    nameField.value = name;
    nameField.blur();
  }
});
nameField.addEventListener("change", async () => {
  try {
    name = await client.invoke("Rename", nameField.value);
    keep();
  } catch {
    announce("The name was not changed");
  }
  nameField.value = name;
});

// Who opens a second tab is another person there: the name is kept per tab.
function keep() {
  try {
    sessionStorage.setItem("hubwire.demo", JSON.stringify({ room, name, protocol: client.protocol.name }));
  } catch {
    // Storage may be switched off.
  }
}

/** @returns {{ room?: string, name?: string, protocol?: string }} */
function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("hubwire.demo") ?? "{}");
  } catch {
    return {};
  }
}

client.start();
