"""What existing Python clients rely on: python-socketio through every event and every route."""

import asyncio
import os
import re
import unittest
import uuid
from datetime import datetime, timedelta

import aiohttp
import socketio

BASE = os.environ["BANTER_URL"]
# How long to wait for what must come; only a failure waits.
PATIENCE_S = 30
NOWHERE = "0123456789abcdef01234567"
EVENTS = ["message", "message_update", "message_deleted", "notification", "success", "error"]
MESSAGE_KEYS = {
    "_id", "id", "content", "type", "content_type", "media_url", "media_metadata", "from_user_id",
    "timestamp", "status", "read_by", "deleted_for",
}


def fresh(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


class User:
    """One socket of a user; what it receives waits, by event, until a test takes it."""

    def __init__(self, user_id):
        self.id = user_id
        self.socket = socketio.AsyncClient(reconnection=False)
        self.inbox = {event: asyncio.Queue() for event in EVENTS}
        for event, queue in self.inbox.items():
            self.socket.on(event, queue.put)

    async def connect(self, token=None):
        auth = {"token": token} if token else {"user_id": self.id}
        # The client's own choice of transports: polling first, then an upgrade to WebSocket.
        await self.socket.connect(BASE, auth=auth, wait_timeout=PATIENCE_S)
        return self

    async def ask(self, event, payload):
        return await self.socket.call(event, payload, timeout=PATIENCE_S)

    async def do(self, event, payload):
        ack = await self.ask(event, payload)
        assert ack["ok"] is True, (event, ack)
        return ack

    async def send(self, to, content, kind="direct", **more):
        payload = {"to": to, "content": content, "type": kind, **more}
        return (await self.do("send_message", payload))["message"]

    async def next(self, event):
        return await asyncio.wait_for(self.inbox[event].get(), PATIENCE_S)

    async def messages(self):
        """Every message that has come and was not taken: one to oneself comes after them all."""
        marker = uuid.uuid4().hex
        await self.send(self.id, marker)
        rest = []
        while (message := await self.next("message"))["content"] != marker:
            rest.append(message["content"])
        return rest


class Suite(unittest.IsolatedAsyncioTestCase):
    maxDiff = None

    async def asyncSetUp(self):
        self.http = aiohttp.ClientSession(BASE)
        self.addAsyncCleanup(self.http.close)

    async def request(self, method, path, status=200, **options):
        async with self.http.request(method, path, **options) as response:
            body = await (response.json() if "json" in response.content_type else response.read())
            self.assertEqual(response.status, status, (method, path, body))
            return body


class Contract(Suite):
    """Every event and route, where sign-in is open."""

    async def user(self, name):
        user = await User(fresh(name)).connect()
        self.addAsyncCleanup(user.socket.disconnect)
        return user

    async def pair(self):
        return await self.user("alice"), await self.user("bob")

    async def fails(self, status, method, path, **options):
        body = await self.request(method, path, status, **options)
        self.assertEqual(set(body), {"detail"})
        if status == 422:
            for fault in body["detail"]:
                self.assertEqual(set(fault), {"loc", "msg", "type"})
        else:
            self.assertIsInstance(body["detail"], str)

    async def refused(self, user, code, event, payload):
        ack = await user.ask(event, payload)
        self.assertEqual((ack["ok"], ack["error"]["code"]), (False, code))
        self.assertEqual(await user.next("error"), {"message": ack["error"]["message"]})

    async def group(self, creator, *members):
        body = {
            "name": fresh("group"),
            "member_ids": [user.id for user in (creator, *members)],
            "created_by": creator.id,
        }
        group = await self.request("POST", "/groups/", json=body)
        for member in (creator, *members):
            await member.next("notification")
            await member.do("join_group", group["_id"])
        return group

    async def history(self, user, other, **query):
        return await self.request("GET", f"/messages/{user.id}/{other}", params=query)

    def assert_time(self, text):
        time = datetime.fromisoformat(text)
        self.assertEqual(time.utcoffset(), timedelta(0))

    def assert_message(self, message, sender, content, **target):
        self.assertEqual(set(message), MESSAGE_KEYS | set(target))
        self.assertRegex(message["id"], "^[0-9a-f]{24}$")
        self.assertEqual(message["_id"], message["id"])
        self.assert_time(message["timestamp"])
        self.assertEqual((message["from_user_id"], message["content"]), (sender.id, content))
        for key, value in target.items():
            self.assertEqual(message[key], value)

    async def test_a_user_id_is_needed(self):
        socket = socketio.AsyncClient(reconnection=False)
        with self.assertRaises(socketio.exceptions.ConnectionError):
            await socket.connect(BASE, wait_timeout=PATIENCE_S)

    async def test_a_direct_message_goes_to_both_users(self):
        alice, bob = await self.pair()
        sent = await alice.send(bob.id, "hello")
        self.assert_message(sent, alice, "hello", to_user_id=bob.id)
        self.assertEqual((sent["status"], sent["read_by"], sent["media_url"]), ("sent", [], None))
        self.assertEqual(await bob.next("message"), sent)
        self.assertEqual(await alice.next("message"), sent)
        self.assertEqual(await alice.messages() + await bob.messages(), [])

    async def test_a_group_message_goes_to_the_room(self):
        alice, bob = await self.pair()
        group = await self.group(alice, bob)
        sent = await alice.send(group["_id"], "all", "group")
        self.assert_message(sent, alice, "all", group_id=group["_id"])
        self.assertEqual(sent["read_by"], [alice.id])
        self.assertEqual(await bob.next("message"), sent)
        self.assertEqual(await bob.do("leave_group", group["_id"]), {"ok": True})
        await alice.send(group["_id"], "without bob", "group")
        self.assertEqual(await bob.messages(), [])

    async def test_a_non_member_stays_outside(self):
        alice, bob = await self.pair()
        group = await self.group(alice)
        await self.refused(bob, "forbidden", "join_group", group["_id"])
        payload = {"to": group["_id"], "content": "x", "type": "group"}
        await self.refused(bob, "forbidden", "send_message", payload)
        await self.refused(bob, "invalid_payload", "send_message", {"to": bob.id})

    async def test_a_message_is_read_edited_and_deleted(self):
        alice, bob = await self.pair()
        message_id = (await alice.send(bob.id, "teh"))["id"]

        await bob.do("mark_read", {"message_id": message_id})
        receipt = {"type": "read_receipt", "message_id": message_id, "read_by": [bob.id]}
        self.assertEqual(await alice.next("message_update"), receipt)

        await self.refused(bob, "forbidden", "edit_message", {"message_id": message_id, "content": "x"})
        await alice.do("edit_message", {"message_id": message_id, "content": "the"})
        edit = await bob.next("message_update")
        self.assert_time(edit.pop("edited_at"))
        expected = {"type": "message_edit", "message_id": message_id, "new_content": "the"}
        self.assertEqual(edit, expected)

        await bob.do("delete_message", {"message_id": message_id, "delete_for": "me"})
        hidden = {"type": "message_hidden", "message_id": message_id}
        self.assertEqual(await bob.next("message_deleted"), hidden)
        self.assertEqual(set(await bob.next("success")), {"message"})
        self.assertEqual(await self.history(bob, alice.id), [])

        await alice.do("delete_message", {"message_id": message_id})
        deleted = await alice.next("message_deleted")
        self.assert_time(deleted.pop("deleted_at"))
        expected = {"type": "message_deleted", "message_id": message_id, "chat_type": "direct"}
        self.assertEqual(deleted, expected)
        await alice.next("success")
        await self.refused(alice, "not_found", "mark_read", {"message_id": message_id})

    async def test_what_is_unread_is_told_on_connect(self):
        alice = await self.user("alice")
        bob = User(fresh("bob"))
        body = {"name": "g", "member_ids": [alice.id, bob.id], "created_by": alice.id}
        group = await self.request("POST", "/groups/", json=body)
        await alice.send(bob.id, "one")
        await alice.send(group["_id"], "two", "group")
        await bob.connect()
        self.addAsyncCleanup(bob.socket.disconnect)
        told = await bob.next("notification")
        self.assert_time(told.pop("timestamp"))
        self.assertIsInstance(told.pop("content"), str)
        expected = {"type": "unread_notification", "unread_direct": 1, "unread_group": 1}
        self.assertEqual(told, expected)

    async def test_a_thousand_messages_arrive_in_order(self):
        alice, bob = await self.pair()
        sent = [str(n) for n in range(1000)]
        for content in sent:
            payload = {"to": bob.id, "content": content, "type": "direct"}
            await alice.socket.emit("send_message", payload)
        got = [(await bob.next("message"))["content"] for _ in sent]
        self.assertEqual(got, sent)

    async def test_history_is_newest_first_and_marks_as_read(self):
        alice, bob = await self.pair()
        for n in range(3):
            await alice.send(bob.id, str(n))
        rows = await self.history(bob, alice.id, message_type="direct", limit=2)
        self.assertEqual([row["content"] for row in rows], ["2", "1"])
        self.assert_message(rows[0], alice, "2", to_user_id=bob.id)
        rows = await self.history(alice, bob.id)
        self.assertEqual([row["status"] for row in rows], ["read", "read", "sent"])
        await self.fails(422, "GET", "/messages/a/b", params={"limit": "x"})
        eve = await self.user("eve")
        group = await self.group(alice)
        path = f"/messages/{eve.id}/{group['_id']}"
        await self.fails(403, "GET", path, params={"message_type": "group"})

    async def test_a_message_is_deleted_over_http(self):
        alice, bob = await self.pair()
        path = f"/messages/{(await alice.send(bob.id, 'x'))['id']}"
        done = {"message": "Message deleted successfully"}
        everyone = {"delete_for": "everyone"}
        await self.fails(403, "DELETE", path, params={"user_id": bob.id, **everyone})
        self.assertEqual(await self.request("DELETE", path, params={"user_id": bob.id}), done)
        params = {"user_id": alice.id, **everyone}
        self.assertEqual(await self.request("DELETE", path, params=params), done)
        await self.fails(404, "DELETE", path, params=params)
        await self.fails(422, "DELETE", path)

    async def test_a_group_lives_and_ends(self):
        alice, bob = await self.pair()
        group = await self.group(alice)
        old = ["_id", "name", "member_ids", "created_by", "created_at"]
        self.assertEqual(list(group), [*old, "owner_id", "admin_ids", "silenced", "is_private"])
        self.assert_time(group["created_at"])
        group_id = group["_id"]

        added = await self.request("POST", f"/group/{group_id}/{bob.id}")
        self.assertEqual(added, {"message": "User added to group"})
        told = await bob.next("notification")
        self.assert_time(told.pop("timestamp"))
        self.assertEqual(told, {
            "type": "group_notification",
            "content": f"You have been added to group: {group['name']}",
            "group_id": group_id,
            "event": "member_added",
            "user_id": bob.id,
        })
        self.assertEqual((await alice.next("notification"))["event"], "member_added")
        self.assertEqual(len(await self.request("GET", f"/groups/{bob.id}")), 1)
        found = await self.request("GET", f"/groups/search/{group['name'].upper()}")
        self.assertEqual([row["_id"] for row in found], [group_id])
        await self.fails(404, "GET", f"/groups/search/{fresh('none')}")

        remove = f"/groups/{group_id}/remove"
        await self.fails(403, "POST", remove, params={"user_id": bob.id, "admin_id": fresh("eve")})
        await self.fails(400, "POST", remove, params={"user_id": alice.id, "admin_id": alice.id})
        params = {"user_id": bob.id, "admin_id": alice.id}
        self.assertEqual(await self.request("POST", remove, params=params), {
            "message": "Successfully removed from group",
            "group_id": group_id,
            "removed_user_id": bob.id,
            "removed_by": alice.id,
        })
        told = await alice.next("notification")
        self.assertEqual((told["group_id"], told["event"]), (group_id, "member_removed"))
        await self.fails(404, "POST", remove, params=params)

        deleted = await self.request("DELETE", f"/groups/{group_id}")
        self.assertEqual(deleted, {"message": "Group deleted successfully"})
        await self.fails(404, "DELETE", f"/groups/{group_id}")
        await self.fails(404, "DELETE", f"/groups/{NOWHERE}")
        await self.fails(422, "POST", "/groups/", json={"name": "x"})

    async def test_a_file_is_uploaded_sent_and_fetched(self):
        alice, bob = await self.pair()
        for path in ("/upload/", "/upload"):
            form = aiohttp.FormData()
            form.add_field("file", b"%PDF-1.4\n%%EOF\n", filename="paper.pdf")
            saved = await self.request("POST", path, data=form)
            url = saved.pop("url")
            self.assertTrue(re.fullmatch(r"/uploads/[0-9a-f-]{36}\.pdf", url), url)
            self.assertEqual(saved, {"content_type": "file", "filename": "paper.pdf", "size": 15})
            self.assertEqual(await self.request("GET", url), b"%PDF-1.4\n%%EOF\n")
        sent = await alice.send(bob.id, "read this", content_type="file", media_url=url)
        self.assertEqual((await bob.next("message"))["media_url"], sent["media_url"])
        form = aiohttp.FormData()
        form.add_field("file", b"MZ", filename="virus.exe")
        await self.fails(400, "POST", "/upload/", data=form)
        form = aiohttp.FormData()
        form.add_field("file", b"%PDF-" + bytes(5 * 1024 * 1024), filename="long.pdf")
        await self.fails(413, "POST", "/upload/", data=form)

    async def test_health_and_the_page_answer(self):
        database = await self.request("GET", "/health/db")
        self.assertLessEqual({"messages_count", "groups_count", "indexes"}, set(database))
        buffer = await self.request("GET", "/health/message-buffer")
        self.assertEqual(buffer["status"], "healthy")
        for path in ("/health/live", "/health/ready", "/metrics", "/"):
            await self.request("GET", path)


class Tokens(Suite):
    """Signing in by token."""

    async def test_a_socket_is_whose_its_token_is_and_ends_with_the_sign_in(self):
        name = fresh("alice")
        account = {"username": name, "email": f"{name}@example.com", "password": "correct horse"}
        tokens = await self.request("POST", "/api/auth/register", 201, json=account)
        alice = User(tokens["user"]["user_id"])
        nobody = User("nobody")
        with self.assertRaises(socketio.exceptions.ConnectionError):
            await nobody.connect()
        signed_out, disconnected = asyncio.Queue(), asyncio.Queue()
        alice.socket.on("signed_out", signed_out.put)
        alice.socket.on("disconnect", disconnected.put)
        await alice.connect(token=tokens["access_token"])
        self.addAsyncCleanup(alice.socket.disconnect)
        sent = await alice.send(alice.id, "note")
        self.assertEqual(sent["from_user_id"], alice.id)

        body = {"refresh_token": tokens["refresh_token"]}
        tokens = await self.request("POST", "/api/auth/refresh", json=body)
        ack = await alice.do("refresh_token", {"token": tokens["access_token"]})
        self.assertEqual(set(ack), {"ok", "expires_at"})
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        path = f"/messages/{alice.id}/{alice.id}"
        await self.request("GET", path, 401)
        rows = await self.request("GET", path, headers=headers)
        self.assertEqual([row["id"] for row in rows], [sent["id"]])
        await self.request("GET", f"/messages/nobody/{alice.id}", 403, headers=headers)

        await self.request("POST", "/api/auth/logout", headers=headers)
        told = await asyncio.wait_for(signed_out.get(), PATIENCE_S)
        self.assertEqual(told, {"reason": "signed_out"})
        reason = await asyncio.wait_for(disconnected.get(), PATIENCE_S)
        self.assertEqual(reason, alice.socket.reason.SERVER_DISCONNECT)


if __name__ == "__main__":
    unittest.main()
