// A choice is kept in this browser until the server has it on disk; the next pair comes with its answer.
"use strict";
const home = document.getElementById("label").dataset.pairs;
const PENDING = "curate " + home;
const RETRY_MS = 1000;
const KEYS = {1: "first", a: "first", arrowleft: "first", 2: "second", b: "second", arrowright: "second", t: "tie", s: "skip"};
const part = (id) => document.getElementById(id);
let item = null;
let busy = false;

function show(pair) {
  item = pair.item || null;
  part("bar").max = pair.total;
  part("bar").value = pair.done;
  part("count").textContent = `${pair.done} of ${pair.total}`;
  part("answers").hidden = !item;
  part("prompt").hidden = !item;
  part("over").hidden = Boolean(item);
  for (const button of document.querySelectorAll("button[data-label]")) button.disabled = !item;
  if (!item) return;
  part("prompt").replaceChildren(...pair.prompt.flatMap((turn) => [made("h2", "", turn.role), made("pre", "text", turn.content)]));
  part("a").textContent = pair.answers[0];
  part("b").textContent = pair.answers[1];
  window.scrollTo(0, 0);
}

function made(name, style, text) {
  const node = document.createElement(name);
  if (style) node.className = style;
  node.textContent = text;
  node.dir = "auto";
  return node;
}

function trouble(text) {
  part("trouble").textContent = text;
  part("trouble").hidden = !text;
}

async function ask(path, body) {
  for (;;) {
    try {
      const answer = await fetch(home + path, body === undefined ? {} : {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});
      if (answer.ok) {
        trouble("");
        return await answer.json();
      }
      if (answer.status === 400) return null;
    } catch (error) { /* no server: asked again below */ }
    trouble("The server does not answer. Your last choice is kept here and sent again until it does.");
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

async function alone(work) {
  if (busy) return;
  busy = true;
  try {
    show((await work()) || (await ask("")));
  } finally {
    busy = false;
  }
}

async function send(choice) {
  localStorage.setItem(PENDING, JSON.stringify(choice));
  const next = await ask("/give", choice);
  localStorage.removeItem(PENDING);
  return next;
}

function choose(label) {
  if (item) alone(() => send({item, label}));
}

const undo = () => alone(() => ask("/undo", {}));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (key in KEYS) choose(KEYS[key]);
  else if (key === "u") undo();
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("button[data-label]")) button.addEventListener("click", () => choose(button.dataset.label));
part("undo").addEventListener("click", undo);
const pending = localStorage.getItem(PENDING);
alone(() => (pending ? send(JSON.parse(pending)) : ask("")));
