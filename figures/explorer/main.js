// The page's start: everything is set up, the address is read, the first picture drawn.

function set_theme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "☀ light" : "☾ dark";
  $("theme").setAttribute("aria-label", theme === "dark" ? "light page" : "dark page");
}

const explorer = { state: S, theta, timings, training, saved: [], compute, redraw };
window.explorer = explorer;

const parts = [sequence_panel, forward_panel, planes_panel, weights_panel, training, save_panel, tour];
for (const part of parts) part.setup();
panels.push(sequence_panel, training, forward_panel, planes_panel, weights_panel);
const roots = { "panel-train": training, "panel-forward": forward_panel, planes: planes_panel, "panel-weights": weights_panel };
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const panel = roots[target.id];
    panel.hidden = !isIntersecting;
    if (isIntersecting && panel.stale) {
      panel.stale = false;
      panel.render();
    }
  }
}, { rootMargin: "150px" });
for (const id of Object.keys(roots)) watcher.observe($(id));

const prefers = window.matchMedia("(prefers-color-scheme: dark)");
set_theme(prefers.matches ? "dark" : "light");
prefers.addEventListener("change", () => {
  set_theme(prefers.matches ? "dark" : "light");
  changed();
});
$("theme").addEventListener("click", () => {
  set_theme(dark_page() ? "light" : "dark");
  changed();
});
window.addEventListener("hashchange", () => {
  if (location.hash === address()) return;
  read_address();
  $("sequence").value = S.ids.map((id) => WORDS[id]).join(" ");
  changed();
});

read_address();
if (!location.hash) {                   // the last position that the rule decides
  const found = S.ids.map((_, t) => t).filter((t) => (allowed_ids(history_of(S.ids, t + 1)) || []).length);
  S.position = found.length ? found[found.length - 1] : S.ids.length - 1;
}
$("sequence").value = S.ids.map((id) => WORDS[id]).join(" ");
redraw();
document.documentElement.dataset.ready = "yes";
