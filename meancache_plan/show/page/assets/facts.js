// How to use a plan, in lines to copy, and where it comes from.

function startFacts() {
  const facts = data.facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  show("facts", facts);
  const blocks = data.usage.map(({ title, texts }) => {
    const body = el("div");
    const index = texts.length > 1 ? () => current : () => 0;
    onPlan(() => body.replaceChildren(copyable(texts[index()])));
    return el("div", { class: "block" }, el("h3", {}, title), body);
  });
  show("usage", blocks);
}
