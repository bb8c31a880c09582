"""Part 1 of the wire contract on python-socketio, FastAPI and Motor: what a careful team would write with
these libraries, and no more. README.md says how it is tuned."""

import os
import socket
from datetime import datetime, timezone

import orjson
import socketio
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from store import Store, mint_id

MAX_CONTENT = 65536


class Json:
    """orjson as the module of functions that python-socketio asks for."""

    loads = staticmethod(orjson.loads)

    @staticmethod
    def dumps(value, **_):
        return orjson.dumps(value).decode()


class Refused(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


store = Store(os.environ)
groups = {}  # id -> (group, set of members)
users = {}  # sid -> user

# Handlers run in the order of a socket's events, and without a task each.
sio = socketio.AsyncServer(
    async_mode="asgi", async_handlers=False, json=Json, max_http_buffer_size=1_000_000, cors_allowed_origins="*"
)
app = FastAPI()


def now():
    return datetime.now(timezone.utc).isoformat()


async def group_of(group_id):
    known = groups.get(group_id)
    if known is None:
        group = await store.group(group_id)
        if group is None:
            raise Refused("not_found", "there is no such group")
        known = groups[group_id] = (group, set(group["member_ids"]))
    return known


async def message_of(ask):
    message = await store.find(ask["message_id"])
    if message is None:
        raise Refused("not_found", "there is no such message")
    return message


def rooms_of(message):
    if "group_id" in message:
        return [f"group_{message['group_id']}"]
    return [f"user_{message['to_user_id']}", f"user_{message['from_user_id']}"]


async def join_group(sid, user, group_id):
    _, members = await group_of(group_id)
    if user not in members:
        raise Refused("forbidden", "you are no member")
    await sio.enter_room(sid, f"group_{group_id}")


async def leave_group(sid, user, group_id):
    await sio.leave_room(sid, f"group_{group_id}")


async def send_message(sid, user, draft):
    to, kind, content = draft["to"], draft["type"], draft["content"]
    if isinstance(content, str) and len(content) > MAX_CONTENT:
        raise Refused("too_large", "content: too long")
    message = {
        "id": mint_id(),
        "content": content,
        "type": kind,
        "content_type": draft.get("content_type", "text"),
        "media_url": draft.get("media_url"),
        "media_metadata": draft.get("media_metadata"),
        "from_user_id": user,
        "timestamp": now(),
        "status": "sent",
        "read_by": [],
        "deleted_for": [],
    }
    if kind == "group":
        _, members = await group_of(to)
        if user not in members:
            raise Refused("forbidden", "you are no member")
        message["read_by"].append(user)
        message["group_id"] = to
    elif kind == "direct":
        message["to_user_id"] = to
    else:
        raise Refused("invalid_payload", "type: direct or group")
    if not store.add(message):
        raise Refused("buffer_full", "try again later")
    await sio.emit("message", message, room=rooms_of(message))
    return {"message": message}


async def mark_read(sid, user, ask):
    message = await message_of(ask)
    group_id = message.get("group_id")
    may = user in (await group_of(group_id))[1] if group_id else message["to_user_id"] == user
    if not may:
        raise Refused("forbidden", "it is not for you")
    read_by = message["read_by"] if user in message["read_by"] else [*message["read_by"], user]
    await store.change(message, {"read_by": read_by, "status": "read"})
    told = f"group_{group_id}" if group_id else f"user_{message['from_user_id']}"
    update = {"type": "read_receipt", "message_id": message["id"], "read_by": read_by}
    await sio.emit("message_update", update, room=told)


async def edit_message(sid, user, ask):
    message = await message_of(ask)
    if message["from_user_id"] != user:
        raise Refused("forbidden", "it is not yours")
    content, edited_at = ask["content"], now()
    await store.change(message, {"content": content, "edited_at": edited_at})
    update = {"type": "message_edit", "message_id": message["id"], "new_content": content, "edited_at": edited_at}
    await sio.emit("message_update", update, room=rooms_of(message))


async def remove(ask, user, delete_for):
    message = await message_of(ask)
    if delete_for == "me":
        await store.change(message, {"deleted_for": [*message["deleted_for"], user]})
        hidden = {"type": "message_hidden", "message_id": message["id"]}
        return await sio.emit("message_deleted", hidden, room=f"user_{user}")
    if message["from_user_id"] != user:
        raise Refused("forbidden", "it is not yours")
    await store.remove(message)
    told = {"type": "message_deleted", "message_id": message["id"], "chat_type": message["type"], "deleted_at": now()}
    await sio.emit("message_deleted", told, room=rooms_of(message))


async def delete_message(sid, user, ask):
    await remove(ask, user, ask.get("delete_for", "everyone"))
    await sio.emit("success", {"message": "Message deleted successfully"}, room=sid)


def on(name, act):
    async def handler(sid, payload=None):
        try:
            return {"ok": True, **(await act(sid, users[sid], payload) or {})}
        except Refused as refused:
            code, message = refused.code, str(refused)
        except (KeyError, TypeError, AttributeError) as error:
            code, message = "invalid_payload", f"the payload is wrong: {error}"
        await sio.emit("error", {"message": message}, room=sid)
        return {"ok": False, "error": {"code": code, "message": message}}

    sio.on(name, handler)


for act in (join_group, leave_group, send_message, mark_read, edit_message, delete_message):
    on(act.__name__, act)


@sio.event
async def connect(sid, environ, auth):
    user = auth.get("user_id") if isinstance(auth, dict) else None
    if not isinstance(user, str) or not 0 < len(user) <= 128:
        raise socketio.exceptions.ConnectionRefusedError("user_id is missing")
    users[sid] = user
    await sio.enter_room(sid, f"user_{user}")


@sio.event
async def disconnect(sid, reason):
    users.pop(sid, None)


class NewGroup(BaseModel):
    name: str
    member_ids: list[str]
    created_by: str


@app.post("/groups/")
async def create_group(asked: NewGroup):
    members = list(dict.fromkeys([*asked.member_ids, asked.created_by]))
    made = {"name": asked.name, "member_ids": members, "created_by": asked.created_by, "created_at": now()}
    group = {"_id": mint_id(), **made}
    await store.add_group(group)
    groups[group["_id"]] = (group, set(members))
    content = f"You have been added to group: {asked.name}"
    told = {"type": "group_notification", "content": content, "group_id": group["_id"], "timestamp": now()}
    await sio.emit("notification", told, room=[f"user_{member}" for member in members])
    return group


@app.get("/groups/{user_id}")
async def groups_of(user_id: str):
    return await store.groups_of(user_id)


@app.get("/messages/{user_id}/{other_id}")
async def history(user_id: str, other_id: str, message_type: str = "direct", limit: int = 50):
    return await store.history(user_id, other_id, message_type, min(limit, 200))


@app.delete("/messages/{message_id}")
async def delete(message_id: str, user_id: str, delete_for: str = "me"):
    try:
        await remove({"message_id": message_id}, user_id, delete_for)
    except Refused as refused:
        raise HTTPException(404 if refused.code == "not_found" else 403, str(refused)) from None
    return {"message": "Message deleted successfully"}


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await store.open()
        await super().startup(sockets)
        print(f"listening on http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)

    async def shutdown(self, sockets=None):
        await store.close()
        await super().shutdown(sockets)


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ.get("PORT", "8001"))))
config = uvicorn.Config(
    socketio.ASGIApp(sio, app),
    loop="uvloop",
    http="httptools",
    ws="websockets-sansio",
    ws_per_message_deflate=False,
    ws_max_size=1_000_000,
    access_log=False,
    log_level="warning",
    backlog=4096,
    timeout_graceful_shutdown=1,
)
Server(config).run(sockets=[listener])
