"use strict";
// Drawing a defect on a picture with mouse, pen or finger.

{
  const form = document.querySelector("[data-review]");
  if (form) {
    const button = form.querySelector("[data-draw]");
    const field = form.elements.polygon;
    let points = [];
    let shape = null;
    let isDrawing = false;

    const isOn = () => button.getAttribute("aria-pressed") === "true";

    function clear() {
      points = [];
      field.value = "";
      if (shape) shape.remove();
      shape = null;
    }

    function place(figure, event) {
      const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(figure.getScreenCTM().inverse());
      const { width, height } = figure.viewBox.baseVal;
      return [Math.min(width, Math.max(0, point.x)), Math.min(height, Math.max(0, point.y))];
    }

    function show() {
      shape.setAttribute("points", points.map((point) => point.join(",")).join(" "));
    }

    function thinned() {
      const step = Math.max(1, Math.ceil(points.length / 100));
      return points.filter((_, index) => index % step === 0).map((point) => point.map((value) => Math.round(value * 10) / 10));
    }

    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", isOn() ? "false" : "true");
      for (const figure of document.querySelectorAll("[data-figure]")) figure.classList.toggle("drawable", isOn());
    });
    form.querySelector("[data-clear]").addEventListener("click", clear);

    for (const figure of document.querySelectorAll("[data-figure]")) {
      figure.addEventListener("pointerdown", (event) => {
        if (!isOn()) return;
        event.preventDefault();
        clear();
        isDrawing = true;
        figure.setPointerCapture(event.pointerId);
        form.elements.camera.value = figure.dataset.camera;
        shape = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
        shape.setAttribute("class", "drawn");
        shape.setAttribute("vector-effect", "non-scaling-stroke");
        figure.append(shape);
        points.push(place(figure, event));
      });
      figure.addEventListener("pointermove", (event) => {
        if (!isDrawing || !figure.hasPointerCapture(event.pointerId)) return;
        points.push(place(figure, event));
        show();
      });
      figure.addEventListener("pointerup", () => {
        if (!isDrawing) return;
        isDrawing = false;
        if (points.length < 3) clear();
        else field.value = JSON.stringify(thinned());
      });
    }
  }
}
