// Knots over the σ grid, one segment an interval; beneath, all plans at a glance.

const LINE = { width: 1120, left: 56, right: 14, curve: 120, lane: 46 };
if (!data.sigmas) LINE.curve = 2;
const MOST_LANES = 24;

// Where step i begins, 0 … 1: by its number, or by its noise level.
const byStep = (i) => i / data.steps;
function bySigma(i) {
  const { sigmas } = data;
  return (sigmas[0] - sigmas[i]) / (sigmas[0] - sigmas.at(-1));
}

const intervals = ({ knots }) =>
  knots.map((start, i) => ({ start, end: knots[i + 1] ?? data.steps, i }));

function startTimeline() {
  let place = byStep;
  const choices = [["step", "by step"]];
  if (data.sigmas) choices.push(["sigma", "by noise level σ"]);
  options("axis", choices, "step", (value) => {
    place = value === "sigma" ? bySigma : byStep;
    draw();
  });
  const draw = () => {
    const x = (i) => LINE.left + (LINE.width - LINE.left - LINE.right) * place(i);
    show("timeline", timeline(plan(), x));
    show("overview", overview(x));
    show("notes", plan().notes.map((note) => el("li", {}, note)));
    show("intervals", intervalTable(plan()));
  };
  onPlan(draw);
}

function timeline(entry, x) {
  const { curve, lane, width } = LINE;
  const words = `budget ${entry.budget}: the denoiser runs at steps ${entry.knots.join(", ")} of ${data.steps}`;
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${width} ${curve + lane + 44}`, class: "chart", role: "img", "aria-label": words },
    data.sigmas ? sigmaCurve(entry, x) : null,
    intervals(entry).map((interval) => segment(entry, interval, x)),
    stepTicks(x, curve + lane + 14),
    svg("text", { class: "axis", x: (LINE.left + width) / 2, y: curve + lane + 40, "text-anchor": "middle" }, "step"),
  );
  const used = [...new Set(entry.intervals.map((i) => i.predictor))];
  const key = (name) => el("li", {}, el("span", { class: `swatch ${name}` }), name);
  return el(
    "figure",
    {},
    drawing,
    el(
      "figcaption",
      {},
      el("ul", { class: "legend" }, used.map(key)),
      el("p", {}, "Solid: the denoiser runs. Pale: its last velocities predict the step."),
      data.sigmas ? null : el("p", {}, `This schedule fits any grid of ${data.steps} steps, so there are no noise levels to draw.`),
    ),
  );
}

function sigmaCurve(entry, x) {
  const high = Math.max(...data.sigmas);
  const y = (i) => 14 + (LINE.curve - 30) * (1 - data.sigmas[i] / high);
  const path = data.sigmas.map((_, i) => `${i ? "L" : "M"}${x(i)} ${y(i)}`).join("");
  const dots = intervals(entry).map(({ start, i }) => [
    svg("line", { class: "drop", x1: x(start), x2: x(start), y1: y(start), y2: LINE.curve }),
    svg("circle", { class: `knot ${entry.intervals[i].predictor}`, cx: x(start), cy: y(start), r: 4.5 },
      tip(`knot at step ${start}, σ = ${fixed(data.sigmas[start], 4)}`)),
  ]);
  const level = (value) => svg("text", { class: "tick", x: LINE.left - 8, y: 18 + (LINE.curve - 30) * (1 - value / high), "text-anchor": "end" }, fixed(value, 1));
  return svg(
    "g",
    {},
    level(0), level(high / 2), level(high),
    svg("text", { class: "axis", x: 10, y: 18 + (LINE.curve - 30) / 2 }, "σ"),
    svg("path", { class: "sigma", d: path }),
    dots.flat(),
  );
}

function segment(entry, { start, end, i }, x) {
  const { predictor, detail } = entry.intervals[i];
  const [top, height] = [LINE.curve, LINE.lane];
  const room = x(end) - x(start);
  const fresh = Math.max(x(start + 1) - x(start) - 1.5, 1.5);
  const name = detail ? `${predictor}, ${detail}` : predictor;
  const label = [name, predictor].find((text) => room - fresh > 7 * text.length + 10);
  return svg(
    "g",
    { class: `segment ${predictor}`, "data-start": start, "data-end": end },
    svg("rect", { class: "cached", x: x(start), y: top, width: Math.max(room - 1.5, 1), height, rx: 3 }),
    svg("rect", { class: "fresh", x: x(start), y: top, width: fresh, height, rx: 3 }),
    label ? svg("text", { class: "label", x: x(start) + fresh + 6, y: top + height / 2 + 4 }, label) : null,
    tip(`steps ${start} to ${end}: ${name}`),
  );
}

function stepTicks(x, y) {
  const every = Math.max(1, Math.ceil(data.steps / 10 / 5) * 5);
  const found = [];
  for (let i = 0; i <= data.steps; i += data.steps < 10 ? 1 : every) {
    found.push(svg("text", { class: "tick", x: x(i), y: y + 4, "text-anchor": "middle" }, String(i)));
  }
  return found;
}

function overview(x) {
  const count = data.plans.length;
  if (count < 2 || count > MOST_LANES) return [];
  const row = 19;
  const lanes = data.plans.map((entry, index) => {
    const y = index * row + 2;
    const lane = svg(
      "g",
      { class: entry === plan() ? "lane now" : "lane", "data-budget": entry.budget },
      svg("rect", { class: "ground", x: 0, y: y - 1, width: LINE.width, height: row - 1, rx: 3 }),
      svg("text", { class: "tick", x: LINE.left - 8, y: y + 12, "text-anchor": "end" }, String(entry.budget)),
      intervals(entry).map(({ start, end, i }) => svg(
        "g",
        { class: `segment ${entry.intervals[i].predictor}` },
        svg("rect", { class: "cached", x: x(start), y: y + 2, width: Math.max(x(end) - x(start) - 1, 1), height: row - 7 }),
        svg("rect", { class: "fresh", x: x(start), y: y + 2, width: Math.max(x(start + 1) - x(start) - 1, 1.5), height: row - 7 }),
      )),
      tip(`budget ${entry.budget}: choose it`),
    );
    lane.addEventListener("click", () => choose(index));
    return lane;
  });
  const box = `0 0 ${LINE.width} ${count * row + 4}`;
  return [
    el("h3", {}, "All plans"),
    svg("svg", { viewBox: box, class: "chart lanes", role: "img", "aria-label": `the knots of all ${count} plans` }, lanes),
  ];
}

function intervalTable(entry) {
  const rows = intervals(entry).map(({ start, end, i }) => {
    const { predictor, detail, gains } = entry.intervals[i];
    return {
      cells: [
        detail ? `${predictor}, ${detail}` : predictor,
        `${start} → ${end}`,
        data.sigmas ? `${fixed(data.sigmas[start], 3)} → ${fixed(data.sigmas[end], 3)}` : "–",
        String(end - start),
        gains ? gains.map((gain) => fixed(gain, 3)).join(", ") : "–",
        entry.stability ? `${fixed(100 * entry.stability[i], 0)} %` : "–",
      ],
    };
  });
  return table(["predictor", "steps", "σ", "length", "gains", "knot found again"], rows, "From knot to knot; the last column: in how many resampled calibrations");
}
