// The little that a page cannot do without a script: the banner comes and goes while it is open, the list is filtered, the list beside it is open where there is room.
const banner = document.getElementById("stale");
const fresh = document.getElementById("fresh");
const worker = document.body.dataset.worker;
const side = document.querySelector(".side");
if (side && matchMedia("(min-width: 60rem)").matches) side.open = true;

async function look() {
  try {
    const answer = await fetch("/_dev/state", { headers: { accept: "application/json" } });
    const state = await answer.json();
    banner.querySelector("pre").textContent = state.stale;
    banner.hidden = !state.stale;
    fresh.hidden = Boolean(state.stale) || String(state.worker) === worker;
  } catch {
    // The server is away for a moment: the next look finds it.
  }
  setTimeout(look, document.hidden ? 5000 : 1000);
}
setTimeout(look, 1000);

const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const wanted = filter.value.trim().toLowerCase();
  for (const row of document.querySelectorAll("tr[data-name]")) row.hidden = !row.dataset.name.includes(wanted);
});
