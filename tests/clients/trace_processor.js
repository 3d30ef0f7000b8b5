// Perfetto's trace_processor, which its UI runs in a worker of the browser, in node: requests of its
// protocol come on stdin, answers go to stdout. Argument: the folder of that UI.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const folder = process.argv[2];
const node = globalThis.process;
const bytes = (url) => fs.readFileSync(path.join(folder, path.basename(String(url))));

// What it asks a worker for.
globalThis.self = globalThis;
globalThis.location = { href: `file://${folder}/engine_bundle.js` };
globalThis.WorkerGlobalScope = class {};
globalThis.fetch = async (url) => new Response(bytes(url));
globalThis.XMLHttpRequest = class {
  open(method, url) {
    this.url = url;
  }
  send() {
    const file = bytes(this.url);
    this.response = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
  }
};
console.log = console.error; // stdout is for answers
globalThis.process = undefined; // else it takes this for node, which it is not built for

vm.runInThisContext(bytes("engine_bundle.js").toString(), "engine_bundle.js");
const port = { postMessage: (answer) => node.stdout.write(Buffer.from(answer)) };
self.onmessage({ data: port });

// It is ready when what follows its own start has run.
setImmediate(() => {
  node.stdin.on("data", (request) => port.onmessage({ data: new Uint8Array(request) }));
});
