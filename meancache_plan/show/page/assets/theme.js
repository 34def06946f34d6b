// Light, dark, or as the system says.

const THEMES = ["auto", "light", "dark"];

function startTheme() {
  let chosen = 0;
  const button = byId("theme");
  const set = () => {
    const name = THEMES[chosen];
    document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    button.setAttribute("aria-label", `Theme: ${name}. Change it`);
  };
  button.addEventListener("click", () => {
    chosen = (chosen + 1) % THEMES.length;
    set();
  });
  set();
}
