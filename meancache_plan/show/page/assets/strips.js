// Every sample at the current budget: a row of dots a method, so that means hide nothing.

const STRIP = { width: 460, left: 12, right: 12, row: 42, top: 6, bottom: 40 };

function startStrips() {
  const { figures } = data;
  if (figures === null) return;
  const values = figures.rows.filter((row) => !row.same).flatMap((row) => row.each ?? []);
  if (!values.length) return;
  const across = scale(values, STRIP.left, STRIP.width - STRIP.right);
  const methods = [...new Set(figures.rows.map((row) => row.method))].sort((a, b) => (b === "plan") - (a === "plan"));
  onPlan(() => show("strips", strips(methods, across)));
}

function strips(methods, across) {
  const rows = methods.map((method) => rowOf(method, plan().budget)).filter((row) => row?.each?.length && !row.same);
  if (!rows.length) return [];
  const { width, row: step, top, bottom } = STRIP;
  const floor = top + step * rows.length;
  const lines = across.ticks.flatMap(({ value, label }) => [
    svg("line", { class: "grid", x1: across(value), x2: across(value), y1: top, y2: floor }),
    svg("text", { class: "tick", x: across(value), y: floor + 16, "text-anchor": "middle" }, label),
  ]);
  const words = rows.map((row) => `${nameOf(row.method)}: ${fixed(row.each[0], 1)} to ${fixed(row.each.at(-1), 1)} dB`);
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${floor + bottom}`, class: "chart", role: "img", "aria-label": `PSNR of every sample; ${words.join("; ")}` },
    lines,
    rows.map((row, i) => strip(row, methods.indexOf(row.method), top + step * i, across)),
    svg("text", { class: "axis", x: width / 2, y: floor + 36, "text-anchor": "middle" }, "PSNR of pictures, dB"),
  );
  return [el("h3", {}, "Every sample"), drawing];
}

function strip(row, place, y, across) {
  const middle = y + STRIP.row - 13;
  const mean = across(row.quality.psnr.mean);
  return svg(
    "g",
    { class: `series s${place % 8}` },
    svg("text", { class: "strip-name", x: STRIP.left, y: y + 14 }, nameOf(row.method)),
    svg("line", { class: "base", x1: STRIP.left, x2: STRIP.width - STRIP.right, y1: middle, y2: middle }),
    row.each.map((value) => svg("circle", { class: "dot", cx: across(value), cy: middle, r: 4 }, tip(`${fixed(value, 1)} dB`))),
    svg("line", { class: "mean", x1: mean, x2: mean, y1: middle - 9, y2: middle + 9 }),
  );
}
