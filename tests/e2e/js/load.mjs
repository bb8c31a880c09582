// Users who send without a pause, each message after the last one's acknowledgement, until stdin
// ends. The last line has the contents themselves.
import { answerQuestions, print } from "./questions.mjs";
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

const sending = Promise.all(Array.from({ length: SENDERS }, (_, n) => send(`sender${n}`)));
await answerQuestions(() => ({
  accepted: accepted.length,
  refused: refused.length,
  received: received.length,
}));
stopping = true;
await sending;
await reader.rest();
print({ accepted, refused, received: received.slice(0, -1) });
User.closeAll();
