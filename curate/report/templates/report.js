"use strict";
// Draws the charts one after another, in the colours of light or dark, and again when those change.
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();

function config() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue("--" + name).trim();
  const line = { gridColor: color("line"), domainColor: color("line"), tickColor: color("line") };
  const text = { labelColor: color("soft"), titleColor: color("text"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return {
    background: null,
    font: "system-ui, sans-serif",
    axis: { ...line, ...text, labelOverlap: "greedy", labelSeparation: 6 },
    legend: { ...text },
    view: { stroke: null },
    params: ["kept", "dropped", "limit", "ground"].map((name) => ({ name, value: color(name) })),
  };
}

function draw(place) {
  const spec = JSON.parse(place.querySelector("script").textContent);
  const target = place.querySelector(".plot");
  return vegaEmbed(target, spec, { renderer: "svg", actions: false, config: config(), ast: false })
    .then((view) => { drawn.set(place, view); target.removeAttribute("aria-busy"); })
    .catch((error) => { target.textContent = "This chart cannot be drawn: " + error.message; });
}

// All of them, not those in view: a printed or photographed page is whole. Between two the page can be used.
async function drawAll() {
  for (const place of document.querySelectorAll(".chart")) {
    await draw(place);
    await new Promise((done) => setTimeout(done));
  }
}
drawAll();
dark.addEventListener("change", () => drawn.forEach((view, place) => { view.finalize(); draw(place); }));

document.querySelectorAll(".move").forEach((move) => {
  const places = JSON.parse(move.querySelector("script").textContent);
  const slider = move.querySelector("input");
  const show = () => {
    const [value, remains] = places[slider.value];
    move.querySelector("output").textContent = value + ": " + remains;
    slider.setAttribute("aria-valuetext", value + ": " + remains);
  };
  slider.addEventListener("input", show);
  show();
});
