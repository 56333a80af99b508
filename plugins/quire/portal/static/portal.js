// Presets, estimates and live updates of active runs. Everything else works without JavaScript.
"use strict";

const token = document.currentScript.dataset.token;
const FIRST_REFRESH_SECONDS = 0.5; // then less and less often, because most runs take one or two seconds
const REFRESH_GROWTH = 1.25;
const MAX_REFRESH_SECONDS = 2;

if (window.top !== window.self) document.documentElement.classList.add("embedded"); // in Airflow's UI

function field(form, name) { // by selector, because a parameter may have the same name as a property of the form
  return form.querySelector(`[name="${name}"]`);
}

function enablePresets(form) {
  for (const button of form.querySelectorAll("[data-start]")) {
    button.addEventListener("click", () => {
      field(form, "start").value = button.dataset.start;
      field(form, "end").value = button.dataset.end;
      form.dispatchEvent(new Event("change"));
    });
  }
  form.addEventListener("change", () => {
    for (const button of form.querySelectorAll("[data-start]")) {
      const isSelected = button.dataset.start === field(form, "start").value && button.dataset.end === field(form, "end").value;
      button.setAttribute("aria-pressed", isSelected);
    }
  });
}

function requestBody(form) {
  const fields = new FormData(form);
  const parameters = {};
  for (const [name, value] of fields) {
    if (!["quire-token", "start", "end", "formats"].includes(name) && value !== "") parameters[name] = value;
  }
  return { start: fields.get("start"), end: fields.get("end"), formats: fields.getAll("formats"), parameters };
}

function requireFormat(form) { // HTML cannot require one of several checkboxes
  const boxes = form.querySelectorAll('[name="formats"]');
  if (!boxes.length) return;
  const check = () => {
    const isAnyChecked = Array.from(boxes).some((box) => box.checked);
    boxes[0].setCustomValidity(isAnyChecked ? "" : "Choose at least one format.");
  };
  form.addEventListener("change", check);
  check();
}

function formatSize(bytes) { // like format_size in quire/human_readable.py
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 999.5 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${bytes >= 99.95 || unit === 0 ? Math.round(bytes).toLocaleString("en") : bytes.toFixed(1)} ${units[unit]}`;
}

function formatEstimate(estimate) {
  if (estimate.rows === 0) return estimate.is_exact ? "No rows in this range." : "Probably no rows in this range.";
  const about = estimate.is_exact ? "" : "About ";
  const rows = estimate.is_exact ? estimate.rows : Number(estimate.rows.toPrecision(2));
  const cached = estimate.stored ? ` ${estimate.stored} of ${estimate.partitions} ${estimate.partitions === 1 ? "partition" : "partitions"} cached.` : "";
  const bytes = estimate.bytes ? `, ${estimate.is_exact ? "about " : ""}${formatSize(Number(estimate.bytes.toPrecision(2)))}` : "";
  return `${about}${rows.toLocaleString("en")} ${rows === 1 ? "row" : "rows"}${bytes}.${cached}`;
}

function enableEstimate(form) {
  const output = form.querySelector("#estimate");
  let timer, latest = 0;
  form.addEventListener("change", () => {
    clearTimeout(timer);
    if (!field(form, "start").value || !field(form, "end").value) return;
    timer = setTimeout(async () => {
      const number = ++latest;
      output.textContent = "Estimating…";
      try {
        const response = await fetch(form.getAttribute("data-estimate"), {
          method: "POST",
          headers: { "Content-Type": "application/json", "X-Quire-Token": token },
          body: JSON.stringify(requestBody(form)),
        });
        const body = await response.json();
        if (number === latest) output.textContent = response.ok ? formatEstimate(body) : body.detail;
      } catch {
        if (number === latest) output.textContent = "Estimate unavailable.";
      }
    }, 300);
  });
}

function visibleState(live) { // without its form tokens, which differ in each response
  return live.textContent + Array.from(live.querySelectorAll("progress"), (bar) => bar.value).join();
}

function replaceLive(live, updated) {
  const focused = live.contains(document.activeElement) ? document.activeElement : null;
  live.replaceWith(document.adoptNode(updated));
  if (!focused) return;
  const isSame = (other) => other.textContent === focused.textContent && other.getAttribute("href") === focused.getAttribute("href");
  Array.from(updated.querySelectorAll(focused.tagName)).find(isSame)?.focus();
}

async function followRuns() {
  const announcement = document.getElementById("announcement");
  let live = document.getElementById("live");
  let seconds = FIRST_REFRESH_SECONDS;
  while (live && Number(live.dataset.active)) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    seconds = Math.min(MAX_REFRESH_SECONDS, seconds * REFRESH_GROWTH);
    if (document.hidden) continue;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!response.ok || response.redirected) continue;
      const updated = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
      if (!updated || visibleState(updated) === visibleState(live)) continue;
      replaceLive(live, updated);
      live = updated;
      announcement.textContent = Array.from(live.querySelectorAll(".badge, .steps"), (part) => part.textContent.trim()).slice(0, 2).join(". ");
    } catch {
      continue; // retry with the next refresh
    }
  }
}

for (const form of document.querySelectorAll("form[data-estimate]")) {
  enablePresets(form);
  requireFormat(form);
  enableEstimate(form);
}
followRuns();
