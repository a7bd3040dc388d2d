// Everything works without this file. It adds buttons that copy, and fields that filter rows.
"use strict";

const status = document.getElementById("status");

function say(text) {
  status.textContent = "";
  requestAnimationFrame(() => { status.textContent = text; });
}

function addCopyButtons() {
  for (const snippet of document.querySelectorAll(".snippet")) {
    const code = snippet.querySelector("code");
    if (!code || !navigator.clipboard) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
        say("Copied");
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      } catch {
        say("The browser does not allow copying");
      }
    });
    snippet.append(button);
  }
}

function addFilters() {
  for (const field of document.querySelectorAll("input[data-filter]")) {
    const target = document.getElementById(field.dataset.filter);
    const rows = [...target.querySelectorAll("tbody tr"), ...(target.matches("tbody") ? target.rows : [])];
    if (rows.length < 2) continue;
    field.closest("[data-enhanced]").hidden = false;
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
        if (!row.hidden) shown += 1;
      }
      if ("open" in field.dataset && wanted !== "") {
        for (const part of target.querySelectorAll("details")) {
          part.open = part.querySelector("tbody tr:not([hidden])") !== null;
        }
      }
      say(shown === 1 ? "1 row" : `${shown} rows`);
    });
  }
}

addCopyButtons();
addFilters();
