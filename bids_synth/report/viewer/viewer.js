// The viewer of a participant's page: linked planes, flicker, overlay, keys and wheel; no network.
"use strict";
(() => {
  const { PLANES, SHAPES, element, clamp, signed, volumeOf, drawPanel, valueOf, barOf, mm } = bidsSynthRender;
  const PERIOD = 700; // Milliseconds of one picture in a flicker: far below three flashes a second.
  const WHEEL = 30; // Pixels of a trackpad that are one slice.
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  class Viewer {
    constructor(home, volume) {
      this.home = home;
      this.volume = volume;
      this.layers = volume.layers;
      this.at = volume.shape.map((n) => Math.floor(n / 2));
      this.image = this.first("synthetic");
      this.overlay = -1;
      this.opacity = 0.6;
      this.source = this.first("source");
      this.view = "planes";
      this.plane = "axial";
      this.outline = false;
      this.crosshair = true;
      this.rolled = 0;
      this.tables = [];
      this.build();
      this.arrange();
      new ResizeObserver(() => this.draw()).observe(this.pictures);
      still.addEventListener("change", () => this.stop());
      document.addEventListener("visibilitychange", () => document.hidden && this.stop());
    }

    first(kind) {
      return this.layers.findIndex((layer) => layer.kind === kind);
    }

    // --- what stands on the page

    build() {
      this.buttons = this.layers.map((layer, n) => element("button",
        { type: "button", class: layer.kind, onclick: () => this.show(n), title: `Show it (key ${n + 1})` },
        `${SHAPES[layer.kind]} ${layer.name}`));
      const over = element("select", { onchange: (e) => { this.overlay = Number(e.target.value); this.draw(); } },
        element("option", { value: -1 }, "nothing"),
        ...this.layers.map((layer, n) => element("option", { value: n }, layer.name)));
      const opacity = element("input", {
        type: "range", min: 0, max: 100, value: 60,
        oninput: (e) => { this.opacity = e.target.value / 100; this.draw(); },
      });
      const view = element("select", { onchange: (e) => { this.view = e.target.value; this.arrange(); } },
        element("option", { value: "planes" }, "three planes"),
        ...Object.keys(PLANES).map((plane) => element("option", { value: plane }, `all images, ${plane}`)));
      const tick = (name) => element("input", {
        type: "checkbox", onchange: (e) => { this[name] = e.target.checked; this.draw(); },
      });
      const [dark, bright] = [0, 1].map((end) => element("input", {
        type: "range", min: 0, max: 255, oninput: (e) => this.rewindow(end, Number(e.target.value)),
      }));
      this.controls = { over, opacity, view, outline: tick("outline"), crosshair: tick("crosshair"), dark, bright };
      const labelled = (text, control) => element("label", {}, text, control);
      this.flickers = ["real", "source"].map((kind) => element("button",
        { type: "button", onclick: () => this.flicker(kind), "aria-pressed": "false" }));
      this.bars = element("div", { class: "bars" });
      this.pictures = element("div", { class: "pictures" });
      this.values = element("tbody");
      this.place = element("p", { class: "place", "aria-live": "polite" });
      this.home.replaceChildren(
        element("div", { class: "tools", role: "group", "aria-label": "Image" }, ...this.buttons),
        element("div", { class: "tools", role: "group", "aria-label": "Flicker" },
          element("span", { class: "quiet" }, "Flicker synthetic against"), ...this.flickers),
        this.pictures, this.bars,
        element("div", { class: "tools" }, labelled("Show ", view), labelled("Lay over it ", over),
          labelled("opacity ", opacity), labelled("dark ", dark), labelled("bright ", bright),
          element("label", {}, this.controls.outline, " mask (M)"),
          element("label", {}, this.controls.crosshair, " crosshair (C)"),
          element("button", { type: "button", onclick: () => this.reset() }, "Reset (0)")),
        this.place,
        element("table", { class: "values" }, this.values),
        element("p", { class: "place" }, `Shown in 8 bits on a grid of ${this.volume.spacing} mm around the mask; `
          + "the files hold the whole images."));
      this.home.addEventListener("keydown", (event) => this.key(event));
      this.home.classList.add("open");
      this.controls.crosshair.checked = true;
    }

    // Panels for the images and planes of the view: canvases with a slider each.
    arrange() {
      const every = Object.keys(PLANES);
      const wanted = this.view === "planes"
        ? every.map((plane) => ({ plane }))
        : this.layers.map((_, image) => ({ plane: this.view, image }));
      this.panels = wanted.map((panel) => this.panel(panel));
      this.pictures.classList.toggle("many", this.view !== "planes");
      if (this.view !== "planes") this.plane = this.view;
      this.pictures.replaceChildren(...this.panels.map((panel) => panel.figure));
      this.draw();
    }

    panel({ plane, image }) {
      const canvas = element("canvas", { tabindex: 0, role: "img" });
      const slider = element("input", {
        type: "range", min: 0, max: this.volume.shape[PLANES[plane][2]] - 1,
        "aria-label": `${plane} slice`, oninput: (e) => this.slice(plane, Number(e.target.value), true),
      });
      const title = element("figcaption");
      const panel = { plane, image, canvas, slider, title, buffer: document.createElement("canvas") };
      panel.figure = element("figure", {}, title, canvas, slider);
      canvas.addEventListener("focus", () => { this.plane = plane; });
      canvas.addEventListener("pointerdown", (e) => {
        canvas.focus({ preventScroll: true });
        canvas.setPointerCapture(e.pointerId);
        this.point(panel, e);
      });
      canvas.addEventListener("pointermove", (e) => e.buttons & 1 && this.point(panel, e));
      canvas.addEventListener("wheel", (e) => this.wheel(panel, e), { passive: false });
      return panel;
    }

    // --- what a person does

    show(image) {
      this.stop();
      this.image = image;
      if (this.layers[image].kind === "source") this.source = image;
      this.draw();
    }

    slice(plane, value, absolute = false) {
      const axis = PLANES[plane][2];
      const to = absolute ? value : this.at[axis] + value;
      this.at[axis] = clamp(to, 0, this.volume.shape[axis] - 1);
      this.draw();
    }

    move(across, down) {
      const [x, y] = PLANES[this.plane];
      this.at[x] = clamp(this.at[x] - across, 0, this.volume.shape[x] - 1);
      this.at[y] = clamp(this.at[y] - down, 0, this.volume.shape[y] - 1);
      this.draw();
    }

    point(panel, event) {
      const [x, y] = PLANES[panel.plane];
      const box = panel.canvas.getBoundingClientRect();
      const { left, top, scale } = panel.place;
      const column = Math.floor((event.clientX - box.left - left) / scale);
      const row = Math.floor((event.clientY - box.top - top) / scale);
      this.at[x] = clamp(this.volume.shape[x] - 1 - column, 0, this.volume.shape[x] - 1);
      this.at[y] = clamp(this.volume.shape[y] - 1 - row, 0, this.volume.shape[y] - 1);
      this.draw();
    }

    // The page scrolls as ever until a person is in the viewer.
    wheel(panel, event) {
      if (event.ctrlKey || !this.home.contains(document.activeElement)) return;
      event.preventDefault();
      const amount = event.deltaY * (event.deltaMode ? WHEEL : 1);
      this.rolled = Math.sign(this.rolled) === -Math.sign(amount) ? amount : this.rolled + amount;
      const slices = Math.abs(amount) >= WHEEL ? Math.sign(amount) : Math.trunc(this.rolled / WHEEL);
      if (slices) {
        this.rolled = 0;
        this.slice(panel.plane, -slices);
      }
    }

    key(event) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const control = event.target.closest("input[type=range], select");
      const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 5, PageDown: -5 }[event.key];
      const beside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (control && (step || beside || event.target.tagName === "SELECT")) return;
      if (event.shiftKey && beside) this.move(beside, 0);
      else if (event.shiftKey && Math.abs(step) === 1) this.move(0, -step);
      else if (step) this.slice(this.plane, step);
      else if (beside) this.show((this.image + beside + this.layers.length) % this.layers.length);
      else if (!this.letter(event.key.toLowerCase())) return;
      event.preventDefault();
    }

    letter(key) {
      const number = Number(key);
      if (key === "0") this.reset();
      else if (number >= 1 && number <= this.layers.length) this.show(number - 1);
      else if (key === "f") this.flicker("real");
      else if (key === "g") this.flicker("source");
      else if (key === "o") this.lay(["error", "doubt"].map((kind) => this.first(kind)));
      else if (key === "[" || key === "]") this.fade(key === "]" ? 0.1 : -0.1);
      else if (key === "m" || key === "c") this.toggle(key === "m" ? "outline" : "crosshair");
      else return false;
      return true;
    }

    lay(images) {
      const order = [-1, ...images.filter((n) => n >= 0)];
      this.overlay = order[(order.indexOf(this.overlay) + 1) % order.length];
      this.draw();
    }

    fade(step) {
      this.opacity = clamp(Math.round((this.opacity + step) * 10) / 10, 0, 1);
      this.draw();
    }

    toggle(name) {
      this[name] = !this[name];
      this.draw();
    }

    rewindow(end, level) {
      const layer = this.layers[this.image];
      const window = [...layer.window];
      window[end] = end ? Math.max(level, window[0] + 1) : Math.min(level, window[1] - 1);
      const pair = ["synthetic", "real"];
      for (const other of this.layers) {
        if (other === layer || (pair.includes(other.kind) && pair.includes(layer.kind))) {
          other.own = other.own || other.window;
          other.window = window;
        }
      }
      this.draw();
    }

    reset() {
      this.stop();
      this.at = this.volume.shape.map((n) => Math.floor(n / 2));
      Object.assign(this, { overlay: -1, opacity: 0.6, outline: false, crosshair: true, image: this.first("synthetic") });
      for (const layer of this.layers) layer.window = layer.own || layer.window;
      this.draw();
    }

    // Two images in turns; one a press where a person wants no motion.
    flicker(kind) {
      const other = kind === "real" ? this.first("real") : this.source;
      const own = this.first("synthetic");
      if (other < 0) return;
      const running = this.timer && this.against === other;
      this.stop();
      if (running) return;
      const turn = () => {
        this.image = this.image === own ? other : own;
        this.draw();
      };
      turn();
      if (still.matches) return;
      this.against = other;
      this.timer = setInterval(turn, PERIOD);
      this.draw();
    }

    stop() {
      clearInterval(this.timer);
      this.timer = this.against = null;
      this.draw();
    }

    // --- what follows from it

    draw() {
      if (!this.panels) return;
      for (const panel of this.panels) drawPanel(this, panel);
      this.tell();
      const { over, opacity, dark, bright, outline, crosshair } = this.controls;
      over.value = this.overlay;
      opacity.value = Math.round(100 * this.opacity);
      [dark.value, bright.value] = this.layers[this.image].window;
      outline.checked = this.outline;
      crosshair.checked = this.crosshair;
      this.buttons.forEach((button, n) => button.setAttribute("aria-pressed", String(n === this.image)));
      const shown = [this.layers[this.image], this.layers[this.overlay]].filter(Boolean);
      this.bars.replaceChildren(...shown.map(barOf));
    }

    // The flicker buttons, the place of the crosshair and the values there.
    tell() {
      const others = [this.first("real"), this.source];
      this.flickers.forEach((button, n) => {
        const other = this.layers[others[n]];
        button.disabled = !other;
        button.textContent = other ? `${other.name} (${"FG"[n]})` : "real: none was compared (F)";
        button.setAttribute("aria-pressed", String(Boolean(this.timer) && this.against === others[n]));
      });
      const where = mm(this.volume, this.at).map((x, n) => `${"xyz"[n]} ${Math.round(x)}`).join(", ");
      this.place.textContent = signed(`At the crosshair (${where} mm):`);
      this.values.replaceChildren(...this.layers.map((layer) => element("tr", {},
        element("th", { scope: "row" }, `${SHAPES[layer.kind]} ${layer.name}`),
        element("td", {}, valueOf(this.volume, layer, this.at)))));
    }
  }

  // --- from the page to a viewer

  async function open(home) {
    const status = home.querySelector("[role=status]");
    try {
      const data = await dataOf(home.dataset.name, home.dataset.script);
      home.viewer = new Viewer(home, await volumeOf(data));
    } catch (error) {
      status.textContent = `The viewer cannot be shown: ${error.message}`;
    }
  }

  // A script may be read beside a page on a disk, where data may not.
  function dataOf(name, address) {
    if (!("DecompressionStream" in window)) {
      throw new Error("it needs Firefox 113, Chrome 80, Safari 16.4 or newer. The pictures below need nothing.");
    }
    const there = () => (window.bidsSynth || {})[name];
    if (there()) return there();
    return new Promise((resolve, reject) => {
      const absent = () => reject(new Error(`${address} is not beside this page; copy it along.`));
      const script = element("script", { src: address, onerror: absent, onload: () => there() ? resolve(there()) : absent() });
      document.head.append(script);
    });
  }

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      open(target);
    }
  }, { rootMargin: "300px" });
  for (const home of document.querySelectorAll(".viewer")) near.observe(home);
})();
