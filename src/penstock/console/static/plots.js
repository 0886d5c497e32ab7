// Draws the plots of a page from its numbers, and keeps them moving. Without it the server's pictures stay.
"use strict";
(() => {
  const place = document.getElementById("plots");
  if (!place || !window.uPlot) return;
  const EVERY_MS = 5000, HEIGHT = 190;
  const STACKED = new Set(["rates"]);
  const WHOLE = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();
  const COLUMNS = {
    lag: ["lag_s"], rates: ["written", "superseded", "folded", "filtered", "dead_lettered"],
    latency: ["write_p50_ms", "write_p99_ms"], documents: ["documents_source", "documents_index"],
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plots = new Map();
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const short = (value) => value === null ? "" : value >= 1e6 ? `${+(value / 1e6).toFixed(2)}M` : value >= 1e4 ? `${+(value / 1e3).toFixed(1)}k`
    : `${+value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)}`;
  // Each line stands on the sum of those before it; a gap stays a gap.
  const stack = (columns) => {
    const sums = columns[0].map(() => 0);
    return columns.map((column) => column.map((value, at) => value === null ? null : (sums[at] += value)));
  };
  const withGaps = (times, columns) => {
    const gaps = times.slice(1).map((at, before) => at - times[before]).sort((one, other) => one - other);
    const most = 3 * (gaps[gaps.length >> 1] || 1) + 5;
    const at = [], out = columns.map(() => []);
    times.forEach((time, number) => {
      if (number && time - times[number - 1] > most) { at.push(times[number - 1] + 1); out.forEach((column) => column.push(null)); }
      at.push(time);
      out.forEach((column, its) => column.push(columns[its][number]));
    });
    return [at, out];
  };
  const dataOf = (name, found) => {
    const [at, columns] = withGaps(found.at, COLUMNS[name].map((column) => found.columns[column]));
    // What is stacked highest is drawn first, so that the lower ones stay visible.
    return STACKED.has(name) ? [at, ...stack(columns).reverse()] : [at, ...columns];
  };
  const optionsOf = (name, figure, found) => {
    const count = COLUMNS[name].length, stacked = STACKED.has(name);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const series = Array.from({ length: count }, (_, number) => {
      const line = colour(`--line-${(stacked ? count - 1 - number : number) + 1}`);
      return { stroke: line, width: 1.5, fill: stacked ? line : name === "lag" ? colour("--tint") : undefined, points: { show: false } };
    });
    return {
      width: Math.max(200, figure.querySelector(".canvas").clientWidth), height: HEIGHT, legend: { show: false }, tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "UTC"),
      cursor: { y: false, points: { show: false }, drag: { x: false } },
      scales: { x: { min: found.since, max: found.until, range: () => [plots.get(name)?.since ?? found.since, plots.get(name)?.until ?? found.until] },
        y: { range: (_plot, low, high) => name === "documents" ? [Math.max(0, low - Math.max(2, (high - low) * 0.1)), high + Math.max(2, (high - low) * 0.1)] : [0, (high || 1) * 1.08] } },
      series: [{}, ...series],
      axes: [{ ...axis, values: (_plot, splits) => splits.map((at) => label(at, found.until - found.since)) }, { ...axis, size: 62, ...(name === "documents" ? { incrs: WHOLE } : {}), values: (_plot, splits) => splits.map(short) }],
      hooks: { setCursor: [(plot) => tell(name, figure, plot.cursor.idx)] },
    };
  };
  const label = (at, span) => {
    const text = new Date(at * 1e3).toISOString();
    return span > 86400 * 2 ? text.slice(5, 10) : text.slice(11, 16);
  };
  // The table under a plot has the numbers under the pointer in its last column, or else the newest ones.
  const tell = (name, figure, number) => {
    const { found } = plots.get(name);
    const rows = figure.querySelectorAll("tr[data-column]");
    const time = plots.get(name).plot.data[0][number];
    const place = time === undefined ? -1 : found.at.indexOf(time);
    COLUMNS[name].forEach((column, row) => {
      const values = found.columns[column].filter((value) => value !== null);
      const shown = place >= 0 ? found.columns[column][place] : values.length ? values[values.length - 1] : null;
      const cells = rows[row].querySelectorAll("td");
      [values.length ? Math.min(...values) : null, values.length ? Math.max(...values) : null, shown]
        .forEach((value, cell) => { cells[cell].textContent = value === null ? "-" : short(value); });
    });
    figure.querySelector("thead th:last-child").textContent = place >= 0 ? `${new Date(time * 1e3).toISOString().slice(11, 19)} UTC` : "last";
  };
  const draw = (figure, found) => {
    const name = figure.dataset.plot;
    const known = COLUMNS[name].some((column) => found.columns[column].some((value) => value !== null));
    let canvas = figure.querySelector(".canvas");
    if (!known) return;
    if (!canvas) {
      canvas = document.createElement("div");
      canvas.className = "canvas";
      figure.querySelector(".note").replaceWith(canvas);
    }
    const before = plots.get(name);
    if (before) {
      Object.assign(before, { found, since: found.since, until: found.until });
      before.plot.setData(dataOf(name, found));
    } else {
      canvas.replaceChildren();
      const made = { found, since: found.since, until: found.until, plot: null };
      plots.set(name, made);
      made.plot = new uPlot(optionsOf(name, figure, found), dataOf(name, found), canvas);
      made.plot.root.querySelector("canvas").setAttribute("aria-hidden", "true");
    }
    tell(name, figure, plots.get(name).plot.cursor.idx ?? undefined);
  };
  const figures = () => place.querySelectorAll("figure[data-plot]");
  const ask = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(place.dataset.numbers, { headers: { Accept: "application/json" } });
        if (answer.ok && !answer.redirected) {
          const found = await answer.json();
          figures().forEach((figure) => draw(figure, found));
        }
      } catch { /* the line at the end of the page says that the console does not answer */ }
    }
    setTimeout(ask, EVERY_MS);
  };
  const again = () => {
    for (const [name, { plot, found }] of [...plots]) {
      plot.destroy();
      plots.delete(name);
      draw(place.querySelector(`figure[data-plot="${name}"]`), found);
    }
  };
  dark.addEventListener("change", again);
  new ResizeObserver(() => {
    for (const [name, { plot }] of plots) {
      const width = place.querySelector(`figure[data-plot="${name}"] .canvas`).clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  }).observe(place);
  ask();
})();
