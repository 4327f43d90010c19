"""Sends each line of its input to a room. Its test shows how a bot loses messages, and how it does not.

    MATRIX_URL=https://example.org MATRIX_TOKEN=… python3 bot.py '!room:example.org' <lines
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid


class Bot:
    """Sends messages to a room."""

    def __init__(self, base_url, token, room, pause=1.0):
        self.base_url, self.token, self.room = base_url, token, room
        # How many seconds it waits after a failure that names no time. It doubles with each failure in a row.
        self.pause = pause

    def send_naively(self, text):
        """Sends a message, as most bots do. It is lost where the server has a rate limit, or the answer gets lost."""
        try:
            self._put(text, uuid.uuid4().hex)
        except OSError as error:
            print(f"could not send: {error}", file=sys.stderr)

    def send(self, text):
        """Sends a message exactly once, however long that takes.

        The transaction ID stays the same, so that the server knows a message again of which it had only lost the answer.
        """
        transaction, pause = uuid.uuid4().hex, self.pause
        while True:
            try:
                return self._put(text, transaction)["event_id"]
            except urllib.error.HTTPError as refusal:
                with refusal:
                    if refusal.code != 429 and refusal.code < 500:
                        raise  # it will be refused again
                    wait = retry_after(refusal)
            except (OSError, http.client.HTTPException, ValueError):
                wait = None  # the request is lost, or the answer, or a part of it
            time.sleep(pause if wait is None else wait)
            pause = min(2 * pause, 60)

    def _put(self, text, transaction):
        room = urllib.parse.quote(self.room, safe="")
        request = urllib.request.Request(
            f"{self.base_url}/_matrix/client/v3/rooms/{room}/send/m.room.message/{transaction}", method="PUT",
            data=json.dumps({"msgtype": "m.notice", "body": text}).encode(), headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def retry_after(refusal):
    """Returns the seconds that the server wants the client to wait; None: it does not say so."""
    header = refusal.headers.get("Retry-After", "")
    if header.isdecimal():
        return int(header)
    try:
        return json.load(refusal)["retry_after_ms"] / 1000
    except (ValueError, KeyError, TypeError):
        return None


def main():
    """Sends each line of the input."""
    bot = Bot(os.environ["MATRIX_URL"], os.environ["MATRIX_TOKEN"], sys.argv[1])
    for line in sys.stdin:
        bot.send(line.rstrip("\n"))


if __name__ == "__main__":
    main()
