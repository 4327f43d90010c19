// Live events: one loop of long polls for each person, and what it shows.

import { ask, path, Refused } from './tutorial-request.js';

const pollMs = 30_000;
const longestPauseMs = 15_000;
const maxShown = 200;

function say(event) {
  const { type, content, sender, state_key: key } = event;
  const about = {
    'm.room.create': () => `${sender} created the room`,
    'm.room.name': () => `${sender} named the room “${content.name}”`,
    'm.room.topic': () => `${sender} set the topic “${content.topic}”`,
    'm.room.member': () => ({
      join: `${key} joined`,
      invite: `${sender} invited ${key}`,
      leave: key === sender ? `${key} left` : `${sender} removed ${key}`,
      ban: `${sender} banned ${key}`,
      knock: `${key} asks to be let in`,
    }[content.membership]),
  }[type]?.();
  return about ?? `${sender} set ${type}`;
}

// headline says in one line what an event is.
export function headline(event) {
  return event.type === 'm.room.message' ? `“${event.content.body ?? ''}”` : say(event);
}

// news lists what is new in the answer of a sync, in order.
function* news(answer) {
  const { join = {}, invite = {}, leave = {} } = answer.rooms ?? {};
  for (const [room, { invite_state: shown }] of Object.entries(invite)) {
    for (const event of shown.events.filter((e) => e.type === 'm.room.member' && e.content.membership === 'invite')) {
      yield { room, event };
    }
  }
  for (const [room, { timeline }] of [...Object.entries(join), ...Object.entries(leave)]) {
    for (const event of timeline.events) yield { room, event };
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

// Live runs the loop of one person, and shows it in the part of the page given. It calls onStatus(text, kind) when its state
// changes, where kind is off, on or bad; onNews(event) with the newest event that has arrived; onEnded(failure) when it can't
// go on.
export class Live {
  #window; // what scrolls
  #list;
  #nothing;
  #onStatus;
  #onNews;
  #onEnded;
  #running = null; // the AbortController of the loop

  constructor(root, { onStatus, onNews, onEnded }) {
    this.#window = root.querySelector('.events');
    this.#list = this.#window.firstElementChild;
    this.#nothing = root.querySelector('.nothing');
    this.#onStatus = onStatus;
    this.#onNews = onNews;
    this.#onEnded = onEnded;
  }

  get running() { return this.#running !== null; }

  // start begins anew, from the newest events of each room. It returns the first answer.
  async start(person) {
    this.stop();
    const running = new AbortController();
    this.#running = running;
    this.#list.replaceChildren();
    this.#onStatus('connecting', 'off');
    try {
      const first = await ask({ method: 'GET', url: path`/sync`, token: person.token }, running.signal);
      if (running.signal.aborted) return first;
      this.#show(person, first);
      this.#follow(person, first.next_batch, running.signal);
      return first;
    } catch (failure) {
      if (this.#running === running) this.stop();
      throw failure;
    }
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#onStatus('not listening', 'off');
    this.#nothing.hidden = this.#list.children.length > 0;
    this.#nothing.textContent = 'Nothing is heard yet: start to listen in step 3.';
  }

  async #follow(person, since, signal) {
    let wait = 1000;
    while (!signal.aborted) {
      try {
        this.#onStatus('listening', 'on');
        const url = `${path`/sync`}?timeout=${pollMs}&since=${encodeURIComponent(since)}`;
        const answer = await ask({ method: 'GET', url, token: person.token }, signal);
        since = answer.next_batch;
        wait = 1000;
        const newest = this.#show(person, answer);
        if (newest) this.#onNews(newest);
      } catch (failure) {
        if (signal.aborted) return;
        if (failure instanceof Refused && failure.status === 401) {
          this.stop();
          this.#onStatus('token has ended', 'bad');
          this.#onEnded(failure);
          return;
        }
        this.#onStatus('connection lost, trying again', 'bad');
        await pause(wait, signal);
        wait = Math.min(wait * 2, longestPauseMs);
      }
    }
  }

  // #show adds what is new in the answer of a sync to the list, and returns its last event.
  #show(person, answer) {
    let newest;
    const { scrollHeight, scrollTop, clientHeight } = this.#window;
    const atEnd = scrollHeight - scrollTop - clientHeight < 40;
    for (const { room, event } of news(answer)) {
      this.#list.append(entry(person, room, event));
      newest = event;
    }
    while (this.#list.children.length > maxShown) this.#list.firstElementChild.remove();
    this.#nothing.hidden = this.#list.children.length > 0;
    this.#nothing.textContent = 'Listening. Nothing has happened yet.';
    if (atEnd) this.#window.scrollTop = this.#window.scrollHeight;
    return newest;
  }
}

// entry is one event: a line, or a bubble for a message, that opens to its JSON.
function entry(person, room, event) {
  const item = document.createElement('li');
  const details = document.createElement('details');
  const summary = document.createElement('summary');
  const json = document.createElement('pre');
  const message = event.type === 'm.room.message';
  if (message) {
    const sender = document.createElement('span');
    sender.className = 'sender';
    sender.textContent = event.sender;
    const text = document.createElement('span');
    text.textContent = event.content.body ?? 'A message without text';
    summary.append(sender, text);
  } else {
    summary.textContent = say(event);
  }
  item.className = message ? 'message' : 'change';
  if (message && event.sender === person.userId) item.classList.add('own');
  json.textContent = JSON.stringify({ room_id: room, ...event }, null, 2);
  json.tabIndex = 0;
  details.append(summary, json);
  item.append(details);
  return item;
}
