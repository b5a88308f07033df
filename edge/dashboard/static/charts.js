"use strict";
// Charts of a station, drawn anew from the same columns whenever its numbers change.

{
  const charts = new Map();
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const labels = (element) => JSON.parse(element.dataset.labels);
  const axes = (across, up) => {
    const axis = { stroke: style("--text"), grid: { stroke: style("--line"), width: 1 }, ticks: { show: false } };
    return [{ ...axis, label: across, labelSize: across ? 20 : 0 }, { ...axis, label: up, labelSize: up ? 20 : 0 }];
  };

  function draw(element, options, columns) {
    const known = charts.get(element);
    const theme = document.documentElement.dataset.theme;
    const names = options.series.map((each) => each.label).join();
    if (known && known.theme === theme && known.count === columns.length && known.names === names) {
      known.plot.setData(columns);
      return;
    }
    if (known) known.plot.destroy();
    const width = Math.max(240, element.clientWidth);
    const plot = new uPlot({ width, height: 220, axes: axes(...(options.words || [])), cursor: { drag: { x: false, y: false } }, ...options }, columns, element);
    charts.set(element, { plot, theme, names, count: columns.length });
    if (plot.scales.x.time) plot.over.addEventListener("click", () => goTo(plot));
  }

  // A click on a trend goes to what the station judged at that moment.
  function goTo(plot) {
    const { node, station } = document.body.dataset;
    const seconds = plot.posToVal(plot.cursor.left, "x");
    if (plot.cursor.left < 0 || !Number.isFinite(seconds)) return;
    const at = new Date(seconds * 1000).toISOString();
    location.assign(`/station/${node}/${station}/moment?at=${encodeURIComponent(at)}`);
  }

  // Nothing stands in the legend where the pointer is at none of the values.
  const value = (_, number) => (number === null || number === undefined ? "" : Number(number.toPrecision(4)));
  const moment = (_, seconds) => (seconds ? new Date(seconds * 1000).toLocaleTimeString(document.documentElement.lang) : "");
  const time = { label: "", value: moment };

  const line = (label, color) => ({ label, value, stroke: style(color), width: 2, spanGaps: true, points: { show: false } });

  function drawHistogram(element, data, threshold, asMultiples) {
    const words = labels(element);
    const score = asMultiples ? words.multiple : words.score;
    const bars = uPlot.paths.bars({ size: [0.9, 100] });
    const series = ["pass", "undecided", "fail"].map((name) => ({
      label: words[name], stroke: style(`--${name}`), value, fill: style(`--${name}`), paths: bars, points: { show: false },
    }));
    const mark = {
      hooks: {
        draw: [(plot) => {
          const value = plot.root.dataset.threshold;
          if (!value) return;
          const x = plot.valToPos(Number(value), "x", true);
          plot.ctx.save();
          plot.ctx.strokeStyle = style("--text");
          plot.ctx.setLineDash([6, 4]);
          plot.ctx.beginPath();
          plot.ctx.moveTo(x, plot.bbox.top);
          plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
          plot.ctx.stroke();
          plot.ctx.fillStyle = style("--text");
          plot.ctx.textAlign = x > plot.bbox.left + plot.bbox.width / 2 ? "right" : "left";
          plot.ctx.fillText(` ${words.threshold} `, x, plot.bbox.top + 14 * devicePixelRatio);
          plot.ctx.restore();
        }],
        ready: [(plot) => { plot.root.dataset.threshold = threshold ?? ""; }],
      },
    };
    const counts = [data.pass, data.undecided, data.fail];
    const columns = [data.edges, ...counts.map((column) => column.map((count) => count || null))];
    const options = { scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(1, 1.2 * high)] } }, series: [{ label: score, value }, ...series], plugins: [mark], words: [score, words.parts] };
    draw(element, options, columns);
    charts.get(element).plot.root.dataset.threshold = threshold ?? "";
  }

  async function renew() {
    const { node, station } = document.body.dataset;
    const query = new URLSearchParams(location.search);
    const answer = await fetch(`/station/${node}/${station}/charts?window=${query.get("window") || "1h"}`);
    if (!answer.ok) return;
    const { trend, histogram, threshold, as_multiples: asMultiples } = await answer.json();
    for (const element of document.querySelectorAll("[data-chart]")) {
      const words = labels(element);
      const kind = element.dataset.chart;
      if (kind === "histogram") drawHistogram(element, histogram, threshold, asMultiples);
      if (kind === "trend") draw(element, { series: [time, line(words.parts, "--text"), line(words.rejects, "--fail")] }, [trend.at, trend.parts, trend.rejects]);
      if (kind === "score") {
        const level = trend.at.map(() => threshold);
        draw(element, { series: [time, line(asMultiples ? words.multiple : words.score, "--accent"), line(words.threshold, "--fail")] }, [trend.at, trend.score, level]);
      }
      if (kind === "latency") draw(element, { series: [time, line(words.latency, "--accent")] }, [trend.at, trend.latency]);
    }
  }

  document.body.addEventListener("numbers", renew);
  addEventListener("resize", () => {
    for (const [element, { plot }] of charts) plot.setSize({ width: Math.max(240, element.clientWidth), height: 220 });
  });
  renew();
}
