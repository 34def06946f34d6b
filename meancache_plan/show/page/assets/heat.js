// The deviation of reusing a velocity from step t until step s, with the plan's intervals over it.

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];
const MAP = { size: 560, left: 52, top: 10, right: 10, bottom: 46 };

function startHeat() {
  const { heat } = data;
  if (heat === null) {
    const words = data.profiled
      ? "No heat map: deviations are not measured in a profile that was carried over from another grid. Calibrate on this one."
      : "No heat map: this report was written without a profile.";
    show("heat", missing(words, data.remedies.profile));
    return;
  }
  const levels = Uint8Array.from(atob(heat.levels), (c) => c.charCodeAt(0));
  const canvas = el("canvas", { width: heat.side, height: heat.side, role: "img" });
  paintHeat(canvas, levels);
  const overlay = svg("svg", { viewBox: `0 0 ${MAP.left + MAP.size + MAP.right} ${MAP.top + MAP.size + MAP.bottom}`, class: "chart", "aria-hidden": "true" });
  const readout = el("p", { class: "readout" }, "Point at the map to read a deviation.");
  const stage = el("div", { class: "stage" }, canvas, overlay);
  stage.addEventListener("pointermove", (event) => read(event, canvas, levels, readout));
  const lengths = el("div", { class: "scroll tall", tabindex: 0, role: "group", "aria-label": "This plan's intervals" });
  show("heat", el("div", { class: "columns" }, stage, el("div", {}, guide(), readout, lengths)));
  onPlan(() => {
    canvas.setAttribute("aria-label", `mean deviation over knot t and end s, from ${precise(heat.low)} to ${precise(heat.high)}; the staircase is the plan for budget ${plan().budget}`);
    overlay.replaceChildren(...heatAxes(), ...staircase(plan()));
    lengths.replaceChildren(reuseTable(plan(), levels));
  });
}

const deviation = (level) =>
  level ? data.heat.low * (data.heat.high / data.heat.low) ** ((level - 1) / 254) : 0;

const precise = (value) => value.toPrecision(2);

function viridis(share) {
  const at = share * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[i].map((from, c) => Math.round(from + (at - i) * (VIRIDIS[i + 1][c] - from)));
}

function paintHeat(canvas, levels) {
  const { side } = data.heat;
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  for (let t = 0; t < side; t += 1) {
    for (let s = 0; s < side; s += 1) {
      const level = levels[t * side + s];
      if (!level) continue;
      const at = 4 * ((side - 1 - s) * side + t);
      image.data.set([...viridis((level - 1) / 254), 255], at);
    }
  }
  context.putImageData(image, 0, 0);
}

// Steps in the drawing's units: t to the right, s upwards.
const heatX = (t) => MAP.left + (MAP.size * t) / (data.heat.side * data.heat.block);
const heatY = (s) => MAP.top + MAP.size - (MAP.size * s) / (data.heat.side * data.heat.block);

function heatAxes() {
  const every = data.steps < 10 ? 1 : Math.ceil(data.steps / 50) * 10;
  const parts = [];
  for (let i = 0; i <= data.steps; i += every) {
    parts.push(svg("text", { class: "tick", x: heatX(i), y: MAP.top + MAP.size + 18, "text-anchor": "middle" }, String(i)));
    parts.push(svg("text", { class: "tick", x: MAP.left - 8, y: heatY(i) + 4, "text-anchor": "end" }, String(i)));
  }
  const middle = MAP.left + MAP.size / 2;
  parts.push(svg("text", { class: "axis", x: middle, y: MAP.top + MAP.size + 40, "text-anchor": "middle" }, "knot t: the step where the denoiser runs"));
  const y = MAP.top + MAP.size / 2;
  parts.push(svg("text", { class: "axis", x: 12, y, "text-anchor": "middle", transform: `rotate(-90 12 ${y})` }, "end s of the interval"));
  return parts;
}

// Up an interval's length, then on to the next knot.
function staircase(entry) {
  const steps = intervals(entry);
  const corners = steps.flatMap(({ start, end }) => [[start, start], [start, end]]).concat([[data.steps, data.steps]]);
  const path = corners.map(([t, s], i) => `${i ? "L" : "M"}${heatX(t)} ${heatY(s)}`).join("");
  const dots = steps.map(({ start, end, i }) =>
    svg("circle", { class: `knot ${entry.intervals[i].predictor}`, cx: heatX(start), cy: heatY(end), r: 5, "data-start": start, "data-end": end }));
  return [svg("path", { class: "stairs under", d: path }), svg("path", { class: "stairs", d: path }), ...dots];
}

const levelOf = (levels, t, s) =>
  levels[Math.floor(t / data.heat.block) * data.heat.side + Math.floor((s - 1) / data.heat.block)];

function reuseTable(entry, levels) {
  const rows = intervals(entry).map(({ start, end, i }) => {
    const level = levelOf(levels, start, end);
    const reuse = end - start === 1 ? "exact" : level ? precise(deviation(level)) : "–";
    return { cells: [`${start} → ${end}`, String(end - start), entry.intervals[i].predictor, reuse] };
  });
  return table(["interval", "steps", "predictor", "deviation of reuse"], rows);
}

function guide() {
  const { heat } = data;
  const ramp = el("canvas", { width: 256, height: 1, class: "ramp", role: "img", "aria-label": "colour scale" });
  const context = ramp.getContext("2d");
  for (let i = 0; i < 256; i += 1) {
    context.fillStyle = `rgb(${viridis(i / 255).join(",")})`;
    context.fillRect(i, 0, 1, 1);
  }
  const words = [
    `Each cell: how far, on average over ${heat.samples} calibration samples, the velocity at knot t is from the average velocity until s, mean |u(t→s) − v(t)|. Dark: reuse is harmless. Bright: it is not.`,
    "The staircase is the plan: it climbs an interval's length, and its dots stand at the intervals. Good predictors allow dots in brighter places than plain reuse would.",
  ];
  if (heat.block > 1) words.push(`Each cell is the mean of ${heat.block} × ${heat.block} intervals.`);
  if (heat.longest < data.steps) words.push(`Intervals of more than ${heat.longest} steps were not measured.`);
  return [
    ...words.map((text) => el("p", {}, text)),
    data.caution ? el("p", { class: "missing" }, data.caution) : null,
    el("div", { class: "scale" }, el("span", {}, `${precise(heat.low)}`), ramp, el("span", {}, precise(heat.high))),
  ];
}

function read(event, canvas, levels, readout) {
  const { side, block } = data.heat;
  const box = canvas.getBoundingClientRect();
  const t = Math.floor((side * (event.clientX - box.left)) / box.width);
  const s = side - 1 - Math.floor((side * (event.clientY - box.top)) / box.height);
  const level = t >= 0 && t < side && s >= 0 && s < side ? levels[t * side + s] : 0;
  if (level) readout.textContent = `From step ${t * block} until ${(s + 1) * block}: ${precise(deviation(level))}`;
}
