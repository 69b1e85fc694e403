"use strict";
const evidence = JSON.parse(document.getElementById("evidence").textContent);
const dialog = document.querySelector("dialog");
const search = document.getElementById("search");
const toggles = [...document.querySelectorAll(".filter button[data-verdict]")];
const count = document.getElementById("count");

// The evidence of what was clicked.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-evidence]");
  if (!opener) return;
  const entry = evidence[Number(opener.dataset.evidence)];
  dialog.querySelector("h2").textContent = entry.title;
  const list = dialog.querySelector("dl");
  list.replaceChildren();
  for (const [label, text] of entry.lines) {
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = label;
    description.textContent = text;
    list.append(term, description);
  }
  dialog.showModal();
});

// The filter: words that must all occur, and the verdicts that are shown.
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = new Set(toggles.filter((t) => t.getAttribute("aria-pressed") === "true").map((t) => t.dataset.verdict));
  let visible = 0;
  for (const item of document.querySelectorAll("[data-words]")) {
    const text = item.dataset.words.toLowerCase();
    item.hidden = !(shown.has(item.dataset.verdict) && words.every((word) => text.includes(word)));
    if (!item.hidden && item.matches(".flow")) visible += 1;
  }
  for (const group of document.querySelectorAll("tbody tr, [data-step], section[data-scenario]")) {
    group.hidden = !group.querySelector("[data-words]:not([hidden])");
  }
  count.textContent = `${visible} of ${document.querySelectorAll(".flow[data-words]").length} shown`;
}
search.addEventListener("input", filter);
for (const toggle of toggles) {
  toggle.addEventListener("click", () => {
    toggle.setAttribute("aria-pressed", String(toggle.getAttribute("aria-pressed") !== "true"));
    filter();
  });
}

// What a known fault explains.
for (const button of document.querySelectorAll("[data-explains]")) {
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    for (const flow of document.querySelectorAll(".flow, details")) {
      if (flow.dataset.fault === button.dataset.explains) flow.classList.toggle("explained", on);
    }
  });
}

// In a graph, what has nothing to do with the focused end is dimmed.
for (const picture of document.querySelectorAll(".picture")) {
  const has = (list, id) => list === "*" || list.split(" ").includes(id);
  const show = (id) => {
    picture.classList.toggle("dim", id !== undefined);
    const lit = new Set([id]);
    const ways = [...picture.querySelectorAll("[data-from]")];
    for (const way of ways) {
      const { from, to } = way.dataset;
      const leaves = id !== undefined && has(from, id);
      const comes = id !== undefined && has(to, id);
      way.classList.toggle("lit", leaves || comes);
      if (leaves) to.split(" ").forEach((end) => lit.add(end));
      if (comes && from !== "*") from.split(" ").forEach((end) => lit.add(end));
    }
    for (const end of picture.querySelectorAll("[data-id]")) end.classList.toggle("lit", lit.has(end.dataset.id));
  };
  picture.addEventListener("focusin", (event) => show(event.target.closest("[data-id]")?.dataset.id));
  picture.addEventListener("focusout", () => show(undefined));
  picture.addEventListener("keydown", (event) => {
    if (event.key === "Escape") event.target.blur();
  });
}

// Arrow keys walk through a matrix, / goes to the filter.
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search && !dialog.open) {
    event.preventDefault();
    search.focus();
    return;
  }
  const here = document.activeElement;
  if (!here || !here.matches("td .flow")) return;
  const cell = here.closest("td");
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!steps) return;
  event.preventDefault();
  const rows = [...cell.closest("tbody").rows];
  let row = rows.indexOf(cell.parentElement);
  let column = cell.cellIndex;
  for (;;) {
    row += steps[0];
    column += steps[1];
    const next = rows[row] && rows[row].cells[column];
    if (!next || column < 1) return;
    const target = next.querySelector(".flow:not([hidden])");
    if (target && !rows[row].hidden) {
      target.focus();
      return;
    }
  }
});

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
filter();
