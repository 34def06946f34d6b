// Put everything together, and begin in the middle of the pack.

function about() {
  const budgets = data.plans.map((entry) => entry.budget);
  const range = budgets.length > 1 ? `${budgets.length} budgets, ${budgets[0]} to ${budgets.at(-1)}` : `budget ${budgets[0]}`;
  return [data.pipeline, `${data.steps} steps`, data.made === "any" ? null : data.made, range].filter(Boolean).join(" · ");
}

document.title = `${data.title}: cache schedule`;
show("title", data.title);
show("about", about());
show("warnings", ...data.warnings.map((words) => el("p", { class: "missing" }, words)));
startTheme();
startSlider();
startFigures();
startPareto();
startStrips();
startTimeline();
startHeat();
startPictures();
startFacts();
choose(Math.floor((data.plans.length - 1) / 2));
