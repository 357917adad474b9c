"use strict";
// Labels for suggested windows: keys, a field for each, the draft, and the table that teach reads.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const { make } = Dom;
  const kept = `vidattn ${data.digest}`;
  const rows = [...document.querySelectorAll("tbody tr")];
  const count = make("span", { role: "status" });
  let current = 0;

  const fields = rows.map((row, i) => {
    const field = make("input", { list: "labels", "aria-label": `Label of window ${i + 1}`, autocomplete: "off" });
    field.addEventListener("input", note);
    field.addEventListener("focus", () => go(i));
    row.lastElementChild.append(field);
    row.addEventListener("click", () => go(i));
    return field;
  });

  function go(i) {
    rows[current].removeAttribute("aria-current");
    current = Math.max(0, Math.min(i, rows.length - 1));
    rows[current].setAttribute("aria-current", "true");
    rows[current].scrollIntoView({ block: "nearest" });
  }

  /** Keeps the draft and says how many windows have a label. */
  function note() {
    const values = fields.map((field) => field.value);
    let safe = true;
    try {
      localStorage.setItem(kept, JSON.stringify(values));
    } catch {
      safe = false;
    }
    const done = values.filter((value) => value.trim()).length;
    count.textContent = `${done} of ${rows.length} labeled${done && !safe ? "; this browser does not keep them: save them" : ""}`;
  }

  /** Gives the current window a label: the only one, or one more where several may hold. */
  function label(name) {
    const own = fields[current].value.split(";").map((part) => part.trim()).filter(Boolean);
    const several = own.includes(name) ? own.filter((other) => other !== name) : [...own, name];
    fields[current].value = data.several ? several.join(";") : name;
    note();
    if (!data.several) go(current + 1);
  }

  function save() {
    const labeled = data.windows.map(([path, start, stop, roi], i) => ({ path, start, stop, roi, name: fields[i].value.trim() })).filter((row) => row.name);
    Save.download("suggestions.labels.csv", Save.csv(null, labeled));
  }

  document.addEventListener("keydown", (e) => {
    if (!rows.length || e.ctrlKey || e.metaKey || e.altKey) return;
    const typing = e.target.matches("input");
    const key = /^[1-9]$/.test(e.key) && data.labels[e.key - 1];
    if (e.key === "Enter" && !e.target.matches("button, a")) {
      e.target.blur();
      go(current + 1);
    } else if (e.key === "Escape" && typing) e.target.blur();
    else if (key && !(typing && e.target.value)) {
      if (typing) e.target.blur(); // so that the next digit is a key, too
      label(key);
    } else if (typing) return;
    else if (e.key === "ArrowDown" || e.key === "ArrowUp") go(current + (e.key === "ArrowDown" ? 1 : -1));
    else if (e.key === "Delete" || e.key === "Backspace") {
      fields[current].value = "";
      note();
    } else {
      if (/^\p{L}$/u.test(e.key)) fields[current].focus(); // which takes the letter
      return;
    }
    e.preventDefault();
  });

  try {
    JSON.parse(localStorage.getItem(kept))?.forEach((value, i) => fields[i] && (fields[i].value = String(value)));
  } catch {
    // Without a draft, or where the browser keeps none, all begin empty.
  }
  document.querySelector("main").append(make("datalist", { id: "labels" }, ...data.labels.map((value) => make("option", { value }))));
  const button = make("button", { type: "button", id: "save", text: "Save labels" });
  button.addEventListener("click", save);
  document.querySelector(".tools").prepend(button, " ");
  document.querySelector(".facts").append(count);
  if (rows.length) go(0);
  note();
  document.documentElement.dataset.ready = "yes";
}
