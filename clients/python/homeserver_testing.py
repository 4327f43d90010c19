"""Runs a real Matrix homeserver for tests of bots and clients, and makes it fail as they ask.

It needs Python 3.9 and nothing else: copy this file beside your tests.

    from homeserver_testing import Homeserver

    with Homeserver(users={"alice": "wordpass", "bot": "wordpass"}) as server:
        bot = server.user("bot")
        server.fail(method="PUT", user_id=bot["user_id"], times=1, status=429, retry_after_ms=1000)
        ...  # let the bot run against server.base_url with bot["access_token"]
        sent = server.wait_for_requests(2, method="PUT", user_id=bot["user_id"])

For pytest, name the plugin in conftest.py: `pytest_plugins = ["homeserver_testing"]`. The fixture `homeserver` is then a server for
the whole session, set back before each test; `homeserver_options`, which may be overridden, is what it is started with.

The program is `homeserver` in PATH, or what the environment variable HOMESERVER_BIN names. Where it or PostgreSQL is missing,
`Missing` is raised, which skips a test; if the variable CI is set, as on build servers, the test fails.
"""

import collections
import json
import os
import shutil
import subprocess
import threading
import unittest
import urllib.error
import urllib.parse
import urllib.request

START_SECONDS = 120
STOP_SECONDS = 30
# How long an answer may take beside the time for which it was asked to wait.
ANSWER_SECONDS = 60

# No proxy on the way to this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Missing(unittest.SkipTest):
    """The program or PostgreSQL is missing on this machine."""


class StartError(Exception):
    """The server did not start, or something is missing on a build server. The text has the end of its log."""


class Refused(Exception):
    """The server has refused a request of the test itself."""

    def __init__(self, method, url, status, text):
        super().__init__(f"{method} {url}: {status} {text}")
        self.status = status
        try:
            self.errcode = json.loads(text).get("errcode")
        except (ValueError, AttributeError):
            self.errcode = None


class Homeserver:
    """A server on temporary data. Use it in `with`, or call stop().

    users: passwords by name. admins: the same for administrators. seed: a YAML file. seed_random: numbers of made-up data.
    flags: further flags of `homeserver dev`. program: the path of the program.

    base_url, tls_url, ca_file, server_name, control_url, users and rooms are what the server says of itself.
    """

    def __init__(self, users=None, admins=None, seed=None, seed_random=None, flags=(), program=None):
        command = [_program(program), "dev", "--json", "--exit-at-eof", "--listen", "127.0.0.1:0", "--listen", "tls://localhost:0"]
        for name, password in (users or {}).items():
            command += ["--user", f"{name}:{password}"]
        for name, password in (admins or {}).items():
            command += ["--user", f"{name}:{password}:admin"]
        if seed is not None:
            command += ["--seed", os.fspath(seed)]
        if seed_random is not None:
            command += ["--seed-random", seed_random]
        self._log = collections.deque(maxlen=500)
        self._start(command + list(flags))

    def _start(self, command):
        # A server of tests is as its flags say, whatever else this machine has configured.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HOMESERVER_")}
        # The server ends when its standard input is closed, which the end of this process does as well.
        self._process = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace")
        self._reader = threading.Thread(target=lambda: self._log.extend(self._process.stderr), daemon=True)
        self._reader.start()
        watch = threading.Timer(START_SECONDS, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        watch.cancel()
        if not line:
            self.stop()
            _refuse_start(self.log)
        for name, value in json.loads(line).items():
            setattr(self, name, value)
        self.rooms = getattr(self, "rooms", [])

    @property
    def log(self):
        """The newest lines of the server's log."""
        return "".join(list(self._log))

    def stop(self):
        """Ends the server."""
        process = self._process
        if process.stdin.closed:
            return
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join(STOP_SECONDS)
        process.stdout.close()
        process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def user(self, name):
        """Returns user_id, device_id, access_token, password and admin of a user who is named with or without @ and server name."""
        user_id = name if name.startswith("@") else f"@{name}:{self.server_name}"
        for user in self.users:
            if user["user_id"] == user_id:
                return user
        raise KeyError(f"the server was not started with a user {user_id}")

    def room(self, room):
        """Returns the ID of a room by its `id` in the seed file."""
        for known in self.rooms:
            if known.get("id") == room:
                return known["room_id"]
        raise KeyError(f"there is no room {room} in the seed")

    def call(self, user, method, path, body=None):
        """Makes a request as a user (a name, or None), and returns the answer.

        The path is below /_matrix/client/v3, unless it begins with /_. Raises Refused.
        """
        token = self.user(user)["access_token"] if user is not None else None
        if not path.startswith("/_"):
            path = "/_matrix/client/v3" + path
        return _request(method, self.base_url + path, body, token)

    def fail(self, **fault):
        """Has the next requests fail, and returns the ID of the fault.

        Which requests: method, route, user_id, device_id, times, skip. What happens: one of status (with errcode, error,
        retry_after_ms), delay_ms, drop, truncate, stale_since, repeat_sync, soft_logout. With after=True the request is served
        first, and only its answer is lost.
        """
        return self._control("POST", "/faults", fault)["fault_id"]

    def hits(self, fault_id):
        """Returns how many requests a fault has met."""
        for fault in self._control("GET", "/faults")["faults"]:
            if fault["fault_id"] == fault_id:
                return fault["hits"]
        raise KeyError(f"there is no fault {fault_id}")

    def take_back(self, fault_id):
        """Ends a fault."""
        self._control("DELETE", "/faults/" + urllib.parse.quote(fault_id, safe=""))

    def take_back_all(self):
        """Ends all faults."""
        self._control("DELETE", "/faults")

    def requests(self, **filters):
        """Returns what clients have sent, the oldest first. Filters: method, route, user_id, device_id, since (a number n)."""
        return self._control("GET", "/requests?" + urllib.parse.urlencode(filters))["requests"]

    def wait_for_requests(self, count, timeout=30, **filters):
        """Returns the requests that the filters pick once there are so many. Raises TimeoutError."""
        found = self.requests(wait_for=count, timeout_ms=int(timeout * 1000), **filters)
        if len(found) < count:
            raise TimeoutError(f"clients have sent {len(found)} of {count} requests that were waited for: {filters}")
        return found

    def forget(self):
        """Forgets what clients have sent."""
        self._control("DELETE", "/requests")

    def reset(self):
        """Sets the server back to what it was when it started. A client needs a /sync without since then."""
        self._control("POST", "/reset")

    def advance(self, seconds):
        """Moves the server's clock forward."""
        self._control("POST", "/clock", {"advance_ms": int(seconds * 1000)})

    def limit_rates(self, enabled=True):
        """Switches the rate limits of a server in production on, or off as they are at the start."""
        self._control("PUT", "/rate-limits", {"enabled": enabled})

    def _control(self, method, path, body=None):
        return _request(method, self.control_url + path, body)


def _program(named):
    named = named or os.environ.get("HOMESERVER_BIN")
    found = shutil.which(named or "homeserver")
    if found is not None:
        return found
    if named:
        raise StartError(f"there is no program {named}")
    return _missing("the program homeserver was not found: put it in PATH, or name it with HOMESERVER_BIN")


def _missing(what):
    """A build server is there to run the tests; elsewhere they are skipped."""
    raise (StartError if os.environ.get("CI") else Missing)(what)


def _refuse_start(log):
    lines = log.strip().splitlines() or [""]
    if "no PostgreSQL" in lines[-1]:
        _missing(lines[-1])
    raise StartError("the server did not start:\n" + log)


def _request(method, url, body=None, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    wait = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query).get("timeout_ms", ["30000"])[0]
    try:
        with _opener.open(request, timeout=ANSWER_SECONDS + int(wait) / 1000) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            raise Refused(method, url, refusal.code, refusal.read().decode(errors="replace")) from None


try:
    import pytest
except ImportError:
    pass
else:

    @pytest.fixture(scope="session")
    def homeserver_options():
        """What the server is started with: the arguments of Homeserver. Override this fixture in conftest.py."""
        return {"users": {"alice": "wordpass", "bob": "wordpass"}}

    @pytest.fixture(scope="session")
    def homeserver_of_session(homeserver_options):
        """The server, as the test before has left it."""
        with Homeserver(**homeserver_options) as server:
            yield server

    @pytest.fixture
    def homeserver(homeserver_of_session):
        """A server as it was when it started."""
        homeserver_of_session.reset()
        homeserver_of_session.forget()
        homeserver_of_session.limit_rates(False)
        return homeserver_of_session
