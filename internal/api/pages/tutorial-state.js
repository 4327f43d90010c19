// What the tutorial remembers: in sessionStorage, so that a reload goes on where
// it was, and closing the tab forgets the tokens.

const key = 'homeserver-tutorial';

function randomText(length) {
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789';
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (n) => letters[n % letters.length]).join('');
}

function newPerson(name, suffix) {
  return {
    name,
    username: `${name.toLowerCase()}-${suffix}`,
    password: randomText(14),
    userId: '',
    token: '',
    deviceId: '',
    listening: false,
    done: [], // names of steps
    exchanges: {}, // by name of a step: what was sent and answered last
    inputs: {}, // by name of a step: what was typed into its fields
  };
}

function newState() {
  const suffix = randomText(4);
  return { room: '', transactions: 0, people: [newPerson('Alice', suffix), newPerson('Bob', suffix)] };
}

function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key));
    if (kept?.people?.length === 2) return kept;
  } catch {
    // Storage is forbidden, or holds something else: begin anew.
  }
  return newState();
}

export const state = load();

// The largest answer that is kept for a reload; storage is small.
const maxKeptText = 20_000;

export function save() {
  try {
    sessionStorage.setItem(key, JSON.stringify(state, (name, value) => (
      name === 'text' && value.length > maxKeptText ? undefined : value)));
  } catch {
    // Without storage everything works but a reload.
  }
}

export function forget() {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // Then nothing was kept.
  }
}

// nextTransaction returns an ID that this tab has not used yet.
export function nextTransaction() {
  state.transactions += 1;
  save();
  return `t${state.transactions}.${randomText(6)}`;
}
