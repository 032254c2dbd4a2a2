// Under every static chart: its picture as SVG and PNG, its data as CSV.

const FIGURE_SCALE = 2;

// The lines into which the page has broken an element's text, and where each stands.
function lines(node) {
  const found = [], walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), range = document.createRange();
  while (walker.nextNode()) {
    for (const match of walker.currentNode.data.matchAll(/\S+/g)) {
      range.setStart(walker.currentNode, match.index);
      range.setEnd(walker.currentNode, match.index + match[0].length);
      const { left, top } = range.getBoundingClientRect();
      if (found.at(-1)?.top === top) found.at(-1).words.push(match[0]);
      else found.push({ left, top, words: [match[0]] });
    }
  }
  return found;
}

// The figure's panels where they stand on the page, with their titles, in the colours of the theme.
function picture(figure) {
  const now = getComputedStyle(document.documentElement), colour = (name) => now.getPropertyValue(name).trim();
  const font = getComputedStyle(document.body).fontFamily.replaceAll('"', "'");
  const frame = figure.getBoundingClientRect(), parts = [];
  const text = (node, size, weight) => {
    for (const line of lines(node)) {
      const words = line.words.join(" ").replaceAll("&", "&amp;").replaceAll("<", "&lt;");
      parts.push(`<text x="${line.left - frame.left}" y="${line.top - frame.top + size}" font-size="${size}" font-weight="${weight}" fill="${colour("--ink")}">${words}</text>`);
    }
  };
  text(figure.querySelector("figcaption strong"), 15, 600);
  for (const panel of figure.querySelectorAll(".panel p")) text(panel, 13, 600);
  for (const name of figure.querySelectorAll(".legend span")) text(name, 13, 400);
  for (const svg of figure.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect(), copy = svg.cloneNode(true);
    copy.setAttribute("x", box.left - frame.left);
    copy.setAttribute("y", box.top - frame.top);
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    parts.push(new XMLSerializer().serializeToString(copy));
  }
  const size = `width="${frame.width}" height="${frame.height}"`;
  const whole = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ${size} viewBox="0 0 ${frame.width} ${frame.height}" font-family="${font}"><rect width="100%" height="100%" fill="${colour("--paper")}"/>${parts.join("")}</svg>`;
  return { text: whole.replace(/var\((--[\w-]+)\)/g, (_, name) => colour(name)), width: frame.width, height: frame.height };
}

function saveSvg(figure) {
  save(`${figure.id}.svg`, new Blob([picture(figure).text], { type: "image/svg+xml" }));
}

async function savePng(figure) {
  const { text, width, height } = picture(figure), image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = width * FIGURE_SCALE;
  canvas.height = height * FIGURE_SCALE;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(`${figure.id}.png`, blob));
}

async function saveCsv(figure) {
  const data = JSON.parse(await unpacked("chart-data"));
  save(`${figure.id}.csv`, new Blob([data[figure.id]], { type: "text/csv" }));
}

for (const figure of document.querySelectorAll("figure[id]")) {
  const title = figure.querySelector("figcaption strong").textContent, row = document.createElement("p");
  row.className = "downloads";
  for (const [kind, action] of [["SVG", saveSvg], ["PNG", savePng], ["CSV", saveCsv]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = kind;
    button.setAttribute("aria-label", `Save “${title}” as ${kind}`);
    button.onclick = () => action(figure);
    row.append(button);
  }
  figure.append(row);
}
