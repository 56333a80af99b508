// Presets, the estimate, and pages that follow their runs. Everything else works without a script.
"use strict";

const token = document.currentScript.dataset.token;
const SECONDS_BETWEEN_LOOKS = 2;

if (window.top !== window.self) document.documentElement.classList.add("embedded"); // in Airflow's own page

function field(form, name) { // a parameter may be called like any property of a form
  return form.querySelector(`[name="${name}"]`);
}

function followPresets(form) {
  for (const button of form.querySelectorAll("[data-start]")) {
    button.addEventListener("click", () => {
      field(form, "start").value = button.dataset.start;
      field(form, "end").value = button.dataset.end;
      form.dispatchEvent(new Event("change"));
    });
  }
  form.addEventListener("change", () => {
    for (const button of form.querySelectorAll("[data-start]")) {
      const chosen = button.dataset.start === field(form, "start").value && button.dataset.end === field(form, "end").value;
      button.setAttribute("aria-pressed", chosen);
    }
  });
}

function asked(form) {
  const fields = new FormData(form);
  const parameters = {};
  for (const [name, value] of fields) {
    if (!["quire-token", "start", "end", "formats"].includes(name) && value !== "") parameters[name] = value;
  }
  return { start: fields.get("start"), end: fields.get("end"), formats: fields.getAll("formats"), parameters };
}

function requireFormat(form) { // one of several boxes, which HTML itself cannot require
  const boxes = form.querySelectorAll('[name="formats"]');
  if (!boxes.length) return;
  const check = () => {
    const chosen = Array.from(boxes).some((box) => box.checked);
    boxes[0].setCustomValidity(chosen ? "" : "Choose at least one format.");
  };
  form.addEventListener("change", check);
  check();
}

function size(bytes) { // as quire.formatting.format_size
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${bytes >= 99.95 || unit === 0 ? Math.round(bytes).toLocaleString("en") : bytes.toFixed(1)} ${units[unit]}`;
}

function sentence(found) {
  if (found.rows === 0) return "No rows, as far as is known.";
  const about = found.is_exact ? "" : "About ";
  const rows = found.is_exact ? found.rows : Number(found.rows.toPrecision(2));
  const stored = found.stored ? ` ${found.stored} of ${found.partitions} parts are ready.` : "";
  const bytes = found.bytes ? `, some ${size(Number(found.bytes.toPrecision(2)))}` : "";
  return `${about}${rows.toLocaleString("en")} ${rows === 1 ? "row" : "rows"}${bytes}.${stored}`;
}

function followEstimate(form) {
  const output = form.querySelector("#estimate");
  let waiting, latest = 0;
  form.addEventListener("change", () => {
    clearTimeout(waiting);
    if (!field(form, "start").value || !field(form, "end").value) return;
    waiting = setTimeout(async () => {
      const own = ++latest;
      output.textContent = "Looking how much that is …";
      try {
        const answer = await fetch(form.getAttribute("data-estimate"), {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-Quire-Token": token },
          body: JSON.stringify(asked(form)),
        });
        const told = await answer.json();
        if (own === latest) output.textContent = answer.ok ? sentence(told) : told.detail;
      } catch {
        if (own === latest) output.textContent = "How much that is cannot be told just now.";
      }
    }, 300);
  });
}

function shown(live) { // without the tokens of its forms, which are others each time
  return live.textContent + Array.from(live.querySelectorAll("progress"), (bar) => bar.value).join();
}

function refresh(live, found) {
  const focused = live.contains(document.activeElement) ? document.activeElement : null;
  live.replaceWith(document.adoptNode(found));
  if (!focused) return;
  const same = (other) => other.textContent === focused.textContent && other.getAttribute("href") === focused.getAttribute("href");
  Array.from(found.querySelectorAll(focused.tagName)).find(same)?.focus();
}

async function followRuns() {
  const said = document.getElementById("said");
  let live = document.getElementById("live");
  while (live && Number(live.dataset.active)) {
    await new Promise((proceed) => setTimeout(proceed, SECONDS_BETWEEN_LOOKS * 1000));
    if (document.hidden) continue;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok || answer.redirected) continue;
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
      if (!found || shown(found) === shown(live)) continue;
      refresh(live, found);
      live = found;
      said.textContent = Array.from(live.querySelectorAll(".badge, .steps"), (part) => part.textContent.trim()).slice(0, 2).join(": ");
    } catch {
      continue; // the next look may find the server again
    }
  }
}

for (const form of document.querySelectorAll("form[data-estimate]")) {
  followPresets(form);
  requireFormat(form);
  followEstimate(form);
}
followRuns();
