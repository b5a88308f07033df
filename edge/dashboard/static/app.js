"use strict";
// What every page does: live news, times of this place, layers of pictures, theme.

const body = document.body;

function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(element.getAttribute("datetime"));
    if (!Number.isNaN(moment.getTime())) {
      element.textContent = moment.toLocaleString(document.documentElement.lang, {
        dateStyle: "short", timeStyle: "medium",
      });
    }
  }
}

function layers(root) {
  for (const box of document.querySelectorAll("input[data-show]")) {
    const layer = box.dataset.show;
    const kept = sessionStorage.getItem(`show-${layer}`);
    if (kept !== null && root.contains(box)) box.checked = kept === "1";
    for (const element of document.querySelectorAll(`[data-layer="${layer}"]`)) {
      if (box.checked && element.dataset.href) element.setAttribute("href", element.dataset.href);
      element.setAttribute("visibility", box.checked ? "visible" : "hidden");
    }
  }
}

// Below a picture stands that there is none; a narrow one must not show it at its sides.
function settle(image) {
  if (!(image instanceof HTMLImageElement) || !image.hasAttribute("data-hide-broken")) return;
  if (image.naturalWidth) image.classList.add("loaded");
  else image.remove();
}

// These do not bubble, but pass here on their way down.
document.addEventListener("load", (event) => settle(event.target), true);
document.addEventListener("error", (event) => settle(event.target), true);

function dress(root) {
  localTimes(root);
  layers(root);
  for (const image of root.querySelectorAll("img[data-hide-broken]")) {
    if (image.complete && image.naturalWidth) settle(image);
  }
}

document.addEventListener("change", (event) => {
  const layer = event.target.dataset ? event.target.dataset.show : undefined;
  if (layer) {
    sessionStorage.setItem(`show-${layer}`, event.target.checked ? "1" : "0");
    layers(document);
  }
  if (event.target.closest("[data-window]")) event.target.form.submit();
});

// The arrow keys go to the part before and after.
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, select, textarea, .scroll, .chart");
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  if (!rel || isTyping || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const link = document.querySelector(`a[rel="${rel}"]`);
  if (link) link.click();
});

document.addEventListener("click", async (event) => {
  if (event.target.closest("[data-theme-toggle]")) {
    const root = document.documentElement;
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
  }
  const button = event.target.closest("[data-fetch]");
  if (button) await showLarge(button);
});

async function showLarge(button) {
  // The raw frame if the station keeps it, else the annotated view.
  const note = button.parentElement.querySelector("[role=status]");
  note.textContent = button.dataset.loading;
  button.disabled = true;
  let problem = "";
  for (const [address, shows, isRaw] of [
    [button.dataset.fetch, button.dataset.shows, true],
    [button.dataset.else, button.dataset.elseShows, false],
  ]) {
    const answer = await fetch(address, { method: "POST", headers: { "x-csrf": body.dataset.csrf } });
    if (answer.ok) {
      const view = button.closest(".view");
      if (isRaw) {
        view.querySelector('[data-layer="picture"]').setAttribute("href", shows);
      } else {
        const extra = view.querySelector("img.extra");
        extra.src = shows;
        extra.hidden = false;
      }
      problem = "";
      break;
    }
    problem = (await answer.json().catch(() => ({}))).problem || String(answer.status);
  }
  note.textContent = problem;
  button.disabled = false;
}

// Inputs of local time fill hidden fields with moments that have a zone.
for (const form of document.querySelectorAll("[data-local-times]")) {
  for (const input of form.querySelectorAll("[data-local]")) {
    if (input.dataset.value) {
      const moment = new Date(input.dataset.value);
      const shifted = new Date(moment.getTime() - moment.getTimezoneOffset() * 60000);
      input.value = shifted.toISOString().slice(0, 19);
    }
  }
  form.addEventListener("submit", () => {
    for (const input of form.querySelectorAll("[data-local]")) {
      if (input.value) {
        form.querySelector(`input[name="${input.dataset.local}"]`).value =
          new Date(input.value).toISOString();
      }
    }
  });
}

function listen() {
  const { node, station } = body.dataset;
  const source = new EventSource("/events");
  const lost = document.querySelector("[data-lost]");
  let wasLost = false;
  const tell = (name) => body.dispatchEvent(new CustomEvent(name, { bubbles: false }));
  source.addEventListener("open", () => {
    lost.hidden = true;
    if (wasLost) tell("reload"), tell("numbers"), tell("anything");
    wasLost = false;
  });
  source.addEventListener("error", () => {
    lost.hidden = false;
    wasLost = true;
    // The browser comes back by itself, unless the server wants somebody to sign in again.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
  const kinds = ["result", "status", "info", "state", "counters", "alerts", "health", "picture", "reload"];
  for (const kind of kinds) {
    source.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      if (kind === "reload") tell("numbers");
      if (kind === "reload" || !node || (data.node === node && data.station === station)) tell(kind);
    });
  }
  // What is counted over hours need not be drawn with every part.
  let hasNews = false;
  for (const kind of kinds) body.addEventListener(kind, () => { hasNews = true; });
  setInterval(() => {
    if (!hasNews || document.hidden) return;
    hasNews = false;
    tell("numbers");
    tell("anything");
  }, node ? 3000 : 1000);
}

document.addEventListener("htmx:after:swap", () => dress(document));
document.addEventListener("htmx:afterSwap", () => dress(document));
dress(document);
if (body.hasAttribute("data-live")) listen();
