"""Tests the helper against a real server: HOMESERVER_BIN=… python3 -m unittest."""

import importlib.util
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import textwrap
import unittest
import urllib.parse
from unittest import mock

from homeserver_testing import Homeserver, Missing, Refused, StartError

HERE = pathlib.Path(__file__).parent
SEND = "/rooms/{roomId}/send/{eventType}/{txnId}"


class ServerTest(unittest.TestCase):
    """What a test can do with a server."""

    @classmethod
    def setUpClass(cls):
        cls.server = Homeserver(users={"alice": "wordpass", "bob": "word:pass"}, admins={"root": "wordpass"})
        cls.addClassCleanup(cls.server.stop)

    def setUp(self):
        self.server.reset()
        self.server.forget()

    def whoami(self, user="alice"):
        return self.server.call(user, "GET", "/account/whoami")

    def test_users_are_logged_in(self):
        for name in ("alice", "bob", "root"):
            self.assertEqual(self.whoami(name)["user_id"], f"@{name}:localhost")
        self.assertEqual(self.server.user("@bob:localhost")["password"], "word:pass")
        self.assertTrue(self.server.user("root")["admin"])
        with self.assertRaisesRegex(KeyError, "@carol:localhost"):
            self.server.user("carol")

    def test_faults_meet_requests(self):
        fault = self.server.fail(route="/account/whoami", user_id="@alice:localhost", times=1, status=429, retry_after_ms=10)
        self.whoami("bob")
        with self.assertRaises(Refused) as refused:
            self.whoami()
        self.assertEqual((refused.exception.status, refused.exception.errcode), (429, "M_LIMIT_EXCEEDED"))
        self.assertEqual(self.server.hits(fault), 1)
        self.whoami()
        other = self.server.fail(status=500)
        self.server.take_back(other)
        self.whoami()
        self.server.fail(status=500)
        self.server.take_back_all()
        self.whoami()
        with self.assertRaises(KeyError):
            self.server.hits(other)

    def test_requests_are_kept(self):
        room = self.server.call("alice", "POST", "/createRoom", {})["room_id"]
        self.server.call("alice", "PUT", f"/rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"})
        sent = self.server.wait_for_requests(1, route=SEND)
        self.assertEqual((sent[0]["body"]["body"], sent[0]["status"], sent[0]["user_id"]), ("hello", 200, "@alice:localhost"))
        with self.assertRaisesRegex(TimeoutError, "0 of 1"):
            self.server.wait_for_requests(1, timeout=0.01, route=SEND, since=sent[0]["n"])
        self.server.forget()
        self.assertEqual(self.server.requests(), [])

    def test_reset_takes_all_back(self):
        self.server.call("alice", "POST", "/createRoom", {})
        self.server.reset()
        self.assertEqual(self.server.call("alice", "GET", "/joined_rooms"), {"joined_rooms": []})

    def test_clock_and_limits(self):
        self.server.advance(60)
        self.server.limit_rates()
        self.addCleanup(self.server.limit_rates, False)
        login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "wordpass"}
        with self.assertRaises(Refused) as refused:
            for _ in range(1000):
                self.server.call(None, "POST", "/login", login)
        self.assertEqual(refused.exception.errcode, "M_LIMIT_EXCEEDED")


class StartTest(unittest.TestCase):
    """How a server starts and ends."""

    def test_seed_is_loaded_and_server_ends(self):
        with tempfile.TemporaryDirectory() as folder:
            seed = pathlib.Path(folder, "seed.yaml")
            seed.write_text("users: [{name: carol}]\nrooms: [{id: lobby, creator: carol}]\n", encoding="utf-8")
            with Homeserver(seed=seed) as server:
                self.assertEqual(server.call("carol", "GET", "/joined_rooms")["joined_rooms"], [server.room("lobby")])
                with self.assertRaises(KeyError):
                    server.room("cellar")
        with self.assertRaises(OSError):
            at = urllib.parse.urlsplit(server.base_url)
            socket.create_connection((at.hostname, at.port)).close()

    def test_wrong_flag_is_told(self):
        with self.assertRaisesRegex(StartError, "flag provided but not defined: -nonsense"):
            Homeserver(flags=["--nonsense"])

    def test_missing_things_skip_but_fail_on_build_servers(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "program")
            program.write_text("#!/bin/sh\necho 'homeserver: no PostgreSQL 14 or newer is installed: …' >&2\nexit 1\n", encoding="utf-8")
            program.chmod(0o700)
            for environ, error in (({}, Missing), ({"CI": "true"}, StartError)):
                with mock.patch.dict(os.environ, {"PATH": "/nowhere", **environ}, clear=True):
                    with self.assertRaisesRegex(error, "put it in PATH"):
                        Homeserver()
                    with self.assertRaisesRegex(error, "no PostgreSQL"):
                        Homeserver(program=str(program))
        with self.assertRaisesRegex(StartError, "there is no program /nowhere"):
            Homeserver(program="/nowhere")


@unittest.skipUnless(importlib.util.find_spec("pytest"), "pytest is not installed")
class PytestTest(unittest.TestCase):
    """The fixture of pytest."""

    def test_each_test_has_a_server_as_new(self):
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "conftest.py").write_text('pytest_plugins = ["homeserver_testing"]\n', encoding="utf-8")
            pathlib.Path(folder, "test_rooms.py").write_text(textwrap.dedent("""
                import pytest

                @pytest.mark.parametrize("run", [1, 2])
                def test_room(homeserver, run):
                    assert homeserver.call("alice", "GET", "/joined_rooms") == {"joined_rooms": []}
                    homeserver.call("alice", "POST", "/createRoom", {})
                    assert len(homeserver.requests(route="/createRoom")) == 1
            """), encoding="utf-8")
            environ = {**os.environ, "PYTHONPATH": str(HERE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
            run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder],
                                 env=environ, capture_output=True, text=True, check=False)
            self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
            self.assertIn("2 passed", run.stdout)


if __name__ == "__main__":
    unittest.main()
