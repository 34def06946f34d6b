// Quality against cost: every method's means, with the current budget marked.

const BOX = { width: 640, height: 380, left: 56, right: 14, top: 32, bottom: 46 };
const MARKS = [
  (x, y) => svg("circle", { cx: x, cy: y, r: 4.5 }),
  (x, y) => svg("rect", { x: x - 4, y: y - 4, width: 8, height: 8 }),
  (x, y) => svg("path", { d: `M${x} ${y - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z` }),
  (x, y) => svg("path", { d: `M${x - 5} ${y - 4}h10l-5 9z` }),
  (x, y) => svg("path", { d: `M${x - 5} ${y + 4}h10l-5 -9z` }),
  (x, y) => svg("path", { d: `M${x - 5} ${y - 2}h3v-3h4v3h3v4h-3v3h-4v-3h-3z` }),
];

function startPareto() {
  const { figures } = data;
  if (figures === null) return;
  const chosen = { kind: figures.kinds[0].key, cost: "calls" };
  const costs = [["calls", figures.cost]];
  if (figures.rows.every((row) => row.seconds !== null)) costs.push(["seconds", "seconds a sample"]);
  const set = (key) => (value) => {
    chosen[key] = value;
    show("pareto", pareto(chosen));
  };
  options("kind", figures.kinds.map((m) => [m.key, m.label]), chosen.kind, set("kind"));
  options("cost", costs, chosen.cost, set("cost"));
  onPlan(() => show("pareto", pareto(chosen)));
}

function pareto({ kind: key, cost }) {
  const kind = data.figures.kinds.find((entry) => entry.key === key);
  const rows = data.figures.rows.filter((row) => !row.same && row.quality[key]);
  if (!rows.length) return el("p", { class: "missing" }, "Every sample is identical to the full one: nothing to draw.");
  const across = scale(rows.map((row) => row[cost]), BOX.left + 12, BOX.width - BOX.right - 12);
  const bounds = rows.flatMap(({ quality: { [key]: q } }) => [q.low ?? q.mean, q.high ?? q.mean]);
  const up = scale(bounds, BOX.height - BOX.bottom, BOX.top);
  const methods = [...new Set(rows.map((row) => row.method))].sort((a, b) => (b === "plan") - (a === "plan"));
  const here = rowOf("plan", plan().budget);
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${BOX.width} ${BOX.height}`, class: "chart", role: "img", "aria-label": spoken(kind, here) },
    steep(rowOf("plan", data.cliff), across, cost),
    axes(across, up, kind, cost),
    here && !here.same ? marker(across(here[cost])) : null,
    [...methods].reverse().map((method) => series(method, methods.indexOf(method), rows, key, cost, across, up)),
    here && !here.same
      ? svg("circle", { class: "ring", cx: across(here[cost]), cy: up(here.quality[key].mean), r: 10 })
      : null,
  );
  return el("figure", {}, drawing, legend(methods, kind));
}

function mark(place, x, y, words) {
  const shape = MARKS[place % MARKS.length](x, y);
  shape.classList.add("mark");
  if (words) shape.append(tip(words));
  return shape;
}

const marker = (x) =>
  svg("line", { class: "marker", x1: x, x2: x, y1: BOX.top, y2: BOX.height - BOX.bottom });

// Budgets below the cliff: each refresh less costs dearly there.
function steep(row, across, cost) {
  if (!row) return null;
  const shade = svg("rect", {
    class: "steep", x: BOX.left, y: BOX.top,
    width: Math.max(0, across(row[cost]) - BOX.left), height: BOX.height - BOX.bottom - BOX.top,
  });
  shade.append(tip(`too few: below budget ${data.cliff} quality falls fast`));
  return shade;
}

function spoken(kind, here) {
  const found = `${kind.label} against cost, ${data.figures.rows.length} points`;
  if (!here) return found;
  return `${found}; budget ${here.budget}: ${withUnit(here.quality[kind.key].mean, kind)}`;
}

function scale(values, from, to) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = (high - low || Math.abs(high) || 1) * 0.05;
  [low, high] = [low - room, high + room];
  const place = (value) => from + ((to - from) * (value - low)) / (high - low);
  place.ticks = niceTicks(low, high);
  return place;
}

function niceTicks(low, high, count = 6) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) {
    found.push({ value: n * step, label: fixed(n * step, digits) });
  }
  return found;
}

function axes(across, up, kind, cost) {
  const { width, height, left, right, top, bottom } = BOX;
  const parts = [];
  for (const { value, label } of up.ticks) {
    const y = up(value);
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: y, y2: y }));
    parts.push(svg("text", { class: "tick", x: left - 8, y: y + 4, "text-anchor": "end" }, label));
  }
  for (const { value, label } of across.ticks) {
    const x = across(value);
    parts.push(svg("line", { class: "grid", x1: x, x2: x, y1: top, y2: height - bottom }));
    parts.push(svg("text", { class: "tick", x, y: height - bottom + 18, "text-anchor": "middle" }, label));
  }
  const better = kind.higher ? "↑ better" : "↓ better";
  const name = cost === "calls" ? data.figures.cost : "seconds a sample";
  parts.push(svg("text", { class: "axis", x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, name));
  parts.push(svg("text", { class: "axis", x: 8, y: 14 }, `${labelOf(kind)}  ${better}`));
  return svg("g", {}, parts);
}

function series(method, place, rows, key, cost, across, up) {
  const mine = rows.filter((row) => row.method === method).sort((a, b) => a[cost] - b[cost]);
  const path = mine.map((row, i) => `${i ? "L" : "M"}${across(row[cost])} ${up(row.quality[key].mean)}`).join("");
  const group = svg("g", { class: `series s${place % 8}`, "data-method": method }, svg("path", { class: "line", d: path }));
  for (const row of mine) {
    const { mean, low, high } = row.quality[key];
    const [x, y] = [across(row[cost]), up(mean)];
    if (low !== undefined) group.append(svg("line", { class: "bounds", x1: x, x2: x, y1: up(low), y2: up(high) }));
    const shape = mark(place, x, y, `${nameOf(method)}, budget ${row.budget}: ${fixed(mean, 3)}, ${row.calls} calls`);
    if (method === "plan") {
      shape.dataset.budget = row.budget;
      shape.addEventListener("click", () => choose(data.plans.findIndex((p) => p.budget === row.budget)));
    }
    group.append(shape);
  }
  return group;
}

function legend(methods, kind) {
  const sample = (place) =>
    svg("svg", { viewBox: "0 0 18 14", class: "key", "aria-hidden": "true" },
      svg("g", { class: `series s${place % 8}` }, mark(place, 9, 7)));
  const left = data.figures.rows.some((row) => row.same) ? " Identical samples are left out." : "";
  const lines = data.figures.full ? `Bars: 95 % intervals of the mean.${left}` : `As noted in the schedule.${left}`;
  return el(
    "figcaption",
    {},
    el("ul", { class: "legend" }, methods.map((method, i) => el("li", {}, sample(i), nameOf(method)))),
    el("p", {}, lines),
  );
}
