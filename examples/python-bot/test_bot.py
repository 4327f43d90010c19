"""Tests the bot against a real server: python3 -m unittest."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import time
import unittest
import urllib.error

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "clients" / "python"))  # a bot of yours has a copy beside its tests

from homeserver_testing import Homeserver  # noqa: E402 (after its folder is known)

from bot import Bot  # noqa: E402

SEND = "/rooms/{roomId}/send/{eventType}/{txnId}"
LINES = [f"line {n}" for n in range(1, 6)]


class BotTest(unittest.TestCase):
    """Sends five lines, of which the server disturbs the third."""

    @classmethod
    def setUpClass(cls):
        cls.server = Homeserver(users={"alice": "wordpass", "bot": "wordpass"})
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.server.reset()
        self.server.forget()
        self.room = self.server.call("bot", "POST", "/createRoom", {"preset": "public_chat"})["room_id"]
        self.server.call("alice", "POST", f"/join/{self.room}")
        self.bot = Bot(self.server.base_url, self.server.user("bot")["access_token"], self.room, pause=0.01)

    def disturb(self, **effect):
        """Has the server disturb what the bot sends, after two messages."""
        self.server.fail(route=SEND, user_id="@bot:localhost", skip=2, **{"times": 1, **effect})

    def read(self):
        """Returns what alice reads."""
        found = self.server.call("alice", "GET", f"/rooms/{self.room}/messages?dir=b&limit=50")["chunk"]
        return [event["content"]["body"] for event in reversed(found) if event["type"] == "m.room.message"]

    def send_naively(self):
        """Sends the lines as most bots do."""
        with contextlib.redirect_stderr(io.StringIO()):
            for line in LINES:
                self.bot.send_naively(line)

    def send(self):
        """Sends the lines as bots should."""
        for line in LINES:
            self.bot.send(line)

    def test_naive_bot_loses_a_message_at_429(self):
        self.disturb(status=429, retry_after_ms=1000)
        self.send_naively()
        self.assertEqual(self.read(), ["line 1", "line 2", "line 4", "line 5"])

    def test_naive_bot_is_right_where_nothing_happens(self):
        self.send_naively()
        self.assertEqual(self.read(), LINES)

    def test_bot_waits_as_long_as_it_is_told(self):
        self.disturb(status=429, retry_after_ms=1000)
        begun = time.monotonic()
        self.send()
        self.assertGreaterEqual(time.monotonic() - begun, 1)
        self.assertEqual(self.read(), LINES)
        sent = self.server.requests(route=SEND)
        self.assertEqual([request["status"] for request in sent], [200, 200, 429, 200, 200, 200])
        self.assertEqual(sent[2]["path"], sent[3]["path"])  # with the same transaction ID

    def test_bot_sends_each_message_once_whatever_happens(self):
        for effect in (
            {"drop": True}, {"drop": True, "after": True}, {"truncate": 5}, {"status": 502}, {"status": 504, "after": True},
            {"status": 429, "times": 3},
        ):
            with self.subTest(effect):
                self.setUp()
                self.disturb(**effect)
                self.send()
                self.assertEqual(self.read(), LINES)

    def test_bot_gives_up_where_it_is_refused(self):
        self.server.call("bot", "POST", f"/rooms/{self.room}/leave", {})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.bot.send("hello")
        refused.exception.close()
        self.assertEqual(refused.exception.code, 403)

    def test_command_sends_its_input(self):
        environ = {**os.environ, "MATRIX_URL": self.server.base_url, "MATRIX_TOKEN": self.bot.token}
        subprocess.run([sys.executable, str(HERE / "bot.py"), self.room], input="one\ntwo\n", text=True, env=environ, check=True)
        self.assertEqual(self.read(), ["one", "two"])


if __name__ == "__main__":
    unittest.main()
