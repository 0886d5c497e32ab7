// Keeps the live part of a page up to date, filters tables while one types, and takes the keyboard to the search box.
"use strict";
(() => {
  const QUIET_MS = 10000, POLL_MS = 5000, TRIES = 3;
  const live = document.querySelector("#live[data-live]");
  const connection = document.getElementById("connection");
  let stream = null, polling = null, failures = 0, heard = Date.now();

  document.querySelector(".top nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });

  const say = (text) => { if (connection && connection.textContent !== text) connection.textContent = text; };
  // Whether somebody has typed into a field, or ticked it, that is on the new page too.
  const isFilled = (field, after) => {
    if (field.name !== after.name) return false;
    if (field.type === "checkbox") return field.checked !== field.defaultChecked && field.value === after.value;
    return field.value !== field.defaultValue;
  };
  const filled = new WeakSet();
  const options = {
    callbacks: {
      // What a script has drawn stays, and so does what somebody has opened, typed or ticked.
      beforeNodeMorphed: (before, after) => {
        if (!(before instanceof Element)) return true;
        if (before.hasAttribute("data-keep")) return false;
        if (before.localName === "details" && after instanceof Element) after.toggleAttribute("open", before.open);
        if (before.localName === "input") filled[isFilled(before, after) ? "add" : "delete"](before);
        return true;
      },
      beforeAttributeUpdated: (name, element) => !(filled.has(element) && ["value", "checked"].includes(name)),
    },
    ignoreActiveValue: true,
  };

  const morph = (element, html, style) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    if (style === "innerHTML") Idiomorph.morph(element, template.content.childNodes, { ...options, morphStyle: style });
    else Idiomorph.morph(element, template.content.firstElementChild, { ...options, morphStyle: style });
  };
  const changed = () => {
    heard = Date.now();
    failures = 0;
    say("");
    htmx.process(live);
    filterAll();
    document.dispatchEvent(new CustomEvent("penstock:changed"));
  };
  const takeWhole = (html) => { morph(live, html, "innerHTML"); changed(); };
  const takeParts = (parts) => {
    for (const [id, html] of Object.entries(parts)) {
      const element = document.getElementById(id);
      if (element) morph(element, html, "outerHTML");
    }
    changed();
  };

  const open = () => {
    if (!live || stream || document.hidden) return;
    if (!window.EventSource) return poll();
    stream = new EventSource(location.href);
    stream.addEventListener("whole", (event) => takeWhole(JSON.parse(event.data)));
    stream.addEventListener("parts", (event) => takeParts(JSON.parse(event.data)));
    stream.onerror = () => {
      close();
      failures += 1;
      sayHowOld();
      if (failures >= TRIES) poll(); else setTimeout(open, 1000 * failures);
    };
  };
  const close = () => { if (stream) stream.close(); stream = null; clearTimeout(polling); polling = null; };
  // Without a stream the page is asked for as a whole, until a stream can be opened again.
  const poll = () => {
    clearTimeout(polling);
    polling = setTimeout(async () => {
      polling = null;
      if (document.hidden) return;
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (answer.redirected) return location.reload();
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const now = page.getElementById("live");
        if (answer.ok && now) { takeWhole(now.innerHTML); return open(); }
      } catch { /* said below */ }
      sayHowOld();
      poll();
    }, POLL_MS);
  };
  const sayHowOld = () => {
    const at = new Date(heard).toISOString().slice(11, 19);
    say(`The console does not answer. What you see is of ${at} UTC.`);
  };

  const filter = (box) => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll(`${box.dataset.filter} > *`)) {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    }
  };
  const filterAll = () => document.querySelectorAll("input[data-filter]").forEach(filter);

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  document.addEventListener("input", (event) => {
    if (event.target.matches("input[data-filter]")) filter(event.target);
    if (event.target.matches("input[data-typed]")) confirmTyped(event.target);
  });
  const confirmTyped = (box) => {
    const fits = box.value.trim() === box.dataset.typed;
    box.setCustomValidity(fits ? "" : `Type ${box.dataset.typed}`);
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select, [contenteditable]");
    const box = document.querySelector("input[data-search]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (box) box.focus(); else location.href = "/explain";
  });

  say("");
  filterAll();
  open();
})();
