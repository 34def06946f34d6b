// Samples: full, cached at the current budget, and their difference amplified.

const GROUPS = {
  worst: ["Worst prompts", "Chosen because a plan does worst on them: first at the smallest budget, then at larger ones."],
  typical: ["Typical prompts", "Around the median at the smallest budget."],
  best: ["Best prompts", "Those that caching disturbs least."],
};

const DECADES = 6;

function startPictures() {
  const { pictures } = data;
  if (pictures === null) {
    byId("picture-choices").remove();
    const without = "No pictures: this report was written without samples.";
    const crowded = "No pictures: beside so many budgets they would not fit into a page that is easy to send. The folder of samples has them.";
    show("pictures", data.pictured ? missing(crowded) : missing(without, data.remedies.samples));
    return;
  }
  let gain = pictures.gain;
  const cards = pictures.entries.map(card);
  const update = () => cards.forEach((entry) => entry.update(gain));
  options("gain", pictures.gains.map((n) => [String(n), `× ${n}`]), String(gain), (value) => {
    gain = Number(value);
    update();
  });
  const groups = Object.entries(GROUPS).map(([name, [title, words]]) => {
    const mine = cards.filter((entry) => entry.group === name);
    if (!mine.length) return null;
    return el("div", { class: "group" }, el("h3", {}, title), el("p", { class: "small" }, words),
      el("div", { class: "cards" }, mine.map((entry) => entry.node)));
  });
  const words = `${counted()}${pictures.note} Errors below 10⁻⁶ are black.`;
  show("pictures", groups.filter(Boolean), el("p", { class: "small" }, words));
  onPlan(update);
}

// Whoever looks for the worst sample must know where it was looked for.
function counted() {
  const { entries, prompts } = data.pictures;
  const judged = data.figures?.prompts ?? prompts;
  if (prompts < judged) return `Pictures were kept of ${prompts} of the ${judged} prompts judged. `;
  const seeds = data.figures?.seeds > 1 ? "Of each prompt the first seed is shown. " : "";
  return (entries.length < prompts ? `${entries.length} of ${prompts} prompts are shown. ` : "") + seeds;
}

// A video is a strip of its frames, one below the other: all strips move at one pace, see page.css.
function film(...nodes) {
  const { frames, width, height } = data.pictures;
  if (frames === 1) return;
  for (const node of nodes) {
    node.classList.add("film");
    node.style.setProperty("--frames", frames);
    node.style.setProperty("aspect-ratio", `${width} / ${height}`);
  }
}

const source = (picture) => `data:image/webp;base64,${picture}`;

function card(entry) {
  const { width, height } = data.pictures;
  const small = Math.max(width, height) <= 256 ? "small-pixels" : null;
  const full = el("img", { class: small, alt: "full", width, height });
  const cached = el("img", { class: small, alt: "cached", width, height });
  const error = el("canvas", { class: small, role: "img", "aria-label": "difference", width: 1, height: 1 });
  const psnr = el("figcaption", {}, "");
  const amplified = el("figcaption", {}, "");
  full.src = source(entry.full);
  film(full, cached, error);
  const open = el("button", { type: "button", class: "open", "aria-label": "Enlarge these pictures" },
    el("figure", {}, full, el("figcaption", {}, `all ${data.steps} steps`)),
    el("figure", {}, cached, psnr),
    el("figure", {}, error, amplified));
  const node = el("article", { class: "card" }, el("p", { class: "prompt" }, entry.prompt), open);
  open.addEventListener("click", () => view(entry, error, amplified.textContent));
  const update = (gain) => {
    const found = entry.cached.find((each) => each.budget === plan().budget);
    node.classList.toggle("absent", !found);
    psnr.textContent = found ? decibels(found.psnr) : "no picture at this budget";
    amplified.textContent = found ? `difference × ${gain}` : "";
    cached.hidden = error.hidden = !found;
    if (!found) return;
    cached.alt = `cached, budget ${found.budget}`;
    cached.src = source(found.picture);
    paintError(error, found.error, gain);
  };
  return { group: entry.group, node, update };
}

const decibels = (psnr) => (psnr >= 120 ? "identical" : `${fixed(psnr, 1)} dB`);

// Grey levels of the map are logarithms of errors: see meancache_plan.judge.sample_folder.
function paintError(canvas, encoded, gain) {
  const token = `${plan().budget} × ${gain}`;
  canvas.dataset.wanted = token;
  const map = new Image();
  map.src = source(encoded);
  map.decode().then(() => {
    if (canvas.dataset.wanted !== token) return;
    [canvas.width, canvas.height] = [map.naturalWidth, map.naturalHeight];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(map, 0, 0);
    const image = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < image.data.length; i += 4) {
      const level = image.data[i];
      const error = level ? 10 ** (DECADES * ((level - 1) / 254 - 1)) : 0;
      image.data.set(inferno(Math.min(error * gain, 1)), i);
    }
    context.putImageData(image, 0, 0);
    canvas.dataset.drawn = token;
  });
}

const INFERNO = [
  [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85],
  [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
];
function inferno(share) {
  const at = share * (INFERNO.length - 1);
  const i = Math.min(Math.floor(at), INFERNO.length - 2);
  return INFERNO[i].map((from, c) => from + (at - i) * (INFERNO[i + 1][c] - from));
}

// One sample large: a button flips between the full and the cached picture in one place.
function view(entry, error, words) {
  const found = entry.cached.find((each) => each.budget === plan().budget);
  if (!found) return;
  const viewer = byId("viewer");
  const picture = el("img", { alt: "cached", class: "large" });
  const caption = el("p", { class: "small" });
  const put = (full) => {
    picture.src = source(full ? entry.full : found.picture);
    picture.alt = full ? "full" : "cached";
    caption.textContent = full ? `all ${data.steps} steps` : `budget ${found.budget}: ${decibels(found.psnr)}`;
  };
  const map = el("canvas", { class: "large", width: error.width, height: error.height, role: "img", "aria-label": "difference" });
  map.getContext("2d").drawImage(error, 0, 0);
  film(picture, map);
  const flip = el("button", { type: "button", "aria-pressed": "false" }, "Flip: full or cached");
  flip.addEventListener("click", () => {
    const full = flip.getAttribute("aria-pressed") === "false";
    flip.setAttribute("aria-pressed", String(full));
    put(full);
  });
  const close = el("button", { type: "button", class: "quiet" }, "Close");
  close.addEventListener("click", () => viewer.close());
  put(false);
  viewer.replaceChildren(
    el("p", { class: "prompt" }, entry.prompt),
    el("div", { class: "pair" }, el("div", {}, picture, caption), el("div", {}, map, el("p", { class: "small" }, words))),
    el("div", { class: "choices" }, flip, close),
  );
  viewer.showModal();
}
