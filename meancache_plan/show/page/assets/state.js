// The one thing that moves: which plan is shown. Everything else listens.

const data = JSON.parse(byId("data").textContent);
const listeners = [];
let current = -1;

const onPlan = (listener) => listeners.push(listener);
const plan = () => data.plans[current];

function choose(index) {
  const wanted = Math.min(Math.max(index, 0), data.plans.length - 1);
  if (wanted === current) return;
  current = wanted;
  const { budget, knots, theory } = plan();
  const slider = byId("budget");
  slider.value = String(wanted);
  slider.setAttribute("aria-valuetext", `budget ${budget}: ${knots.length} of ${data.steps} refreshes`);
  byId("fewer").disabled = wanted === 0;
  byId("more").disabled = wanted === data.plans.length - 1;
  const unused = knots.length === budget ? "" : ` (${knots.length} used)`;
  show("chosen", el("strong", {}, String(budget)), `${unused} of ${data.steps} steps run, ${fixed(theory, 2)}× fewer`);
  for (const tick of byId("ticks").children) {
    tick.classList.toggle("now", Number(tick.dataset.plan) === wanted);
  }
  listeners.forEach((listener) => listener());
}

function startSlider() {
  const last = data.plans.length - 1;
  const slider = byId("budget");
  slider.max = String(last);
  const every = Math.ceil(data.plans.length / 16);
  data.plans.forEach((entry, index) => {
    if (index % every && index !== last) return;
    const tick = el("button", { type: "button", tabindex: -1, "data-plan": index }, String(entry.budget));
    tick.style.left = `${last ? (100 * index) / last : 50}%`;
    tick.addEventListener("click", () => choose(index));
    byId("ticks").append(tick);
  });
  slider.addEventListener("input", () => choose(Number(slider.value)));
  byId("fewer").addEventListener("click", () => choose(current - 1));
  byId("more").addEventListener("click", () => choose(current + 1));
  document.addEventListener("keydown", onKey);
}

// Arrow keys move the slider from anywhere but from fields that need them.
function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input, select, textarea, pre, .scroll, dialog")) return;
  const moves = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: data.plans.length - 1 };
  if (!(event.key in moves)) return;
  event.preventDefault();
  choose(moves[event.key]);
}

function rowOf(method, budget) {
  return data.figures?.rows.find((row) => row.method === method && row.budget === budget);
}
