// What the viewer shows: 8-bit volumes out of a page's scripts, and their planes on canvases.
"use strict";
const bidsSynthRender = (() => {
  const PLANES = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] }; // across, down, through
  const ENDS = [["R", "L"], ["A", "P"], ["S", "I"]];
  const SHAPES = { source: "■", synthetic: "◆", real: "●", error: "±", doubt: "▲" };
  const COLOURS = { source: "#e8ecf2", synthetic: "#ffb454", real: "#7cc7ff", error: "#e8ecf2", doubt: "#e8ecf2" };
  const EDGE = 18; // CSS pixels around a picture, for its letters.

  function element(tag, settings = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(settings)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const signed = (text) => text.replace("-", "\u2212");

  async function unpacked(text) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  // The volume of a script, and the error as the difference of two of its images.
  async function volumeOf(data) {
    const [mask, ...levels] = await Promise.all(
      [data.mask, ...data.layers.map((layer) => layer.levels)].map(unpacked));
    const layers = data.layers.map((layer, n) => ({
      ...layer, levels: levels[n], map: bytes(layer.colours), inside: layer.kind !== "source" && layer.kind !== "real",
    }));
    const synthetic = layers.find((layer) => layer.kind === "synthetic");
    const real = layers.find((layer) => layer.kind === "real");
    if (real) layers.push(errorOf(data, synthetic, real, mask));
    return { ...data, mask, layers };
  }

  function errorOf(data, synthetic, real, mask) {
    const width = synthetic.ends[1] - synthetic.ends[0];
    const gain = (width / 255) * (127.5 / data.reach);
    const levels = new Uint8Array(mask.length);
    for (let n = 0; n < mask.length; n++) {
      const error = mask[n] ? (synthetic.levels[n] - real.levels[n]) * gain : 0;
      levels[n] = clamp(Math.round(127.5 + error), 0, 255);
    }
    return {
      name: "error", kind: "error", unit: synthetic.unit, ends: [-data.reach, data.reach], window: [0, 255],
      map: bytes(data.error), levels, inside: true,
      value: (n) => ((synthetic.levels[n] - real.levels[n]) * width) / 255,
    };
  }

  // --- one plane

  // Where a voxel of a plane lies in the volume: patient's right and front on the left, up is up.
  function strides(volume, plane, at) {
    const [x, y, z] = PLANES[plane];
    const [nx, ny] = volume.shape;
    const step = [1, nx, nx * ny];
    const [width, height] = [volume.shape[x], volume.shape[y]];
    const start = at[z] * step[z] + (width - 1) * step[x] + (height - 1) * step[y];
    return { width, height, start, across: -step[x], down: -step[y] };
  }

  // Level -> red, green, blue inside the window of a layer.
  function tableOf(layer) {
    const key = layer.window.join();
    if (layer.table?.key === key) return layer.table;
    const [low, high] = layer.window;
    const table = new Uint8Array(768);
    for (let level = 0; level < 256; level++) {
      const colour = clamp(Math.round((255 * (level - low)) / (high - low)), 0, 255);
      table.set(layer.map.subarray(3 * colour, 3 * colour + 3), 3 * level);
    }
    layer.table = Object.assign(table, { key });
    return layer.table;
  }

  function paint(buffer, volume, plane, at, layer, over, opacity, outline) {
    const { width, height, start, across, down } = strides(volume, plane, at);
    buffer.width = width;
    buffer.height = height;
    const context = buffer.getContext("2d");
    const picture = context.createImageData(width, height);
    const [under, upper] = [tableOf(layer), over && tableOf(over)];
    const { mask } = volume;
    for (let row = 0, n = 0; row < height; row++) {
      for (let column = 0, v = start + row * down; column < width; column++, n += 4, v += across) {
        const level = 3 * layer.levels[v];
        const hidden = layer.inside && !mask[v];
        const share = over && !(over.inside && !mask[v]) ? opacity * strength(over, over.levels[v]) : 0;
        const top = over ? 3 * over.levels[v] : 0;
        for (let c = 0; c < 3; c++) {
          const own = hidden ? 0 : under[level + c];
          picture.data[n + c] = share ? own + share * (upper[top + c] - own) : own;
        }
        picture.data[n + 3] = 255;
        if (outline && mask[v] && onBorder(mask, v, across, down)) picture.data.set([255, 209, 102], n);
      }
    }
    context.putImageData(picture, 0, 0);
  }

  // Where error or doubt is small, the image below it stays as it is.
  function strength(layer, level) {
    if (layer.kind === "error") return Math.min(1, (3 * Math.abs(level - 127.5)) / 127.5);
    return layer.kind === "doubt" ? Math.min(1, (3 * level) / 255) : 1;
  }

  const onBorder = (mask, v, across, down) =>
    !(mask[v + across] && mask[v - across] && mask[v + down] && mask[v - down]);

  // One panel: the picture in its place, letters outside of it, the crosshair.
  function drawPanel(viewer, panel) {
    const { volume, at } = viewer;
    const { plane, canvas, buffer } = panel;
    const layer = viewer.layers[panel.image ?? viewer.image];
    const over = viewer.layers[viewer.overlay];
    paint(buffer, volume, plane, at, layer, over === layer ? undefined : over, viewer.opacity, viewer.outline);
    const [nx, ny, nz] = volume.shape;
    const box = viewer.view === "planes" ? [Math.max(nx, ny), Math.max(ny, nz)] : [buffer.width, buffer.height];
    const across = canvas.parentElement.clientWidth;
    const scale = (across - 2 * EDGE) / box[0];
    const size = [across, Math.round(box[1] * scale) + 2 * EDGE];
    const ratio = window.devicePixelRatio || 1;
    canvas.width = size[0] * ratio;
    canvas.height = size[1] * ratio;
    canvas.style.height = `${size[1]}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const [width, height] = [buffer.width * scale, buffer.height * scale];
    const place = { left: (size[0] - width) / 2, top: (size[1] - height) / 2, width, height, scale };
    panel.place = place;
    context.imageSmoothingQuality = "high";
    context.drawImage(buffer, place.left, place.top, width, height);
    if (viewer.crosshair) drawCross(context, volume, plane, at, place);
    drawLetters(context, plane, place, placeOf(volume, plane, at));
    nameOf(panel, layer, over, volume, at);
  }

  function nameOf(panel, layer, over, volume, at) {
    const where = placeOf(volume, panel.plane, at);
    panel.title.textContent = `${SHAPES[layer.kind]} ${layer.name}`;
    panel.title.style.color = COLOURS[layer.kind];
    const above = over && over !== layer ? `, ${over.name} laid over it` : "";
    panel.canvas.setAttribute("aria-label", `${layer.name}, ${panel.plane} plane at ${where}${above}`);
    panel.slider.value = at[PLANES[panel.plane][2]];
    panel.slider.setAttribute("aria-valuetext", where);
  }

  function drawCross(context, volume, plane, at, place) {
    const [x, y] = PLANES[plane];
    const column = place.left + (volume.shape[x] - at[x] - 0.5) * place.scale;
    const row = place.top + (volume.shape[y] - at[y] - 0.5) * place.scale;
    const gap = 7;
    context.beginPath();
    for (const side of [-1, 1]) {
      context.moveTo(column + side * gap, row);
      context.lineTo(side < 0 ? place.left : place.left + place.width, row);
      context.moveTo(column, row + side * gap);
      context.lineTo(column, side < 0 ? place.top : place.top + place.height);
    }
    context.strokeStyle = "#7dff9acc";
    context.lineWidth = 1;
    context.stroke();
  }

  function drawLetters(context, plane, { left, top, width, height }, where) {
    const [x, y] = PLANES[plane];
    Object.assign(context, {
      font: "600 13px system-ui, sans-serif", textAlign: "center", textBaseline: "middle",
      fillStyle: "#e8ecf2", strokeStyle: "#000", lineWidth: 3, lineJoin: "round",
    });
    const write = (text, column, row) => {
      context.strokeText(text, column, row);
      context.fillText(text, column, row);
    };
    write(ENDS[x][0], left - EDGE / 2, top + height / 2);
    write(ENDS[x][1], left + width + EDGE / 2, top + height / 2);
    write(ENDS[y][0], left + width / 2, top - EDGE / 2);
    write(ENDS[y][1], left + width / 2, top + height + EDGE / 2);
    context.textAlign = "left";
    context.font = "12px system-ui, sans-serif";
    write(where, 4, top + height + EDGE / 2);
  }

  // --- numbers

  const mm = (volume, at) => volume.affine.map(
    (row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);

  function placeOf(volume, plane, at) {
    const axis = PLANES[plane][2];
    return signed(`${"xyz"[axis]} ${Math.round(mm(volume, at)[axis])} mm`);
  }

  // The value of a layer at the crosshair in its unit, to the step of its levels.
  function valueOf(volume, layer, at) {
    const [nx, ny] = volume.shape;
    const n = at[0] + nx * (at[1] + ny * at[2]);
    if (layer.inside && !volume.mask[n]) return "outside the mask";
    const [low, high] = layer.ends;
    const digits = clamp(Math.ceil(-Math.log10((high - low) / 255)), 0, 8);
    if (layer.value) return `${signed(layer.value(n).toFixed(digits))} ${layer.unit}`;
    const level = layer.levels[n];
    const beyond = { 0: layer.kind === "doubt" ? "" : "≤ ", 255: "≥ " }[level] || "";
    const value = low + (level * (high - low)) / 255;
    return `${beyond}${signed(value.toFixed(digits))} ${layer.unit}`;
  }

  // A bar of a layer's colours with the values at its ends.
  function barOf(layer) {
    const [low, high] = layer.ends;
    const value = (level) => signed(Number((low + (level * (high - low)) / 255).toPrecision(3)).toString());
    const stops = Array.from({ length: 17 }, (_, n) => {
      const colour = Math.round((255 * n) / 16);
      return `rgb(${layer.map.subarray(3 * colour, 3 * colour + 3).join()})`;
    });
    const bar = element("i", { "aria-hidden": "true" });
    bar.style.background = `linear-gradient(90deg, ${stops.join()})`;
    return element("span", { class: "bar" }, `${layer.name}: ${value(layer.window[0])} `, bar,
      ` ${value(layer.window[1])} ${layer.unit}`);
  }

  return { PLANES, SHAPES, element, clamp, signed, volumeOf, drawPanel, valueOf, barOf, mm };
})();
