// `node node.mjs '{"url": ..., "marketId": ..., "token": ...}'` prints what the calls brought.
import { XmlHttpRequest } from "./xhr.mjs";

globalThis.XMLHttpRequest = XmlHttpRequest;
const { everything } = await import("./calls.mjs");
console.log(JSON.stringify(await everything(JSON.parse(process.argv[2]))));
process.exit(0);
