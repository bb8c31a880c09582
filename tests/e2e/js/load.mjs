// Users who send without a pause, each message after the last one's acknowledgement, until stdin
// ends. Prints a line of JSON each 250 ms, `{accepted, refused, received}` as counts, and at the end
// one with the contents themselves.
import { User, fresh } from "./support.mjs";

const SENDERS = 4;
const PAUSE_MS = 4; // between two messages of one sender: a few hundred a second in all

const accepted = [];
const refused = [];
const received = [];
let stopping = false;

const reader = await User.connect(fresh("reader"));
reader.socket.on("message", ({ content }) => received.push(content));

async function send(name) {
  const user = await User.connect(fresh(name));
  for (let n = 0; !stopping; n++) {
    const content = `${name}-${n}`;
    const ack = await user.ask("send_message", { to: reader.id, content, type: "direct" });
    if (ack.ok) accepted.push(content);
    else refused.push(`${content}: ${ack.error.code}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const counts = () => ({ accepted: accepted.length, refused: refused.length, received: received.length });
const ticking = setInterval(() => print(counts()), 250);
process.stdin.resume().on("end", () => (stopping = true));

await Promise.all(Array.from({ length: SENDERS }, (_, n) => send(`sender${n}`)));
clearInterval(ticking);
await reader.rest();
print({ end: { accepted, refused, received: received.slice(0, -1) } });
User.closeAll();
