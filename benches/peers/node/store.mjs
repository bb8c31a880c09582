// Where messages are kept: the last ones in memory, and, with MONGO_URL, all of them in MongoDB through
// a write buffer as the old server had it: up to BATCH_SIZE at once, FLUSH_INTERVAL seconds at the latest.
// It has no journal: what a crash finds in it is lost.
const RECENT = 1 << 17; // messages in memory; the oldest gives way
const CAPACITY = 100_000; // messages that wait for the database; a further one is refused

export class Store {
  #recent = new Array(RECENT);
  #waiting = []; // from #head on
  #head = 0;
  #groups = [];
  #timer = null;
  #flushing = null;

  constructor(env) {
    this.url = env.MONGO_URL;
    this.name = env.MONGODB_NAME ?? 'chatapp';
    this.batch = Number(env.BATCH_SIZE ?? 25);
    this.interval = Number(env.FLUSH_INTERVAL ?? 1) * 1000;
  }

  async open() {
    if (!this.url) return;
    const { MongoClient, ObjectId } = await import('mongodb');
    this.toId = (hex) => ObjectId.createFromHexString(hex);
    this.client = await new MongoClient(this.url, { maxPoolSize: 50, minPoolSize: 10, ignoreUndefined: true }).connect();
    const database = this.client.db(this.name);
    this.messages = database.collection('messages');
    this.groups = database.collection('groups');
    await this.messages.createIndexes([
      { key: { from_user_id: 1, to_user_id: 1 }, name: 'user_messages' },
      { key: { group_id: 1 }, name: 'group_messages' },
      { key: { timestamp: -1 }, name: 'message_timestamp' },
      { key: { type: 1, status: 1 }, name: 'message_type_status' },
      { key: { read_by: 1 }, name: 'message_read_by' },
    ]);
    await this.groups.createIndex({ member_ids: 1 }, { name: 'group_members' });
  }

  // Whether there was room.
  add(message) {
    if (this.messages) {
      if (this.#left() >= CAPACITY) return false;
      this.#waiting.push(message);
      if (this.#left() >= this.batch) this.#flush();
      else this.#timer ??= setTimeout(() => this.#flush(), this.interval);
    }
    this.#recent[parseInt(message.id.slice(-6), 16) % RECENT] = message;
    return true;
  }

  #left() {
    return this.#waiting.length - this.#head;
  }

  // One flush at a time; it ends when less than a batch is left.
  #flush() {
    this.#flushing ??= this.#drain().finally(() => {
      this.#flushing = null;
      if (this.#left() > 0) this.#timer ??= setTimeout(() => this.#flush(), this.interval);
    });
    return this.#flushing;
  }

  async #drain() {
    clearTimeout(this.#timer);
    this.#timer = null;
    while (this.#left() > 0) {
      const batch = this.#waiting.slice(this.#head, this.#head + this.batch);
      try {
        await this.messages.insertMany(batch.map((message) => this.#document(message)), { ordered: false });
      } catch (error) {
        console.error(`a batch was not stored: ${error.message}`);
        await new Promise((resolve) => setTimeout(resolve, 1000));
        if (error.code !== 11000) continue;
      }
      this.#head += batch.length;
      if (this.#head === this.#waiting.length || this.#head >= 10_000) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      if (this.#left() < this.batch) break;
    }
  }

  #document(message) {
    const { id, group_id, timestamp, ...rest } = message;
    const group = group_id && this.toId(group_id);
    return { _id: this.toId(id), id, ...rest, group_id: group, timestamp: new Date(timestamp) };
  }

  #message({ _id, group_id, timestamp, ...rest }) {
    const group = group_id ? { group_id: group_id.toString() } : {};
    return { ...rest, id: _id.toString(), ...group, timestamp: timestamp.toISOString() };
  }

  async find(id) {
    const recent = this.#recent[parseInt(id.slice(-6), 16) % RECENT];
    if (recent?.id === id) return recent;
    if (!this.messages || !/^[0-9a-f]{24}$/.test(id)) return null;
    const row = await this.messages.findOne({ _id: this.toId(id) });
    return row && this.#message(row);
  }

  // Waits until a message is in the database, if it was on its way there.
  async #stored(message) {
    while (this.#waiting.indexOf(message, this.#head) >= 0) await this.#flush();
  }

  async change(message, fields) {
    Object.assign(message, fields);
    if (!this.messages) return;
    await this.#stored(message);
    await this.messages.updateOne({ _id: this.toId(message.id) }, { $set: fields });
  }

  async remove(message) {
    this.#recent[parseInt(message.id.slice(-6), 16) % RECENT] = undefined;
    if (!this.messages) return;
    await this.#stored(message);
    await this.messages.deleteOne({ _id: this.toId(message.id) });
  }

  async history(user, other, type, limit) {
    const isHere = (message) => message && !message.deleted_for.includes(user) && (type === 'group'
      ? message.group_id === other
      : (message.from_user_id === user && message.to_user_id === other) ||
        (message.from_user_id === other && message.to_user_id === user));
    let rows;
    if (this.messages) {
      await this.#flush();
      const pairs = [{ from_user_id: user, to_user_id: other }, { from_user_id: other, to_user_id: user }];
      const found = type === 'group' ? { group_id: this.toId(other) } : { $or: pairs };
      const query = { ...found, deleted_for: { $ne: user } };
      rows = (await this.messages.find(query).sort({ timestamp: -1 }).limit(limit).toArray()).map((row) => this.#message(row));
      const ids = rows.map((row) => this.toId(row.id));
      const unread = { _id: { $in: ids }, from_user_id: { $ne: user }, read_by: { $ne: user } };
      await this.messages.updateMany(unread, { $addToSet: { read_by: user }, $set: { status: 'read' } });
    } else {
      const here = this.#recent.filter(isHere);
      for (const message of here) {
        if (message.from_user_id !== user && !message.read_by.includes(user)) {
          Object.assign(message, { read_by: [...message.read_by, user], status: 'read' });
        }
      }
      rows = here.sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit);
    }
    return rows.map(({ id, ...row }) => ({ _id: id, ...row }));
  }

  async addGroup(group) {
    this.#groups.push(group);
    if (!this.groups) return;
    await this.groups.insertOne({ ...group, _id: this.toId(group._id), created_at: new Date(group.created_at) });
  }

  async group(id) {
    const row = this.groups && (await this.groups.findOne({ _id: this.toId(id) }));
    return row && { ...row, _id: id };
  }

  async groupsOf(user) {
    if (!this.groups) return this.#groups.filter((group) => group.member_ids.includes(user));
    const rows = await this.groups.find({ member_ids: user }).toArray();
    return rows.map((row) => ({ ...row, _id: row._id.toString(), created_at: row.created_at.toISOString() }));
  }

  // Stores what still waits.
  async close() {
    while (this.messages && this.#left() > 0) await this.#flush();
    await this.client?.close();
  }
}
