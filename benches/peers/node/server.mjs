// Part 1 of the wire contract on socket.io, for Node.js and for Bun: what a careful team would write
// with that library, and no more. README.md says how it is tuned.
import { randomBytes } from 'node:crypto';
import { Server } from 'socket.io';
import { Store } from './store.mjs';

const port = Number(process.env.PORT ?? 8001);
const HEX_ID = /^[0-9a-f]{24}$/;
const MAX_CONTENT = 65536;

const groups = new Map(); // id -> {group, members: Set}
const store = new Store(process.env);
await store.open();

// An ObjectId as text. Its last three bytes count, which is how the store finds a recent message.
const unique = randomBytes(5).toString('hex');
let counter = 0;
function mintId() {
  counter = (counter + 1) & 0xffffff;
  const seconds = Math.floor(Date.now() / 1000).toString(16).padStart(8, '0');
  return seconds + unique + counter.toString(16).padStart(6, '0');
}

class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

async function groupOf(id) {
  const known = groups.get(id);
  if (known) return known;
  const group = HEX_ID.test(id) ? await store.group(id) : null;
  if (!group) throw new Refused('not_found', 'there is no such group');
  const entry = { group, members: new Set(group.member_ids) };
  groups.set(id, entry);
  return entry;
}

function text(value, name) {
  if (typeof value !== 'string' || value === '') throw new Refused('invalid_payload', `${name}: a text`);
  return value;
}

// Where events about a message go.
function roomsOf(message) {
  if (message.group_id) return [`group_${message.group_id}`];
  return [`user_${message.to_user_id}`, `user_${message.from_user_id}`];
}

const io = new Server({ serveClient: false, maxHttpBufferSize: 1e6, cors: { origin: '*' } });

const act = {
  async join_group(socket, id) {
    const { members } = await groupOf(text(id, 'group_id'));
    if (!members.has(socket.data.user)) throw new Refused('forbidden', 'you are no member');
    socket.join(`group_${id}`);
  },

  async leave_group(socket, id) {
    socket.leave(`group_${text(id, 'group_id')}`);
  },

  async send_message(socket, draft) {
    const from = socket.data.user;
    const to = text(draft?.to, 'to');
    if (typeof draft.content === 'string' && draft.content.length > MAX_CONTENT) {
      throw new Refused('too_large', 'content: too long');
    }
    const message = {
      id: mintId(), content: draft.content, type: draft.type, content_type: draft.content_type ?? 'text',
      media_url: draft.media_url ?? null, media_metadata: draft.media_metadata ?? null,
      from_user_id: from, timestamp: new Date().toISOString(), status: 'sent', read_by: [], deleted_for: [],
    };
    if (draft.type === 'group') {
      const entry = groups.get(to) ?? (await groupOf(to)); // no turn of the event loop where it is known
      if (!entry.members.has(from)) throw new Refused('forbidden', 'you are no member');
      message.read_by.push(from);
      message.group_id = to;
    } else if (draft.type === 'direct') {
      message.to_user_id = to;
    } else {
      throw new Refused('invalid_payload', 'type: direct or group');
    }
    if (!store.add(message)) throw new Refused('buffer_full', 'try again later');
    io.to(roomsOf(message)).emit('message', message);
    return { message };
  },

  async mark_read(socket, ask) {
    const message = await store.find(text(ask?.message_id, 'message_id'));
    if (!message) throw new Refused('not_found', 'there is no such message');
    const reader = socket.data.user;
    const group = message.group_id && (await groupOf(message.group_id));
    if (group ? !group.members.has(reader) : message.to_user_id !== reader) {
      throw new Refused('forbidden', 'it is not for you');
    }
    const read_by = message.read_by.includes(reader) ? message.read_by : [...message.read_by, reader];
    await store.change(message, { read_by, status: 'read' });
    const told = group ? `group_${message.group_id}` : `user_${message.from_user_id}`;
    io.to(told).emit('message_update', { type: 'read_receipt', message_id: message.id, read_by });
  },

  async edit_message(socket, ask) {
    const message = await store.find(text(ask?.message_id, 'message_id'));
    if (!message) throw new Refused('not_found', 'there is no such message');
    if (message.from_user_id !== socket.data.user) throw new Refused('forbidden', 'it is not yours');
    const edited_at = new Date().toISOString();
    await store.change(message, { content: ask.content, edited_at });
    const update = { type: 'message_edit', message_id: message.id, new_content: ask.content, edited_at };
    io.to(roomsOf(message)).emit('message_update', update);
  },

  async delete_message(socket, ask) {
    await remove(text(ask?.message_id, 'message_id'), socket.data.user, ask.delete_for ?? 'everyone');
    socket.emit('success', { message: 'Message deleted successfully' });
  },
};

async function remove(id, user, deleteFor) {
  const message = await store.find(id);
  if (!message) throw new Refused('not_found', 'there is no such message');
  if (deleteFor === 'me') {
    await store.change(message, { deleted_for: [...message.deleted_for, user] });
    io.to(`user_${user}`).emit('message_deleted', { type: 'message_hidden', message_id: id });
    return;
  }
  if (message.from_user_id !== user) throw new Refused('forbidden', 'it is not yours');
  await store.remove(message);
  const deleted_at = new Date().toISOString();
  const told = { type: 'message_deleted', message_id: id, chat_type: message.type, deleted_at };
  io.to(roomsOf(message)).emit('message_deleted', told);
}

io.use((socket, next) => {
  const user = socket.handshake.auth?.user_id;
  if (typeof user !== 'string' || user === '' || user.length > 128) return next(new Error('user_id is missing'));
  socket.data.user = user;
  socket.join(`user_${user}`);
  next();
});

io.on('connection', (socket) => {
  for (const [name, does] of Object.entries(act)) {
    socket.on(name, (payload, ack) => {
      does(socket, payload).then(
        (answer) => { if (typeof ack === 'function') ack({ ok: true, ...answer }); },
        (error) => {
          const code = error.code ?? 'internal';
          socket.emit('error', { message: error.message });
          if (typeof ack === 'function') ack({ ok: false, error: { code, message: error.message } });
        },
      );
    });
  }
});

// Answers [status, body].
async function answer(method, url, body) {
  const { pathname, searchParams: query } = new URL(url, 'http://localhost');
  const parts = pathname.split('/').filter(Boolean).map(decodeURIComponent);
  if (method === 'POST' && pathname === '/groups/') {
    const asked = JSON.parse(body);
    const member_ids = [...new Set([...asked.member_ids, asked.created_by])];
    const created_at = new Date().toISOString();
    const group = { _id: mintId(), name: text(asked.name, 'name'), member_ids, created_by: asked.created_by, created_at };
    await store.addGroup(group);
    groups.set(group._id, { group, members: new Set(member_ids) });
    const content = `You have been added to group: ${group.name}`;
    const told = { type: 'group_notification', content, group_id: group._id, timestamp: created_at };
    io.to(member_ids.map((id) => `user_${id}`)).emit('notification', told);
    return [200, group];
  }
  if (method === 'GET' && parts[0] === 'groups' && parts.length === 2) {
    return [200, await store.groupsOf(parts[1])];
  }
  if (method === 'GET' && parts[0] === 'messages' && parts.length === 3) {
    const limit = Math.min(Number(query.get('limit') ?? 50), 200);
    return [200, await store.history(parts[1], parts[2], query.get('message_type') ?? 'direct', limit)];
  }
  if (method === 'DELETE' && parts[0] === 'messages' && parts.length === 2) {
    await remove(parts[1], query.get('user_id'), query.get('delete_for') ?? 'me');
    return [200, { message: 'Message deleted successfully' }];
  }
  return [404, { detail: 'Not Found' }];
}

const STATUS = { not_found: 404, forbidden: 403, invalid_payload: 422, buffer_full: 503 };
async function respond(method, url, body) {
  try {
    return await answer(method, url, body);
  } catch (error) {
    return [STATUS[error.code] ?? (error instanceof SyntaxError ? 422 : 500), { detail: error.message }];
  }
}

async function listenOnBun() {
  const { Server: Engine } = await import('@socket.io/bun-engine');
  const engine = new Engine({ path: '/socket.io/', maxHttpBufferSize: 1e6, cors: { origin: '*' } });
  io.bind(engine);
  const handler = engine.handler();
  const server = Bun.serve({
    ...handler, hostname: '127.0.0.1', port,
    async fetch(request, server) {
      const url = new URL(request.url);
      if (url.pathname === '/socket.io/') return handler.fetch(request, server);
      const [status, body] = await respond(request.method, request.url, await request.text());
      return Response.json(body, { status });
    },
  });
  return server.port;
}

async function listenOnNode() {
  const { createServer } = await import('node:http');
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    const [status, value] = await respond(request.method, request.url, body);
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  });
  io.attach(server);
  // Each session would keep its first request (socket.io's documentation, "Memory usage").
  io.engine.on('connection', (raw) => { raw.request = null; });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', 4096, resolve));
  return server.address().port;
}

process.on('SIGTERM', async () => {
  await store.close();
  process.exit(0);
});
const listening = await (globalThis.Bun ? listenOnBun() : listenOnNode());
console.log(`listening on http://127.0.0.1:${listening}`);
