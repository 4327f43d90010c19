// One step of one person: its form, its request as a command, and its answer.

import { explain, whatIsMissing } from './tutorial-advice.js';
import { curl, Refused, send } from './tutorial-request.js';
import { save, state } from './tutorial-state.js';
import { announce, copy, fromTemplate, showJSON } from './tutorial-view.js';

// StepView shows a step. context has live, the Live of the person, and
// changed(), to be called when a step has done something.
export class StepView {
  constructor(person, step, number, context) {
    Object.assign(this, { person, step, context });
    this.root = fromTemplate('step-template');
    this.root.id = `${person.name.toLowerCase()}-${step.name}`;
    this.details = this.root.querySelector('details');
    this.form = this.root.querySelector('form');
    this.button = this.form.querySelector('button');
    this.find('.number').textContent = number;
    this.find('.name').textContent = step.title;
    this.find('.why').textContent = step.why;
    this.#addFields();
    this.form.addEventListener('submit', (event) => { event.preventDefault(); this.#run(); });
    this.form.addEventListener('input', () => this.#typed());
    const copyButton = this.find('.copy');
    copyButton.addEventListener('click', () => copy(this.find('.curl'), copyButton));
    copyButton.setAttribute('aria-label', `Copy the command of: ${step.title}`);
    this.find('.curl').setAttribute('aria-label', `Command of: ${step.title}`);
    this.find('.json').setAttribute('aria-label', `Answer of: ${step.title}`);
    this.refresh();
  }

  find(selector) { return this.root.querySelector(selector); }

  get done() { return this.person.done.includes(this.step.name); }

  #addFields() {
    this.inputs = this.step.fields(this.person).map((field) => {
      const input = document.createElement('input');
      input.id = `${this.root.id}-${field.name}`;
      input.name = field.name;
      input.autocomplete = 'off';
      input.autocapitalize = 'none';
      input.spellcheck = false;
      input.placeholder = field.placeholder ?? '';
      input.required = !field.optional;
      const label = document.createElement('label');
      label.htmlFor = input.id;
      label.textContent = field.label;
      this.find('.fields').append(label, input);
      return { field, input };
    });
  }

  // refresh shows what the state says now. What was typed wins over what is proposed.
  refresh() {
    const typed = this.person.inputs[this.step.name] ?? {};
    const proposals = this.step.fields(this.person);
    this.inputs.forEach(({ field, input }, i) => { input.value = typed[field.name] ?? proposals[i].initial(); });
    const on = this.step.buttonAgain && this.person.listening;
    this.button.textContent = on ? this.step.buttonAgain : this.step.button;
    this.button.classList.toggle('plain', Boolean(on));
    this.root.classList.toggle('done', this.done);
    this.#showExchange();
  }

  #input() {
    return Object.fromEntries(this.inputs.map(({ field, input }) => [field.name, input.value.trim()]));
  }

  #typed() {
    this.person.inputs[this.step.name] = this.#input();
    delete this.person.exchanges[this.step.name];
    save();
    this.#showExchange();
  }

  // Before a step was taken its command shows what would be sent, afterwards what was.
  #showExchange() {
    const kept = this.person.exchanges[this.step.name];
    this.find('.curl').textContent = kept?.curl ?? curl(this.step.request(this.person, this.#input()));
    const shown = Boolean(kept?.text);
    this.find('.answer').hidden = !shown;
    if (!shown) return;
    const status = this.find('.status');
    status.textContent = kept.status;
    status.classList.toggle('bad', kept.status !== 200);
    showJSON(this.find('.json'), kept.text);
  }

  // While a step is being taken its button does nothing, but keeps the keyboard, which a disabled one would lose.
  get #busy() { return this.button.getAttribute('aria-disabled') === 'true'; }

  set #busy(busy) { this.button.setAttribute('aria-disabled', busy); }

  async #run() {
    if (this.#busy) return;
    this.#hint('', '');
    const empty = this.inputs.find(({ input }) => input.required && !input.value.trim());
    if (empty) {
      this.#hint('hint', whatIsMissing(this.person, empty.field));
      if (this.person.token || !empty.field.comesFrom) empty.input.focus();
      return;
    }
    this.#busy = true;
    try {
      await (this.step.name === 'listen' ? this.#listen() : this.#send());
    } catch (failure) {
      this.#hint('hint', explain(failure, this.step.name, this.person));
    } finally {
      this.#busy = false;
      save();
      this.context.changed();
    }
  }

  async #send() {
    const { live } = this.context;
    const input = this.#input();
    const request = this.step.request(this.person, input);
    if (this.step.endsListening) live.stop(); // or else the list would tell of it, too
    try {
      const { status, answer } = await send(request);
      this.#keep(request, status, answer);
      if (status !== 200) throw new Refused(status, answer);
      const said = this.step.accept(this.person, answer, input);
      this.#finish();
      if (this.step.name === 'send') delete this.person.inputs.send?.body;
      this.#hint('hint-good', said);
    } catch (failure) {
      if (failure.code === 'M_UNKNOWN_TOKEN') Object.assign(this.person, { token: '', listening: false });
      throw failure;
    } finally {
      await this.#goOnListening(request.token);
    }
  }

  // #goOnListening listens with the newest token, after a request that may have changed or ended it.
  async #goOnListening(before) {
    const { live } = this.context;
    const { token, listening } = this.person;
    if (!token) live.stop();
    else if (listening && (token !== before || !live.running)) await live.start(this.person);
  }

  async #listen() {
    const { live } = this.context;
    if (this.person.listening) {
      this.person.listening = false;
      live.stop();
      return;
    }
    const answer = await live.start(this.person);
    this.person.listening = true;
    this.#keep(this.step.request(this.person), 200, answer);
    this.#finish();
    this.#hint('hint-good', 'New events appear in the list above. Send “next_batch” as “since” to go on where this answer ended.');
  }

  #keep(request, status, answer) {
    this.person.exchanges[this.step.name] = { curl: curl(request), status, text: JSON.stringify(answer, null, 2) };
  }

  #finish() {
    if (!this.done) this.person.done.push(this.step.name);
  }

  // #hint says how it went, in one of the two places for that; both are cleared first.
  #hint(place, text) {
    for (const name of ['hint', 'hint-good']) {
      const element = this.find(`.${name}`);
      element.hidden = name !== place;
      element.textContent = name === place ? text : '';
    }
  }
}
