"""Where messages are kept: the last ones in memory, and, with MONGO_URL, all of them in MongoDB through a write
buffer as the old server had it: up to BATCH_SIZE at once, FLUSH_INTERVAL seconds at the latest. It has no journal:
what a crash finds in it is lost."""

import asyncio
import itertools
import os
import sys
import time
from collections import deque
from datetime import datetime

from bson import ObjectId

RECENT = 1 << 17  # messages in memory; the oldest gives way
CAPACITY = 100_000  # messages that wait for the database; a further one is refused

_unique = os.urandom(5).hex()
_counter = itertools.count(1)


def mint_id():
    """An ObjectId as text. Its last three bytes count, which is how the store finds a recent message."""
    return f"{int(time.time()):08x}{_unique}{next(_counter) & 0xFFFFFF:06x}"


def _place(message_id):
    return int(message_id[-6:], 16) % RECENT


def _document(message):
    row = {"_id": ObjectId(message["id"]), **message}
    row["timestamp"] = datetime.fromisoformat(message["timestamp"])
    if "group_id" in row:
        row["group_id"] = ObjectId(row["group_id"])
    return row


def _message(row):
    row["id"] = str(row.pop("_id"))
    row["timestamp"] = row["timestamp"].isoformat()
    if "group_id" in row:
        row["group_id"] = str(row["group_id"])
    return row


class Store:
    def __init__(self, env):
        self.url = env.get("MONGO_URL")
        self.name = env.get("MONGODB_NAME", "chatapp")
        self.batch = int(env.get("BATCH_SIZE", "25"))
        self.interval = float(env.get("FLUSH_INTERVAL", "1"))
        self.recent = [None] * RECENT
        self.waiting = deque()
        self.kept_groups = []
        self.timer = None
        self.flushing = None

    async def open(self):
        if not self.url:
            return
        from motor.motor_asyncio import AsyncIOMotorClient

        self.client = AsyncIOMotorClient(self.url, maxPoolSize=50, minPoolSize=10, tz_aware=True)
        database = self.client[self.name]
        self.messages, self.groups = database["messages"], database["groups"]
        await self.messages.create_index([("from_user_id", 1), ("to_user_id", 1)], name="user_messages")
        await self.messages.create_index([("group_id", 1)], name="group_messages")
        await self.messages.create_index([("timestamp", -1)], name="message_timestamp")
        await self.messages.create_index([("type", 1), ("status", 1)], name="message_type_status")
        await self.messages.create_index([("read_by", 1)], name="message_read_by")
        await self.groups.create_index([("member_ids", 1)], name="group_members")

    def add(self, message):
        """Whether there was room."""
        if self.url:
            if len(self.waiting) >= CAPACITY:
                return False
            self.waiting.append(message)
            if len(self.waiting) >= self.batch:
                self._flush()
            else:
                self._flush_later()
        self.recent[_place(message["id"])] = message
        return True

    def _flush_later(self):
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(self.interval, self._flush)

    def _flush(self):
        """One flush at a time; it ends when less than a batch is left."""
        if self.flushing is None:
            self.flushing = asyncio.ensure_future(self._drain())
        return self.flushing

    async def _drain(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        while self.waiting:
            batch = list(itertools.islice(self.waiting, self.batch))
            try:
                await self.messages.insert_many([_document(message) for message in batch], ordered=False)
            except Exception as error:
                print(f"a batch was not stored: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(1)
                if "E11000" not in str(error):
                    continue
            for _ in batch:
                self.waiting.popleft()
            if len(self.waiting) < self.batch:
                break
        self.flushing = None
        if self.waiting:
            self._flush_later()

    async def _stored(self, message):
        """Waits until a message is in the database, if it was on its way there."""
        while any(waiting is message for waiting in self.waiting):
            await self._flush()

    async def find(self, message_id):
        recent = self.recent[_place(message_id)]
        if recent is not None and recent["id"] == message_id:
            return recent
        row = self.url and await self.messages.find_one({"_id": ObjectId(message_id)})
        return _message(row) if row else None

    async def change(self, message, fields):
        message.update(fields)
        if self.url:
            await self._stored(message)
            await self.messages.update_one({"_id": ObjectId(message["id"])}, {"$set": fields})

    async def remove(self, message):
        self.recent[_place(message["id"])] = None
        if self.url:
            await self._stored(message)
            await self.messages.delete_one({"_id": ObjectId(message["id"])})

    async def history(self, user, other, kind, limit):
        if self.url:
            await self._flush()
            pairs = [{"from_user_id": user, "to_user_id": other}, {"from_user_id": other, "to_user_id": user}]
            where = {"group_id": ObjectId(other)} if kind == "group" else {"$or": pairs}
            found = self.messages.find({**where, "deleted_for": {"$ne": user}}).sort("timestamp", -1).limit(limit)
            rows = [_message(row) async for row in found]
            unread = {"_id": {"$in": [ObjectId(row["id"]) for row in rows]}, "from_user_id": {"$ne": user}}
            read = {"$addToSet": {"read_by": user}, "$set": {"status": "read"}}
            await self.messages.update_many({**unread, "read_by": {"$ne": user}}, read)
        else:
            two = [(user, other), (other, user)]

            def is_here(message):
                if message is None or user in message["deleted_for"]:
                    return False
                if kind == "group":
                    return message.get("group_id") == other
                return (message["from_user_id"], message.get("to_user_id")) in two

            rows = sorted(filter(is_here, self.recent), key=lambda message: message["id"], reverse=True)[:limit]
            for message in rows:
                if message["from_user_id"] != user and user not in message["read_by"]:
                    message.update(read_by=[*message["read_by"], user], status="read")
        return [{"_id": row["id"], **{name: value for name, value in row.items() if name != "id"}} for row in rows]

    async def add_group(self, group):
        self.kept_groups.append(group)
        if self.url:
            created_at = datetime.fromisoformat(group["created_at"])
            await self.groups.insert_one({**group, "_id": ObjectId(group["_id"]), "created_at": created_at})

    async def group(self, group_id):
        row = self.url and await self.groups.find_one({"_id": ObjectId(group_id)})
        return {**row, "_id": group_id} if row else None

    async def groups_of(self, user):
        if not self.url:
            return [group for group in self.kept_groups if user in group["member_ids"]]
        rows = self.groups.find({"member_ids": user})
        return [{**row, "_id": str(row["_id"]), "created_at": row["created_at"].isoformat()} async for row in rows]

    async def close(self):
        """Stores what still waits."""
        while self.url and self.waiting:
            await self._flush()
