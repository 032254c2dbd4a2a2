// What both scripts of the page begin with: a data block read or run, a file saved.

async function inflate(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const unpacked = async (id) => new TextDecoder().decode(await inflate(id));

// 16-bit integers from the steps between them, see `Traces.packable`; sums wrap as they did there.
function numbers(buffer) {
  const bytes = new Uint8Array(buffer), count = bytes.length / 2, found = new Int16Array(count);
  for (let k = 0, last = 0; k < count; k++) {
    const step = bytes[k] | (bytes[count + k] << 8);
    found[k] = last + ((step >>> 1) ^ -(step & 1));
    last = found[k];
  }
  return found;
}

// A module within the page tells nobody when it has run, so that its last line does.
async function load(id) {
  const script = document.createElement("script"), text = await unpacked(id);
  script.type = "module";
  script.textContent = `${text}\ndispatchEvent(new Event("${id}"));`;
  await new Promise((resolve) => { addEventListener(id, resolve, { once: true }); document.head.append(script); });
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

