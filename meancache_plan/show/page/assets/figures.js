// What was measured at the current budget: a sentence, tiles, and the alternatives.

const NAMES = {
  plan: "this plan",
  "uniform-hold": "uniform knots, hold",
  "uniform-adams": "uniform knots, Adams",
  "fewer-steps": "simply fewer steps",
};
const nameOf = (method) => NAMES[method] ?? method;

function startFigures() {
  if (data.figures === null) {
    const words = "No quality is known: nobody has replayed these plans on held-out prompts.";
    byId("quality").replaceChildren(byId("quality-h"), missing(words, data.remedies.evaluation));
    byId("verdict").remove();
    return;
  }
  show("table", allFigures());
  onPlan(() => {
    const row = rowOf("plan", plan().budget);
    show("verdict", ...verdict(row));
    show("tiles", row ? tiles(row) : el("p", { class: "missing" }, "This budget was not measured."));
    show("rivals-h", `At budget ${plan().budget}`);
    show("rivals", rivals());
  });
}

const strong = (text) => el("strong", {}, text);

function verdict(row) {
  if (!row) return [`Budget ${plan().budget} was not measured.`];
  if (row.same) return ["This plan makes the very samples that all steps make."];
  const kind = data.figures.kinds[0];
  const found = [
    strong(`${fixed(row.speedup, 2)}× faster`),
    " than all ", String(data.steps), " steps, with pictures at ",
    strong(withUnit(row.quality[kind.key].mean, kind)),
    " PSNR against theirs",
  ];
  const fewer = rowOf("fewer-steps", plan().budget);
  if (fewer) {
    const count = String(plan().knots.length);
    found.push("; simply running ", count, " steps gives ", withUnit(fewer.quality[kind.key].mean, kind));
  }
  return [...found, "."];
}

function tiles(row) {
  const quality = data.figures.kinds.map((kind) => tile(kind, row.quality[kind.key], row.same));
  const full = data.figures.full;
  const cost = [el("p", { class: "value" }, `${fixed(row.speedup, 2)}×`)];
  cost.push(el("p", { class: "small" }, `${fixed(plan().theory, 2)}× by count`));
  if (full) {
    cost.push(el("p", { class: "small" }, `${row.calls} of ${full.calls} denoiser calls`));
    cost.push(el("p", { class: "small" }, `${fixed(row.seconds, 2)} s of ${fixed(full.seconds, 2)} s`));
  }
  return [
    el("div", { class: "tile lead", "data-figure": "speedup" }, el("h3", {}, "Speed-up"), cost),
    ...quality,
  ];
}

function tile(kind, figure, same) {
  const parts = [el("h3", {}, kind.label)];
  const value = same && kind.unit ? "identical" : withUnit(figure.mean, kind);
  parts.push(el("p", { class: "value" }, value));
  if (figure.low !== undefined) {
    const bounds = `${fixed(figure.low, kind.digits)} to ${fixed(figure.high, kind.digits)}`;
    parts.push(el("p", { class: "small" }, `95 % ${bounds}`));
    if (figure.decile !== null) {
      parts.push(el("p", { class: "small" }, `worst tenth ${fixed(figure.decile, kind.digits)}`));
    }
    parts.push(el("p", { class: "small" }, `worst sample ${fixed(figure.worst, kind.digits)}`));
  }
  return el("div", { class: "tile", "data-figure": kind.key }, parts);
}

function rivals() {
  const rows = data.figures.rows.filter((row) => row.budget === plan().budget);
  if (rows.length < 2) {
    return missing("No alternative was measured beside this plan.", data.remedies.evaluation);
  }
  const kind = data.figures.kinds[0];
  const last = data.figures.kinds.find((entry) => entry.key === "ssim") ?? kind;
  const lines = rows.map((row) => ({
    kind: row.method === "plan" ? "ours" : null,
    cells: [
      nameOf(row.method),
      row.same ? "same" : fixed(row.quality[kind.key].mean, kind.digits),
      row.same ? "–" : fixed(row.quality[kind.key].worst, kind.digits),
      fixed(row.quality[last.key].mean, last.digits),
      row.seconds === null ? "–" : fixed(row.seconds, 2),
    ],
  }));
  return table(["method", labelOf(kind), "worst", labelOf(last), "seconds"], lines, "Against the samples of all steps");
}

function allFigures() {
  const kinds = data.figures.kinds;
  const figure = (row, kind) => {
    const { mean, low, high } = row.quality[kind.key];
    if (row.same && kind.unit) return "same";
    const bounds = low === undefined ? "" : ` (${fixed(low, kind.digits)}–${fixed(high, kind.digits)})`;
    return fixed(mean, kind.digits) + bounds;
  };
  const lines = data.figures.rows.map((row) => ({
    kind: row.method === "plan" ? "ours" : null,
    cells: [
      nameOf(row.method), String(row.budget), String(row.calls),
      ...kinds.map((kind) => figure(row, kind)),
      row.seconds === null ? "–" : fixed(row.seconds, 2), `${fixed(row.speedup, 2)}×`,
    ],
  }));
  const headings = ["method", "budget", "calls", ...kinds.map((m) => m.label), "seconds", "speed-up"];
  return table(headings, lines, "Means, and in brackets their 95 % intervals");
}
