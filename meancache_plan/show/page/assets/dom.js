// Elements from values. Text becomes text nodes only: no string here is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const tip = (text) => svg("title", {}, text);

function show(id, ...children) {
  byId(id).replaceChildren(...children.flat(2));
}

function fixed(value, digits) {
  return value.toFixed(digits).replace("-", "−");
}

function labelOf(kind) {
  return kind.label + (kind.unit ? `, ${kind.unit}` : "");
}

function withUnit(value, kind) {
  return fixed(value, kind.digits) + (kind.unit ? ` ${kind.unit}` : "");
}

function table(headings, rows, caption) {
  const cell = (tag) => (value, column) =>
    el(tag, { class: column === 0 ? "name" : "number", scope: tag === "th" ? "col" : null }, value);
  return el(
    "table",
    {},
    caption ? el("caption", {}, caption) : null,
    el("thead", {}, el("tr", {}, headings.map(cell("th")))),
    el("tbody", {}, rows.map((row) => el("tr", { class: row.kind }, row.cells.map(cell("td"))))),
  );
}

// What is missing is said in words, with the command that adds it.
function missing(words, command) {
  return el(
    "div",
    { class: "missing" },
    el("p", {}, words),
    command ? el("p", {}, "To add it:") : null,
    command ? copyable(command) : null,
  );
}

function copyable(text) {
  const button = el("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    button.textContent = (await copied(text)) ? "Copied" : "Select and copy";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return el("div", { class: "code" }, el("pre", { tabindex: 0 }, el("code", {}, text)), button);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { readonly: "" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

function options(id, entries, chosen, listen) {
  const select = byId(id);
  select.replaceChildren(...entries.map(([value, label]) => el("option", { value }, label)));
  select.value = chosen;
  select.addEventListener("change", () => listen(select.value));
}
