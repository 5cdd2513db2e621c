// Runnel's own client (`sse-edge/web/runnel.js`) over Node's EventSource. Reads whom to play from the
// first line of stdin, and writes what each is shown to stdout.
import { createInterface } from "node:readline";
import { Runnel } from "../../../sse-edge/web/runnel.js";

const NAMES = ["hello", "message", "edit", "delete", "reaction", "member", "thread", "seen", "typing",
  "presence", "ping", "reset", "bye"];
const devices = new Map();
const { EventSource: NativeSource, fetch: nativeFetch } = globalThis;

// The client knows one origin, and here the edges have one of their own: the base that it is given
// is the device's name.
globalThis.fetch = (url, options) => {
  const [name, path] = split(url);
  return nativeFetch(devices.get(name).api + path, options);
};
globalThis.EventSource = class extends NativeSource {
  constructor(url) {
    const [name, path] = split(url);
    super(devices.get(name).edge + path);
    for (const event of NAMES) {
      this.addEventListener(event, ({ lastEventId, data }) => {
        if (this.readyState === NativeSource.CLOSED) return;
        report({ stream: name, event, id: lastEventId, data: JSON.parse(data) });
      });
    }
  }
};

function split(url) {
  const at = url.indexOf("/v1/");
  return [url.slice(0, at), url.slice(at)];
}

function report(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

function follow(device) {
  devices.set(device.stream, device);
  const list = (listed) => report({ stream: device.stream, listed });
  new Runnel({ token: device.token, base: device.stream, on: { list } }).start();
}

for await (const line of createInterface({ input: process.stdin })) JSON.parse(line).forEach(follow);
