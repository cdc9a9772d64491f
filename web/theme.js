// @ts-check
// Runs before the page is painted, so that it never flashes in the wrong
// colours. A choice of the reader goes before that of the system.
(() => {
  const key = "hubwire.theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = /** @type {string | null} */ (null);
  try {
    chosen = localStorage.getItem(key);
  } catch {
    // Storage may be switched off; then the choice lasts as long as the page.
  }

  const current = () => (chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light");
  const show = () => {
    document.documentElement.dataset["theme"] = current();
    const other = current() === "dark" ? "light" : "dark";
    document.getElementById("theme")?.setAttribute("aria-label", `Use the ${other} theme`);
    dispatchEvent(new Event("themechange"));
  };

  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme")?.addEventListener("click", () => {
      chosen = current() === "dark" ? "light" : "dark";
      try {
        localStorage.setItem(key, chosen);
      } catch {
        // see above
      }
      show();
    });
  });
})();
