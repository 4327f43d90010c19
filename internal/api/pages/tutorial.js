// The interactive tutorial: two people with the same steps, and a guide through them.

import { explain } from './tutorial-advice.js';
import { headline, Live } from './tutorial-live.js';
import { path, send } from './tutorial-request.js';
import { forget, save, state } from './tutorial-state.js';
import { StepView } from './tutorial-step.js';
import { steps, tour } from './tutorial-steps.js';
import { announce, fromTemplate } from './tutorial-view.js';

const guide = document.getElementById('guide');

// PersonView shows one person: who it is, what it hears, and its steps.
class PersonView {
  constructor(person, changed) {
    this.person = person;
    this.root = fromTemplate('person-template');
    const id = person.name.toLowerCase();
    this.root.classList.add(id);
    this.root.setAttribute('aria-labelledby', `${id}-title`);
    this.find('h2').id = `${id}-title`;
    this.find('h2').textContent = person.name;
    this.find('.avatar').textContent = person.name[0];
    this.find('.live-title').textContent = `What ${person.name} sees`;
    this.find('.events').setAttribute('aria-label', `What ${person.name} sees`);
    this.live = new Live(this.find('.live'), {
      onStatus: (text, kind) => {
        this.find('.pill').textContent = text;
        this.find('.pill').dataset.kind = kind;
      },
      onNews: (event) => showNews(person, event),
      onEnded: (failure) => {
        Object.assign(person, { listening: false, token: '' });
        save();
        announce(`${person.name}: ${explain(failure, 'listen', person)}`);
        changed();
      },
    });
    this.steps = steps.map((step, i) => new StepView(person, step, i + 1, { live: this.live, changed }));
    this.find('.steps').append(...this.steps.map((s) => s.root));
    this.live.stop();
  }

  find(selector) { return this.root.querySelector(selector); }

  step(name) { return this.steps.find((s) => s.step.name === name); }

  refresh() {
    const { userId, token } = this.person;
    this.find('.who').textContent = token ? userId : userId ? `${userId}, logged out` : 'has no account yet';
    for (const step of this.steps) step.refresh();
  }

  // resume takes up listening after a reload.
  async resume() {
    if (!this.person.listening) return;
    try {
      await this.live.start(this.person);
    } catch (failure) {
      this.person.listening = false;
      save();
      announce(`${this.person.name}: ${explain(failure, 'listen', this.person)}`);
      refresh();
    }
  }
}

const people = state.people.map((person) => new PersonView(person, refresh));

function nextStop() {
  return tour.findIndex(([who, name]) => !people[who].step(name).done);
}

function refresh() {
  for (const person of people) person.refresh();
  const next = nextStop();
  for (const { steps: all } of people) {
    for (const step of all) {
      step.root.classList.remove('next');
      step.find('.badge').textContent = step.done ? 'done' : '';
    }
  }
  document.getElementById('guide-count').textContent = next < 0 ? 'All done' : `${next + 1} of ${tour.length}`;
  if (next < 0) {
    finish();
    return;
  }
  document.getElementById('guide-go').hidden = false;
  const [who, name] = tour[next];
  const step = people[who].step(name);
  step.root.classList.add('next');
  step.find('.badge').textContent = 'next';
  setGuide(`${people[who].person.name}: ${step.step.title.toLowerCase()}`);
}

function setGuide(text) {
  const place = document.getElementById('guide-text');
  if (place.textContent !== text) place.textContent = text;
}

// finish shows that the tour is over. The keyboard goes there from the last step, and is left alone
// when a step is taken again, or after a reload. The focus has a screen reader read the text, so it is
// not announced as well.
function finish() {
  const go = document.getElementById('guide-go');
  if (go.hidden) return;
  go.hidden = true;
  const taken = document.activeElement.closest('.step') !== null;
  document.getElementById('guide-text').setAttribute('aria-live', taken ? 'off' : 'polite');
  setGuide('That was the tour. Every step can be taken again, in any order, by both.');
  if (taken) document.getElementById('guide-place').focus({ preventScroll: true });
}

// showNews writes the newest event into the guide, which stays in sight where the lists of events do not, and for whom it has
// arrived. Those who listen instead of looking hear of it from the lists.
let news = { id: '', names: [] };

function showNews(person, event) {
  if (!event.event_id || event.event_id !== news.id) news = { id: event.event_id, names: [] };
  news.names.push(person.name);
  const place = document.getElementById('guide-news');
  place.textContent = `${news.names.length > 1 ? 'Both see' : `${person.name} sees`} ${headline(event)}`;
  place.hidden = false;
}

// show opens the next step, and puts the keyboard where it begins.
function show() {
  const [who, name] = tour[nextStop()];
  const { details, root: step } = people[who].step(name);
  for (const open of people[who].root.querySelectorAll('.step details[open]')) open.open = false;
  details.open = true;
  details.querySelector('summary').focus({ preventScroll: true });
  const calm = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
  step.scrollIntoView({ block: 'start', behavior: calm ? 'auto' : 'smooth' });
}

async function startOver() {
  for (const { live } of people) live.stop();
  const ends = state.people.filter((p) => p.token).map((p) => send({ method: 'POST', url: path`/logout`, token: p.token, body: {} }));
  await Promise.allSettled(ends);
  forget();
  window.location.reload();
}

document.getElementById('people').append(...people.map((p) => p.root));
document.getElementById('guide-go').addEventListener('click', show);
document.getElementById('start-over').addEventListener('click', startOver);
document.getElementById('own-certificate').hidden = window.location.protocol !== 'https:';
guide.hidden = false;
refresh();
people[0].step('register').details.open = nextStop() === 0;
for (const person of people) person.resume();
document.documentElement.dataset.ready = 'yes';
